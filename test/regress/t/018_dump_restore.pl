# Dumps: the restored log is read at once, and what is appended to it lies above all that a consumer of the original can
# have seen.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('dump');

# The last position handed out is one of a transaction that rolled back: a consumer's checkpoint may well be there,
# above the last event.
my $appends = <<'SQL';
SELECT count(*) FROM generate_series(1, 20) AS n, es_append('order-' || n % 3, 'Placed', jsonb_build_object('n', n));
BEGIN;
SELECT count(*) FROM generate_series(1, 10) AS n, es_append('undone-' || n, 'Undone');
ROLLBACK;
SQL
$node->safe_psql('postgres', $appends);
my $checkpoint = head_position($node);
is($checkpoint, 30, 'the last position is above the last event');

my $everything = 'SELECT * FROM es_read_after(0, NULL)';
our $log = $node->safe_psql('postgres', $everything);
my $folder = PostgreSQL::Test::Utils::tempdir();

# The whole cluster, with roles that were granted what the extension's roles may, or a function of it
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE shop LOGIN;
GRANT tidemark_writer TO shop;
CREATE ROLE auditor LOGIN;
GRANT EXECUTE ON FUNCTION es_verify() TO auditor;
SQL
system_or_bail('pg_dumpall', '-d', $node->connstr('postgres'), '-f', "$folder/whole.sql");
my $whole = PostgreSQL::Test::Cluster->new('whole');
$whole->init;
$whole->start;
$whole->command_checks_all([ 'psql', '-Xq', '-d', $whole->connstr('postgres'), '-f', "$folder/whole.sql" ],
    0, [], [qr/^[^\n]*ERROR:  role "\w+" already exists\n\z/], 'a whole cluster is restored, but for its first role');
is($whole->safe_psql('postgres', $everything), $log, '... with every event');
cmp_ok($whole->safe_psql('postgres', q{SET ROLE shop; SELECT first_position FROM es_append('order-1', 'Placed')}), '>',
    $checkpoint + leap, '... in which a writer appends');
is($whole->safe_psql('postgres', 'SET ROLE auditor; SELECT count(*) FROM es_verify()'), 0,
    '... and a grant on a function is kept');
like(outcome($whole, q{SET ROLE auditor; SELECT es_append('order-1', 'Placed')}), qr/^42501: /, '... and no more');
$whole->stop;

# restored(database, name, command ...): the restored log can be read, and goes on above the original.
sub restored
{
    my ($database, $name, @command) = @_;
    $node->command_ok(\@command, "$name: it is restored");
    is($node->safe_psql($database, 'SELECT es_head_position(), es_safe_position(), (SELECT count(*) FROM es_verify())'),
        '20|20|0', "$name: before the first append the head is at the last event and the log is sound");
    is($node->safe_psql($database, $everything), $log, "$name: every event is there, byte for byte");
    is($node->safe_psql($database, 'SELECT count(*) FROM es_blockers()'), 0, "$name: nobody holds the line back");
    my $first = $node->safe_psql($database,
        q{SELECT first_version, first_position FROM es_append('order-1', 'Placed')});
    like($first, qr/^8\|/, "$name: streams go on at their versions");
    $first =~ s/.*\|//;
    cmp_ok($first, '>', $checkpoint + leap, "$name: the first append leaps");
    is(append($node, 'order-1', $database), $first + 1, "$name: once");
    is(positions($node, $checkpoint, $database), join(',', $first, $first + 1),
        "$name: a consumer of the original goes on by its checkpoint");
    is($node->safe_psql($database, 'SELECT count(*) FROM es_verify()'), 0, "$name: the log is sound in the end");
    return;
}

sub dump_to
{
    my ($file, @options) = @_;
    system_or_bail('pg_dump', '-d', $node->connstr('postgres'), '-f', "$folder/$file", @options);
    return "$folder/$file";
}
sub restore_into
{
    my ($database, @command) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    return (@command, '-d', $node->connstr($database));
}

my @psql = ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1');
my $plain = dump_to('plain.sql');
restored('plain', 'a plain dump', restore_into('plain', @psql), '-f', $plain);
restored('single', 'a plain dump in one transaction', restore_into('single', @psql), '-1', '-f', $plain);
restored('custom', 'a custom dump',
    restore_into('custom', 'pg_restore', '-e', '-j', '2'), dump_to('custom', '-Fc'));
my $data = dump_to('data.sql', '--data-only');
my @data_only = restore_into('data', @psql);
$node->safe_psql('data', 'CREATE EXTENSION tidemark');
restored('data', 'a data-only dump into a new log', @data_only, '-f', $data);
my $inserts = dump_to('inserts.sql', '--inserts', '--data-only');
my @inserts = restore_into('inserts', @psql);
$node->safe_psql('inserts', 'CREATE EXTENSION tidemark');
restored('inserts', 'a dump as INSERT statements', @inserts, '-f', $inserts);
restored('directory', 'a dump by several processes',
    restore_into('directory', 'pg_restore', '-e', '-j', '2'), dump_to('directory', '-Fd', '-j', '2'));
