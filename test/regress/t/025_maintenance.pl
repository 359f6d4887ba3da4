# Maintenance of every table and index of the extension, while writers append and readers follow, here and on a standby:
# they may wait, and that is all.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('maintenance', <<'CONF', allows_streaming => 1);
wal_consistency_checking = 'all'
allow_in_place_tablespaces = on
max_prepared_transactions = 100
max_connections = 30
shared_buffers = 16MB
wal_keep_size = 1GB
autovacuum = off
CONF
$node->safe_psql('postgres', q{CREATE TABLESPACE side LOCATION ''});
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
# Readers there are not to be cancelled for what is replayed, which waits for them.
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\n");
$standby->start;

my @tables = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT relname FROM pg_depend JOIN pg_class ON pg_class.oid = objid
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tidemark') AND deptype = 'e'
    AND classid = 'pg_class'::regclass AND relkind = 'r' ORDER BY relname
SQL
sub indexes
{
    my ($table) = @_;
    return split /\n/, $node->safe_psql('postgres',
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '$table'::regclass ORDER BY 1");
}

# What may be done with each table. The first do not wait for transactions that have written to it, the second do.
sub gentle
{
    my ($table) = @_;
    return ("VACUUM $table", "VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) $table", "ANALYZE $table",
        map { ("ALTER INDEX $_ SET TABLESPACE side", "ALTER INDEX $_ SET TABLESPACE pg_default") } indexes($table));
}
sub waiting
{
    my ($table) = @_;
    return ("VACUUM FULL $table", "REINDEX TABLE $table", "REINDEX TABLE CONCURRENTLY $table",
        "ALTER TABLE $table SET TABLESPACE side", "ALTER TABLE $table SET TABLESPACE pg_default",
        map { "CLUSTER $table USING $_" } indexes($table));
}

# A session that is older than all maintenance
my $old = session($node);
my $version = 0;
sub old_session_appends
{
    return $old->query_safe(q{SELECT last_version FROM es_append('old-1', 'Happened')}) . ' '
        . $old->query_safe(q{SELECT count(*) FROM es_read_stream('old-1')});
}
is(old_session_appends(), ++$version . " $version", 'a session appends and reads');

my $load = Load->new;
$load->writers(4, [$node]);
$load->readers([ 100, 3 ], [$node]);
$load->readers([30], [$standby], 'reader on the standby');
$load->await(appends => 100, reads => 50);

sub maintained
{
    my ($command) = @_;
    is(outcome($node, $command), '', $command);
    is(old_session_appends(), ++$version . " $version", '... a session that is older goes on');
    return;
}

# Runs a statement in the background, and returns what finishes it and gives its output.
sub start
{
    my ($statement) = @_;
    my ($out, $err) = ('', '');
    my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $statement ],
        '<', \undef, '>', \$out, '2>', \$err);
    return sub { $run->finish; return $out . $err };
}

# With appenders that are prepared all the time, so many that the log head needs a further page. They hold the line, and
# two tables locked.
my $held = 70;
my $line = $node->safe_psql('postgres', join '', map {
    "BEGIN; SELECT CASE $_ WHEN 1 THEN first_position - 1 END FROM es_append('held-$_', 'Held');\n"
    . "PREPARE TRANSACTION 'held-$_';\n" } 1 .. $held) =~ s/\n//gr;
