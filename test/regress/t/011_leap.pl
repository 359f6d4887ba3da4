# No position is ever given to two events. A clean restart goes on where the log was; after a crash, a promotion, a
# restore or in a copy the next append leaps, above everything that a consumer can have seen.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('leap', <<'CONF', allows_streaming => 1, has_archiving => 1);
max_connections = 50
shared_buffers = 16MB
bgwriter_lru_maxpages = 0
autovacuum = off
CONF

# leaps(node, from, name): the next append gets a position far above `from`, the one after that the next position, and
# the log is sound.
sub leaps
{
    my ($node, $from, $name, $database) = @_;
    my $first = append($node, 'leaping-1', $database);
    cmp_ok($first, '>', $from + leap / 2, $name);
    is(append($node, 'leaping-1', $database), $first + 1, '... once, not again in the next session');
    is($node->safe_psql($database // 'postgres', 'SELECT count(*) FROM es_verify()'), 0, '... and the log is sound');
    return $first + 1;
}

# Without a break

is(append($node, 'a-1'), 1, 'a new log begins at position 1');
$node->restart;
is(append($node, 'a-1'), 2, 'after a clean restart the log goes on where it was');

$node->safe_psql('postgres', 'CREATE DATABASE undone');
$node->safe_psql('undone', q{CREATE EXTENSION tidemark; BEGIN; SELECT es_append('a-1', 'Undone'); ROLLBACK});
is(append($node, 'a-1', 'undone'), 2, 'a first append that was rolled back leaves a gap');
$node->restart;
is(append($node, 'a-1', 'undone'), 3, '... and does not make the log leap');

# Crashes

crash($node);
is(positions($node), '1,2', 'after a crash the log is read before anything is appended');
is(safe_position($node), head_position($node), '... and nothing holds the line back');
my $position = leaps($node, 2, 'after a crash the next append leaps');
is(positions($node, 2), join(',', $position - 1, $position), 'a consumer goes on by its checkpoint after a crash');

$node->restart;
is(append($node, 'a-1'), ++$position, 'a clean restart after a crash goes on where the log was');

crash($node);
$node->pgbench('-n -c 20 -j 2 -t 1', 0, [qr/processed: 20\/20/], [qr/^$/], 'sessions append at once after a crash',
    { '011_first' => q{SELECT * FROM es_append('first-:client_id', 'Happened');} });
is($node->safe_psql('postgres', "SELECT count(*), max(position) - min(position), min(position) > $position + @{[leap]}
        FROM es_read_after($position)"), '20|19|t', 'of many sessions that append first after a crash one leaps');

# Runs the statements with nothing of what they commit reaching the disk, and crashes the server. Returns the last
# one's result.
sub lost_in_a_crash
{
    my ($sql) = @_;
    my $wal_writer =
        $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
    kill 'STOP', $wal_writer;
    my $result = $node->safe_psql('postgres', "SET synchronous_commit = off;\n$sql");
    crash($node, $wal_writer);
    return (split /\n/, $result)[-1];
}

my $checkpoint = lost_in_a_crash(<<'SQL');
SELECT count(*) FROM generate_series(1, 50) AS n, es_append('lost-' || n, 'Lost');
SELECT max(position) FROM es_read_after(0, NULL);
SQL
is($node->safe_psql('postgres', q{SELECT es_stream_version('lost-50')}), 0,
    'a crash takes back what was committed asynchronously, though a consumer has read it');
leaps($node, $checkpoint, 'the positions of what a crash took back are not given to other events');

# On purpose

my $leapt = $node->safe_psql('postgres', 'SELECT es_leap()');
is($leapt, head_position($node), 'es_leap() returns the last position');
is(append($node, 'a-1'), $leapt + 1, 'the next append goes on from where es_leap() has put the head');
cmp_ok($node->safe_psql('postgres', 'SELECT es_leap()'), '>', $leapt + leap, 'es_leap() leaps each time');

# A log that leaps faster than the clock cannot rely on it.
$checkpoint = lost_in_a_crash(<<'SQL');
SELECT count(es_leap()) FROM generate_series(1, 100);
SELECT last_position FROM es_append('lost-51', 'Lost');
SQL
is($node->safe_psql('postgres', q{SELECT es_stream_version('lost-51')}), 0,
    'a crash right after a leap takes back the events');
leaps($node, $checkpoint, 'but not the leap: their positions are not given to other events');

# Copies

$node->backup('copy');
$node->safe_psql('postgres', q{SELECT pg_create_restore_point('here')});
my $standby = PostgreSQL::Test::Cluster->new('promoted');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$position = append($node, 'a-1');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->stop;
my $seen = append($node, 'ahead-1') for 1 .. 5;
$seen = head_position($node);
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');

my $copy = PostgreSQL::Test::Cluster->new('copied');
$copy->init_from_backup($node, 'copy');
$copy->append_conf('postgresql.conf', 'archive_mode = off');
$copy->start;
cmp_ok(head_position($copy), '<', $seen, 'a copy made by pg_basebackup has the log as it was');
leaps($copy, $seen, 'its first append leaps above what was appended to the original since');
$copy->stop;

my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($node, 'copy', has_restoring => 1, standby => 0);
$recovered->append_conf('postgresql.conf', <<'CONF');
archive_mode = off
recovery_target_name = 'here'
recovery_target_action = promote
CONF
$recovered->start;
$recovered->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
cmp_ok(head_position($recovered), '<', $seen, 'recovery to a point in time has the log of that time');
leaps($recovered, $seen, 'the first append after it leaps above what was appended later in the lost history');
$recovered->stop;

# Promotion of a standby that has not got the last events, which consumers of the old primary have read

$node->stop('immediate');
$standby->append_conf('postgresql.conf', 'archive_mode = off');
$standby->start;
is(head_position($standby), $position, 'the standby is behind the old primary');
my $old_session = session($standby);
is($old_session->query_safe('SELECT es_head_position()'), $position, 'a session is connected to the standby');
$standby->promote;
is(head_position($standby), $position, 'after a promotion the log is read before anything is appended');
$position = $old_session->query_safe(q{SELECT first_position FROM es_append('old-1', 'Happened')});
cmp_ok($position, '>', $seen + leap / 2, 'the first append after a promotion leaps, also in a session from before it');
$old_session->quit;
is(append($standby, 'a-1'), $position + 1, '... once');
is(positions($standby, $seen), join(',', $position, $position + 1),
    'a consumer that was ahead of the standby misses nothing of what the new primary appends');
$standby->stop;

done_testing();