my @data_custom = restore_into('data_custom', 'pg_restore', '-e', '-j', '2', '--data-only');
$node->safe_psql('data_custom', 'CREATE EXTENSION tidemark');
restored('data_custom', 'the data of a custom dump into a new log', @data_custom, "$folder/custom");

# A log in a schema of its own
$node->safe_psql('postgres', 'CREATE DATABASE schema');
{
    local $ENV{PGOPTIONS} = '-c search_path=es,public';
    $node->safe_psql('schema', "CREATE SCHEMA es; CREATE EXTENSION tidemark SCHEMA es; $appends");
    local $log = $node->safe_psql('schema', $everything);
    system_or_bail('pg_dump', '-Fc', '-d', $node->connstr('schema'), '-f', "$folder/schema");
    restored('schema_again', 'a log in a schema of its own',
        restore_into('schema_again', 'pg_restore', '-e', '-j', '2'), "$folder/schema");
    is($node->safe_psql('schema_again', q{SELECT extnamespace::regnamespace FROM pg_extension
            WHERE extname = 'tidemark'}), 'es', '... is in that schema again');
}

# A log that was restored is dumped and restored again.
$node->safe_psql('postgres', 'CREATE DATABASE twice');
system_or_bail('pg_dump', '-d', $node->connstr('plain'), '-f', "$folder/twice.sql");
system_or_bail(@psql, '-d', $node->connstr('twice'), '-f', "$folder/twice.sql");
cmp_ok(append($node, 'order-1', 'twice'), '>', head_position($node) + leap, 'a dump of a restored log leaps again');

# Consumers of an empty log may have a checkpoint as well: its events, all rolled back, had positions.
$node->safe_psql('postgres', 'CREATE DATABASE empty');
$node->safe_psql('empty', 'CREATE EXTENSION tidemark');
system_or_bail('pg_dump', '-d', $node->connstr('empty'), '-f', "$folder/empty.sql");
$node->safe_psql('postgres', 'CREATE DATABASE again');
system_or_bail(@psql, '-d', $node->connstr('again'), '-f', "$folder/empty.sql");
is($node->safe_psql('again', 'SELECT es_head_position(), es_safe_position()'), '0|0',
    'the dump of an empty log is empty');
cmp_ok(append($node, 'order-1', 'again'), '>', leap, 'its first append leaps');

# Into a log that is in use
$node->safe_psql('postgres', 'CREATE DATABASE used');
$node->safe_psql('used', 'CREATE EXTENSION tidemark');
append($node, 'order-1', 'used');
$node->command_fails_like([ @psql, '-d', $node->connstr('used'), '-f', $data ],
    qr/ERROR: .*rows of es_events cannot be inserted/, 'a log that is in use takes no dump');
is($node->safe_psql('used', 'SELECT position, stream_id FROM es_read_after()'), '1|order-1', '... and is as it was');
is(append($node, 'order-1', 'used'), 2, '... and goes on');

# While writers append and consumers follow: the dump is of one moment, and they go on with the restored log.
my $load = Load->new;
$load->writers(4, [$node]);
$load->readers([ 100, 3 ], [$node]);
$load->await(appends => 100, reads => 50);
my $early = safe_position($node);
my @before = $load->acknowledged;
my $live = dump_to('live', '-Fd', '-j', '2');
my @after = $load->acknowledged;
$load->await(appends => 100, reads => 50);
$load->stop;
cmp_ok(scalar @after, '>', scalar @before, 'writers append while the dump is taken');
$node->command_ok([ restore_into('live', 'pg_restore', '-e', '-j', '2'), $live ],
    'a dump taken meanwhile is restored');
is($node->safe_psql('live', 'SELECT count(*) FROM es_verify()'), 0, '... and sound');
my $events = q{SELECT concat_ws('|', position, event_id, stream_id, version) FROM es_read_after(0, NULL)};
my @original = split /\n/, $node->safe_psql('postgres', $events);
my @live = split /\n/, $node->safe_psql('live', $events);
cmp_ok(scalar @live, '<', scalar @original, 'it is older than the log is now');
missing('what was acknowledged before the dump is in it', \@before, \@live);
missing('what is in it is in the original at the same place', \@live, \@original);
my $new = append($node, 'order-1', 'live');
my $head = head_position($node);
cmp_ok($new, '>', $head, 'what is appended to it lies above the original');
is(positions($node, $head, 'live'), $new, '... so that a consumer of the original goes on by its checkpoint');
is(positions($node, $early, 'live'), join(',', (grep { $_ > $early } map { s/\|.*//r } @live), $new),
    '... also one that stood below the end of the dump');

# missing(name, some, all): the test that there is nothing that only some have.
sub missing
{
    my ($name, $some, $all) = @_;
    my %there = map { $_ => 1 } @$all;
    return is(join("\n", grep { !$there{$_} } @$some), '', $name);
}

# A restored log keeps what it has through a crash before its first append.
$node->safe_psql('postgres', 'CREATE DATABASE crashed');
system_or_bail(@psql, '-d', $node->connstr('crashed'), '-f', $plain);
crash($node);
is($node->safe_psql('crashed', $everything), $log, 'a restored log survives a crash before its first append');
cmp_ok(append($node, 'order-1', 'crashed'), '>', $checkpoint + leap, '... and leaps at it');

done_testing();
