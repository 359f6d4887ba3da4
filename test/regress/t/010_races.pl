# Races: many sessions that append to one stream with the same expectation or with none, calls of several events while
# others append, and readers that follow the log while it grows.
#
# TIDEMARK_RACE_SECONDS sets how long the readers follow it.

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

my $seconds = $ENV{TIDEMARK_RACE_SECONDS} // 4;
my $node = new_log('races', "max_connections = 130\nmax_prepared_transactions = 2\nautovacuum = off\n");

my $scripts = PostgreSQL::Test::Utils::tempdir();
sub pgbench
{
    my ($script, @options) = @_;
    my $file = "$scripts/script.sql";
    unlink $file;
    append_to_file($file, $script);
    my $log = '';
    return IPC::Run::start([ 'pgbench', '-n', '-j', '2', '-f', $file, @options, $node->connstr('postgres') ],
        '<', \undef, '>&', \$log);
}

# Lets as many sessions run the statement on the stream at once: they queue up behind a lock that is then released, and
# where commits do not wait for the disk, for the turn to wait for it.
sub race
{
    my ($stream, $sessions, $statement, $commit) = @_;
    $node->safe_psql('postgres', "ALTER DATABASE postgres SET synchronous_commit = $commit");
    my $holder = session($node);
    $holder->query_safe("BEGIN; SELECT es_lock_stream('$stream')");
    my $racers = pgbench($statement, '-c', $sessions, '-t', 1);
    my $waiting;
    for (1 .. 200) {
        $waiting = $node->safe_psql('postgres',
            q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'});
        last if $waiting == $sessions;
        sleep 0.05;
    }
    is($waiting, $sessions, "all $sessions sessions wait for the stream's lock");
    is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 29704}),
        $commit eq 'off' ? $sessions : 0, 'in turn where commits do not wait for the disk');
    $holder->query_safe('COMMIT');
    $holder->quit;
    $racers->finish or diag("pgbench failed");
    return;
}

# Appends that accept any version

for my $commit ('on', 'off') {
    race("any-$commit", 50, "SELECT * FROM es_append('any-$commit', 'Happened');", $commit);
    is($node->safe_psql('postgres', "SELECT count(*), min(version), max(version) FROM es_read_stream('any-$commit')"),
        '50|1|50', "50 sessions that create or append to one stream get versions 1 to 50, commits $commit");
    my $many = pgbench("SELECT * FROM es_append('busy-$commit', 'Happened');", '-c', 20, '-t', 50);
    ok($many->finish, "20 sessions append to one stream over and over, commits $commit");
    is($node->safe_psql('postgres', "SELECT count(*), max(version) FROM es_read_stream('busy-$commit')"),
        '1000|1000', 'all that they have appended is there');
    $node->safe_psql('postgres', "BEGIN; SELECT es_append('any-$commit', 'Prepared'); PREPARE TRANSACTION 'holder'");
    my $after = pgbench("SELECT * FROM es_append('any-$commit', 'After');", '-c', 2, '-t', 1);
    $node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'});
    $node->safe_psql('postgres', "COMMIT PREPARED 'holder'");
    ok($after->finish, "a prepared transaction keeps its stream locked until it is committed, commits $commit");
    is($node->safe_psql('postgres', "SELECT event_type FROM es_read_stream('any-$commit', 51)"),
        "Prepared\nAfter\nAfter", 'and who has waited comes after it');
}

# Appends that expect the same version

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE outcomes (race text, outcome text, detail text, by integer);
CREATE FUNCTION attempt(race text, expected bigint, by integer) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    PERFORM es_append(race, 'Won', jsonb_build_object('by', by), expected_version => expected);
    INSERT INTO outcomes VALUES (race, 'won', NULL, by);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS conflict = PG_EXCEPTION_DETAIL;
    INSERT INTO outcomes VALUES (race, SQLSTATE, conflict, by);
END
$$
SQL

