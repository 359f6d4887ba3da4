# Subscriptions far behind: what does not match is passed over once and for all, memory stays small, and nobody is held
# up by how much there is.
#
# TIDEMARK_CATCHUP_EVENTS sets how many events do not match (1000000).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(time);

my $events = $ENV{TIDEMARK_CATCHUP_EVENTS} // 1_000_000;
my $limit = 100;
my $node = new_log('behind', "shared_buffers = 16MB\nmax_wal_size = 4GB\nautovacuum = off\n");

# Two events that match, with all the others between them, and none after the second.
append($node, 'rare-1');
my $streams = int($events / 50000);
$node->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM generate_series(1, $streams) AS stream, es_append_events('usual-' || stream,
    (SELECT jsonb_agg(jsonb_build_object('type', 'Usual')) FROM generate_series(1, 50000) WHERE stream > 0))
SQL
append($node, 'rare-1');
my $last = append($node, 'usual-0');
$node->safe_psql('postgres', 'VACUUM ANALYZE es_events');
my %filter = (category => q{category => 'rare'}, type => q{event_types => '{Happened}', stream_prefix => 'rare-'},
    prefix => q{stream_prefix => 'rare-'}, partitions => q{event_types => '{Happened}', partitions => 4});

# The statements in a new session: their output, seconds, and the most memory that its backend ever had, in MB.
sub run
{
    my ($sql) = @_;
    my $session = session($node);
    my $pid = $session->query_safe('SELECT pg_backend_pid()');
    my $start = time;
    my $out = $session->query_safe($sql);
    my $seconds = time - $start;
    my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
    $session->quit;
    note(sprintf '%.3f s, %d MB', $seconds, $peak / 1024);
    return ($out, $seconds, $peak / 1024);
}

sub fetch
{
    my ($subscription) = @_;
    return "SELECT string_agg(position::text, ' '), es_ack('$subscription', max(position), max(fence)) "
        . "FROM es_fetch('$subscription', 'ann', lease => '10 minutes') HAVING count(*) > 0";
}
sub checkpoint
{
    my ($subscription) = @_;
    return $node->safe_psql('postgres',
        "SELECT min(checkpoint) FROM es_subscription_status WHERE subscription = '$subscription'");
}

# Near enough to the end of the log: what is few and does not match is not worth noting.
my $end = $last - 10_000;

# Call after call, until the last one has got nothing and come to the end.
sub catch_up
{
    my ($subscription) = @_;
    my ($calls, $all, $longest, $most, @got) = (0, 0, 0, 0);
    while ($calls < 100) {
        my ($out, $seconds, $peak) = run(fetch($subscription));
        $calls++;
        $all += $seconds;
        $longest = $seconds if $seconds > $longest;
        $most = $peak if $peak > $most;
        push @got, $out =~ s/\|.*//r if $out ne '';
        last if $out eq '' && checkpoint($subscription) >= $end;
    }
    return ("@got", $all, $most, $calls);
}

my $matching = "1 " . ($last - 1);
for my $by (sort keys %filter) {
    $node->safe_psql('postgres', "SELECT es_create_subscription('by $by', $filter{$by});
        SELECT count(*) FROM es_claim('by $by', 'ann', '10 minutes')");
    my ($got, $seconds, $peak, $calls) = catch_up("by $by");
    is($got, $by eq 'partitions' ? "$matching $last" : $matching, "by $by: what matches is got");
    cmp_ok($calls, '<', 20, '... in a few calls');
    cmp_ok(checkpoint("by $by"), '>=', $end, '... and the checkpoint comes to the end of the log');
    cmp_ok($peak, '<', $limit, "... within $limit MB");
}

# What has been passed over is not looked at again. To see that takes a filter without an index, and more calls than
# one: a single one looks at no more than half a million events.
$node->safe_psql('postgres', q{SELECT es_create_subscription('none', event_types => '{None}');
    SELECT count(*) FROM es_claim('none', 'ann', '10 minutes')});
my ($first_out, $first) = run(fetch('none'));
is($first_out, '', 'a fetch looks for what is not there');
my $half = checkpoint('none');
cmp_ok($half, '>=', 499_000, '... and notes how far it has looked');
cmp_ok($half, '<', $end, '... which is not to the end');
for (1 .. 100) { last if checkpoint('none') >= $end; run(fetch('none')) }
my ($again) = sort { $a <=> $b } map { (run(fetch('none')))[1] } 1 .. 5;
cmp_ok($again, '<', $first / 5, 'what has been looked at once is not looked at again');
crash($node);
cmp_ok(checkpoint('none'), '>=', $end, '... after a crash neither');
is($node->safe_psql('postgres', q{SELECT backlog, backlog_is_exact FROM es_subscription_status
    WHERE subscription = 'none'}), '0|t', 'there is no backlog then');

# Batch by batch in one session, and in one batch
$node->safe_psql('postgres', <<'SQL');
SELECT es_create_subscription('all'), es_create_subscription('shared', partitions => 4),
    es_create_subscription('whole');
CREATE PROCEDURE consume(name text, most bigint) LANGUAGE plpgsql AS
$$
DECLARE
    batch record;
    events bigint := 0;
BEGIN
    PERFORM es_claim(name, 'ann', '10 minutes');
    LOOP
        SELECT count(*) AS events, max(position) AS last, max(fence) AS fence INTO batch
        FROM es_fetch(name, 'ann', 1000, lease => '10 minutes');
        EXIT WHEN batch.events = 0 OR events >= most;
        PERFORM es_ack(name, batch.last, batch.fence);
        events := events + batch.events;
        COMMIT;
    END LOOP;
    PERFORM set_config('test.events', events::text, false);
END
$$;
SQL
my $part = 200000;
for my $name ('all', 'shared') {
    my ($out, $seconds, $peak) = run("CALL consume('$name', $part);\nSELECT current_setting('test.events')");
    cmp_ok($out, '>=', $part, "a consumer of $name catches up with many events");
    cmp_ok($peak, '<', $limit, "... within $limit MB");
}
is($node->safe_psql('postgres', q{SELECT DISTINCT backlog, backlog_is_exact FROM es_subscription_status
    WHERE subscription = 'all'}), '1000|f', 'a large backlog is counted no further than to 1,000');
my ($out, $seconds, $peak) = run("SELECT count(*) FROM es_fetch('whole', 'ann', 400000, lease => '10 minutes')");
is($out, 400_000, 'a batch of 400,000 events is got');
cmp_ok($peak, '<', $limit, "... within $limit MB");

done_testing();