cmp_ok($node->safe_psql('postgres', overflow_entries), '>', 0, 'the log head needs a further page');
my @locked = qw(es_events es_installations);
my @free = grep { my $table = $_; !grep { $_ eq $table } @locked } @tables;
for my $command ((map { gentle($_) } @tables), (map { waiting($_) } @free)) {
    maintained($command);
    is($node->safe_psql('postgres',
            q{SELECT es_safe_position(), (SELECT count(*) FROM es_blockers() WHERE gid ~ '^held')}),
        "$line|$held", '... and the line stays');
}
$load->await(appends => 50);
$node->safe_psql('postgres', join '', map { ($_ % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED 'held-$_';\n" } 1 .. $held);
$load->await(appends => 50, reads => 50);

# With none but those of the load

my $by_type = 'CREATE INDEX CONCURRENTLY by_type ON es_events (event_type, position)';
for my $command ((map { waiting($_) } @locked),
    $by_type,
    q{ALTER TABLE es_events ADD COLUMN tenant text DEFAULT 'nobody'},
    'ALTER TABLE es_events ADD COLUMN size integer GENERATED ALWAYS AS (length(data::text)) STORED',
    'ALTER TABLE es_events DROP COLUMN tenant, DROP COLUMN size',
    'DROP INDEX CONCURRENTLY by_type',
    'VACUUM FULL', 'CLUSTER', 'VACUUM (FREEZE)', 'ANALYZE', 'REINDEX SCHEMA public',
    'REINDEX DATABASE CONCURRENTLY postgres')
{
    maintained($command);
}
$load->await(appends => 50, reads => 50);
$load->stop;
cmp_ok(append($node, 'end-1'), '<', leap, 'maintenance has not made the log leap');
$load->compare($node, 'after maintenance');
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $all = q{SELECT md5(string_agg(event::text, ',' ORDER BY position)) FROM es_read_after(0, NULL) AS event};
is($standby->safe_psql('postgres', $all), $node->safe_psql('postgres', $all), 'the standby has the same log');
my $head = 'SELECT row_number, md5(content) FROM es_log_head ORDER BY row_number';
is($standby->safe_psql('postgres', $head), $node->safe_psql('postgres', $head), '... and the same log head');
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC/, '... and has found every page as it was');
SKIP: {
    skip 'amcheck is not installed', 1
        if !$node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'});
    $node->command_ok([ 'pg_amcheck', '--install-missing', '--heapallindexed', '-d', 'postgres' ],
        'tables and indexes are sound');
}

# What waits for a transaction that has appended, as the documentation has it. The attempts leave invalid indexes, which
# appends have to respect.

$node->safe_psql('postgres', q{BEGIN; SELECT es_append('held-1', 'Held'); PREPARE TRANSACTION 'held'});
for my $command ((map { waiting($_) } @locked), $by_type, 'ALTER TABLE es_events ADD COLUMN tenant text') {
    is(outcome($node, "SET lock_timeout = '50ms'; $command"), '55P03: canceling statement due to lock timeout',
        "$command waits for an appender");
}
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM pg_index WHERE NOT indisvalid'), '>', 1,
    'attempts leave invalid indexes');
is(old_session_appends(), ++$version . " $version", '... and appends go on');
$node->safe_psql('postgres', q{COMMIT PREPARED 'held'});
$node->safe_psql('postgres', "DROP INDEX $_") for split /\n/,
    $node->safe_psql('postgres', 'SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid');

# REINDEX CONCURRENTLY keeps the old indexes while it waits for a reader, beside the new ones that have their names.

my $taken = $node->safe_psql('postgres', q{SELECT event_id FROM es_read_stream('old-1', max_count => 1)});
$old->query_safe('BEGIN; SELECT count(*) FROM es_events');
my $reindexed = start('REINDEX TABLE CONCURRENTLY es_events');
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_class WHERE relname ~ 'ccold'}) or die;
is(outcome($node, "SELECT es_append('new-1', 'Taken', expected_version => es_no_stream(), event_id => '$taken')"),
    'TM003: idempotency conflict', 'an id that is taken is recognized while indexes are replaced');
$old->query_safe('COMMIT');
is($reindexed->(), '', '... which ends when the reader does');

# Statements that began to wait before the table was rewritten, or its columns changed

$old->query_safe('BEGIN; ALTER TABLE es_events ADD COLUMN noted_at timestamptz DEFAULT clock_timestamp()');
my $events = $old->query_safe('SELECT count(*) FROM es_events');
my @begun = map { [ $_, start($_) ] } q{SELECT es_stream_version('old-1')},
    q{SELECT count(*) FROM (SELECT es_read_stream('old-1')) AS event};
my $page = start('SELECT count(*) FROM (SELECT es_read_after(0, NULL)) AS event');
$node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM pg_locks WHERE NOT granted}) or die;
$old->query_safe('COMMIT');
is($_->[1]->(), "$version\n", "$_->[0] sees the stream when the table that it waited for is another") for @begun;
is($page->(), "$events\n", '... and es_read_after() the log');
$old->quit;

# The marker of the log's history is what it was, wherever it lies.

$node->safe_psql('postgres', <<'SQL');
VACUUM FULL es_log_marker;
ALTER TABLE es_log_marker SET TABLESPACE side;
VACUUM FULL es_log_head;
ALTER TABLE es_log_head SET TABLESPACE side;
SQL
my $last = head_position($node);
$node->restart;
is(append($node, 'after-1'), $last + 1, 'a clean restart after maintenance goes on where the log was');
crash($node);
cmp_ok(append($node, 'after-1'), '>', leap, 'a crash after maintenance makes the log leap');
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound in the end');

done_testing();
