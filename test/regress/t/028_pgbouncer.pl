# Behind PgBouncer in transaction mode, where many clients share few sessions and each transaction may run in another
# one, appending, locking and reading promise what they promise without it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(sleep);

my $node = new_log('server', '', allows_streaming => 1);
# Three sessions of the server for all clients of the pool, and one for those of the narrow one.
my $server = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=postgres';
my ($folder, $port) = start_pooler('postgres',
    "pool = $server pool_size=3\nnarrow = $server pool_size=1", 'server_login_retry = 1');

sub through
{
    my ($pool) = @_;
    return "host=$folder port=$port dbname=$pool user=postgres";
}

# query(pool, sql): what psql prints, errors with their SQLSTATE.
sub query
{
    my ($pool, $sql) = @_;
    my $output;
    IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', through($pool) ], '<', \$sql, '>&', \$output);
    chomp $output;
    return $output;
}
for (1 .. 100) { last if query('pool', 'SELECT 1') eq '1'; sleep 0.1 }
is(query('pool', 'SELECT 1'), 1, 'the pooler is up');

# A client that keeps its connection, and its transaction open between queries.
sub client
{
    my ($pool) = @_;
    my ($in, $out) = ('', '');
    my $timer = IPC::Run::timeout(60);
    my $run = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', through($pool) ],
        '<', \$in, '>&', \$out, $timer);
    return sub {
        my ($sql) = @_;
        if (!defined $sql) {
            $in .= "\\q\n";
            return $run->finish;
        }
        $out = '';
        $in .= "$sql;\n\\echo end of answer\n";
        $run->pump until $out =~ s/end of answer\n//;
        chomp $out;
        return $out;
    };
}

# Two clients, one session

my ($one, $other) = (client('narrow'), client('narrow'));
my $pid = $one->('SELECT pg_backend_pid()');
is($other->('SELECT pg_backend_pid()'), $pid, 'two clients share one session');
is($one->(q{SELECT first_position FROM es_append('order-1', 'OrderPlaced', expected_version => es_no_stream())}), 1,
    'one appends');
is($other->(q{SELECT first_position FROM es_append('order-1', 'OrderPaid', expected_version => 1)}), 2,
    '... and the other goes on in the same session');
like($one->(q{SELECT es_append('order-1', 'OrderPaid', expected_version => 1)}),
    qr/TM001: wrong expected version\nDETAIL: .*"actual": 2/, 'a conflict reaches the client whole');
is($other->(q{SELECT last_version FROM es_append_streams('[{"stream": "order-1", "expected": 2},
    {"stream": "order-2", "events": [{"type": "OrderPlaced"}]}]')}), "2\n1", '... and leaves the session as it was');
is($one->(q{SELECT es_lock_stream('order-1')}), 2, 'a stream is locked in a transaction of its own');
is($other->(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0,
    '... which leaves no lock in the session');
is($other->('SELECT string_agg(position::text, \',\') FROM es_read_after()'), '1,2,3', 'the log is read');

$pid = $one->(<<'SQL');
BEGIN;
SELECT es_lock_stream('order-1') \g /dev/null
SELECT es_append('order-1', 'OrderShipped', expected_version => 2) \g /dev/null
SELECT pg_backend_pid();
SQL
is(query('pool', q{SELECT pid FROM es_blockers()}), $pid, 'es_blockers() names the session, of the pooler');
like(query('pool', q{SET lock_timeout = '100ms'; SELECT es_append('order-1', 'OrderShipped')}), qr/55P03/,
    'its stream is locked for clients of other sessions');
is($one->('COMMIT; SELECT es_stream_version(\'order-1\')'), 3, 'it commits');

# A prepared transaction is finished by whoever comes

$one->(q{BEGIN; SELECT es_append('order-3', 'OrderPlaced') \g /dev/null});
$one->(q{PREPARE TRANSACTION 'two phases'});
is($other->('SELECT es_head_position() - es_safe_position(), gid FROM es_blockers()'), '1|two phases',
    'a transaction that one client has prepared holds the line');
$other->(q{COMMIT PREPARED 'two phases'});
is($one->('SELECT es_head_position() - es_safe_position()'), 0, '... until another commits it');

# Many clients, three sessions

my $before = head_position($node);
$node->safe_psql('postgres', follow);
my $seen;
my $reader = IPC::Run::start([ 'psql', '-XAtq', '-d', through('pool'), '-c', "SELECT follow(7, $before)" ],
    '<', \undef, '>&', \$seen);
my $script = "$folder/append.sql";
append_to_file($script, <<'SQL');
\set stream random(1, 5)
SELECT * FROM es_append('busy-:stream', 'One');
BEGIN;
SELECT es_lock_stream('busy-:stream') AS version \gset
SELECT * FROM es_append('busy-:stream', 'Two', expected_version => :version);
SELECT * FROM es_append_streams('[{"stream": "other-:client_id", "events": [{"type": "Three"}, {"type": "Four"}]},
    {"stream": "order-1", "expected": 3}]');
COMMIT;
BEGIN;
SELECT * FROM es_append('busy-:stream', 'Undone');
ROLLBACK;
SQL
my $ran = IPC::Run::run([ 'pgbench', '-n', '-c', '20', '-j', '2', '-t', '30', '-f', $script, through('pool') ],
    '>&', \my $report);
ok($ran && $report =~ m{actually processed: 600/600}, 'twenty clients append through three sessions') or diag($report);
is($node->safe_psql('postgres', <<'SQL'), '600,600,600,600', 'every append is there, and nothing that was rolled back');
SELECT string_agg((SELECT count(*) FROM es_events WHERE event_type = type)::text, ',')
FROM unnest('{One,Two,Three,Four}'::text[]) AS type WHERE NOT EXISTS (SELECT FROM es_events WHERE event_type = 'Undone')
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');
query('pool', q{SELECT es_append('end-1', 'End')});
$reader->finish;
is($seen, $node->safe_psql('postgres',
        "SELECT position FROM es_events WHERE position > $before ORDER BY position") . "\n",
    'a reader behind the pooler has followed the log');

# The server goes and comes

my $head = head_position($node);
crash($node);
for (1 .. 100) { last if $one->('SELECT 1') =~ /^1$/m; sleep 0.1 }
my $first = $one->(q{SELECT first_position FROM es_append('order-1', 'OrderPaid')});
cmp_ok($first, '>', $head + leap, 'a client that has kept its connection to the pooler appends after a crash: above');
is($other->(q{SELECT first_position FROM es_append('order-1', 'OrderPaid')}), $first + 1, '... once');

$one->();
$other->();
done_testing();
