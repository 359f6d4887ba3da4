# Memory: a backend stays small, however many events it appends in a call, pages through, or returns; and what it
# returns goes to temporary files once, not twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $limit = 300;
my $node = new_log('memory', "shared_buffers = 16MB\nmax_wal_size = 4GB\nautovacuum = off\n");

# Runs the statements in a new session and returns their output and the most memory its backend ever had, in MB. That
# includes its part of the shared buffers, which are small here.
sub run
{
    my ($sql) = @_;
    my $session = session($node);
    my $pid = $session->query_safe('SELECT pg_backend_pid()');
    my $out = $session->query_safe($sql);
    my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
    $session->quit;
    note(sprintf '%d MB', $peak / 1024);
    return ($out, $peak / 1024);
}

my ($out, $peak) = run(<<'SQL');
SELECT last_version FROM es_append_events('big-1',
    (SELECT jsonb_agg(jsonb_build_object('type', 'Happened', 'data', jsonb_build_object('n', n)))
     FROM generate_series(1, 100000) AS n))
SQL
is($out, 100000, '100,000 events are appended in one call');
cmp_ok($peak, '<', $limit, "... within $limit MB");

($out, $peak) = run(<<'SQL');
SELECT count(*) FROM generate_series(1, 50000) AS n,
    es_append('many-' || n, 'Happened', jsonb_build_object('n', n, 'text', repeat('x', 200)))
SQL
is($out, 50000, 'a transaction appends to 50,000 streams');
cmp_ok($peak, '<', $limit, "... within $limit MB");

($out, $peak) = run(<<'SQL');
SELECT last_version FROM es_append_events('big-1',
    (SELECT jsonb_agg(jsonb_build_object('type', 'Happened', 'data', jsonb_build_object('n', n)))
     FROM generate_series(1, 100000) AS n), 100000)
SQL
is($out, 200000, 'the stream grows to 200,000 events');

($out, $peak) = run(<<'SQL');
DO $$
DECLARE
    event record;
    after bigint := 0;
    seen bigint := 0;
    page bigint;
BEGIN
    LOOP
        page := 0;
        FOR event IN SELECT position FROM es_read_after(after, 1000) LOOP
            after := event.position;
            page := page + 1;
        END LOOP;
        EXIT WHEN page = 0;
        seen := seen + page;
    END LOOP;
    PERFORM set_config('test.seen', seen::text, false);
END
$$;
SELECT current_setting('test.seen')
SQL
is($out, 250000, 'a consumer pages through 250,000 events in one transaction');
cmp_ok($peak, '<', 100, '... within 100 MB');

# Spilled to disk: the bytes of temporary files, reported when the session ends.
sub spilled
{
    my $bytes = q{SELECT temp_bytes FROM pg_stat_database WHERE datname = 'postgres'};
    my $before = $node->safe_psql('postgres', $bytes);
    my ($result, $memory) = run(@_);
    $node->poll_query_until('postgres', "SELECT temp_bytes > $before FROM ($bytes) AS now");
    return ($result, $memory, $node->safe_psql('postgres', $bytes) - $before);
}
my $size = $node->safe_psql('postgres', q{SELECT sum(pg_column_size(event)) FROM es_read_stream('big-1') AS event});
for my $read ("es_read_stream('big-1')", q{es_read_after(0, NULL, stream_prefix => 'big-')}) {
    ($out, $peak, my $bytes) = spilled("SELECT count(*) FROM $read");
    is($out, 200000, "$read returns 200,000 events");
    cmp_ok($peak, '<', 100, '... within 100 MB');
    cmp_ok($bytes, '<', 1.5 * $size, '... and holds them once');
}

done_testing();