for my $sessions (2, 10, 100) {
    for my $expected (-1, 1) {
        my $what = $expected == 1 ? 'version 1' : 'no stream';
        my $race = "race-$sessions" . ($expected == 1 ? '-again' : '');
        append($node, $race) if $expected == 1;
        my $version = $expected == 1 ? 2 : 1;
        race($race, $sessions, "SELECT attempt('$race', $expected, :client_id);", $expected == 1 ? 'off' : 'on');

        is($node->safe_psql('postgres', "SELECT outcome, count(*) FROM outcomes WHERE race = '$race'
                GROUP BY outcome ORDER BY count(*), outcome DESC"),
            "won|1\nTM001|" . ($sessions - 1),
            "of $sessions sessions that expect $what one wins, and the others get TM001");
        is($node->safe_psql('postgres',
                "SELECT DISTINCT detail FROM outcomes WHERE race = '$race' AND outcome <> 'won'"),
            sprintf('[{"stream": "%s", "expected": %s, "actual": %d}]', $race,
                $expected == 1 ? 1 : '"no stream"', $version),
            "each of the losers among $sessions is told what it expected and what there is");
        is($node->safe_psql('postgres', "SELECT count(*), max(version), (SELECT by FROM outcomes AS o
                    WHERE o.race = '$race' AND outcome = 'won') = max((data->>'by')::int)
                FROM es_read_stream('$race', $version)"),
            "1|$version|t", "the stream for which $sessions raced has the winner's event and no other");
    }
}

# Rapid appends

pgbench(q{SELECT * FROM es_append('rapid-1', 'Happened');}, '-c', 4, '-t', 250)->finish;
is($node->safe_psql('postgres', q{SELECT count(*), max(version) FROM es_read_stream('rapid-1')}),
    '1000|1000', '1,000 rapid appends to one stream are 1,000 versions');
is($node->safe_psql('postgres', <<'SQL'), 't|1000',
CREATE TEMPORARY TABLE refused (version bigint);
DO $$
BEGIN
    FOR stale IN 0 .. 999 LOOP
        BEGIN
            PERFORM es_append('rapid-1', 'Stale', expected_version => stale);
        EXCEPTION WHEN SQLSTATE 'TM001' THEN
            INSERT INTO refused VALUES (stale);
        END;
    END LOOP;
END
$$;
SELECT (SELECT last_version = 1001 FROM es_append('rapid-1', 'Last', expected_version => 1000)), count(*) FROM refused;
SQL
    'every stale version of the stream is refused, and its last accepted');

# Calls of several events

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE calls (number_of_events bigint, stream_id text, first_version bigint, last_version bigint,
                    first_position bigint, last_position bigint, is_duplicate boolean);
SQL
pgbench(<<'SQL', '-c', 8, '-T', 2)->finish;
\set events random(1, 30)
\set stream random(1, 5)
INSERT INTO calls
SELECT :events, call.*
FROM es_append_events('many-:stream', (SELECT jsonb_agg(jsonb_build_object('type', 'Happened', 'data', n) ORDER BY n)
                                       FROM generate_series(1, :events) AS n)) AS call;
SQL
is($node->safe_psql('postgres', <<'SQL'), 't|0',
SELECT count(*) > 100, count(*) FILTER (WHERE NOT right_so)
FROM (SELECT count(event.position) = number_of_events AND last_version - first_version = number_of_events - 1
             AND last_position - first_position = number_of_events - 1
      FROM calls CROSS JOIN LATERAL generate_series(0, number_of_events - 1) AS n
      LEFT JOIN es_events AS event ON event.position = first_position + n AND event.stream_id = calls.stream_id
                                      AND event.version = first_version + n AND event.data = to_jsonb(n + 1)
      GROUP BY number_of_events, first_version, last_version, first_position, last_position) AS call (right_so)
SQL
    'the events of a call are consecutive in log and stream while others append');

# Readers

$node->safe_psql('postgres', follow);
$node->safe_psql('postgres',
    consumer('follow_table', 'es_events WHERE position > after ORDER BY position LIMIT page'));
my $start = head_position($node);
my %readers;
for my $call ("follow(1000, $start)", "follow(7, $start)", "follow_table(1000, $start)") {
    $readers{$call} = { out => '' };
    $readers{$call}{run} = IPC::Run::start(
        [ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SET statement_timeout = '120s'; SELECT $call" ],
        '<', \undef, '>', \$readers{$call}{out});
}
# One that is caught between two steps of the protocol loses what commits meanwhile: many short transactions on few
# processors make that likely.
pgbench(<<'SQL', '-c', 10, '-T', $seconds)->finish;
\set kind random(1, 20)
\set pause random(1, 3000)
\if :kind = 1
BEGIN;
SELECT * FROM es_append('follow-:client_id', 'Early');
\sleep :pause us
SELECT * FROM es_append('follow-:client_id', 'Late');
COMMIT;
\elif :kind = 2
BEGIN;
SELECT * FROM es_append('follow-:client_id', 'Undone');
ROLLBACK;
\elif :kind = 3
BEGIN;
SELECT pg_current_xact_id();
\sleep :pause us
SELECT * FROM es_append('follow-:client_id', 'Happened');
COMMIT;
\else
SELECT * FROM es_append('follow-:client_id', 'Happened');
\endif
SQL
$node->safe_psql('postgres', q{SELECT * FROM es_append('end-1', 'End')});
$_->{run}->finish for values %readers;

my $log = $node->safe_psql('postgres', "SELECT position FROM es_events WHERE position > $start ORDER BY position");
my $events = () = $log =~ /\n/g;
note("$events events");
cmp_ok($events, '>', 500, 'there was something to follow');
for my $page (1000, 7) {
    my $seen = $readers{"follow($page, $start)"}{out};
    chomp $seen;
    ok($seen eq $log, "a reader in pages of $page sees each committed event once and in order while many write")
        or diag(first_difference($seen, $log));
}
isnt($readers{"follow_table(1000, $start)"}{out}, "$log\n", 'a reader of the bare table misses events in the same run');
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');

sub first_difference
{
    my @seen = split /\n/, $_[0];
    my @log = split /\n/, $_[1];
    for my $i (0 .. $#log) {
        next if defined $seen[$i] && $seen[$i] == $log[$i];
        return sprintf 'read %d of %d events; number %d is %s, not %s', scalar @seen, scalar @log, $i + 1,
            $seen[$i] // 'missing', $log[$i];
    }
    return 'more than the log: ' . (@seen - @log);
}

done_testing();
