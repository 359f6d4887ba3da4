# Appends to many streams by many sessions: whatever the order of the streams there is no deadlock, whoever looks never
# sees a part of a call, and a stream that everybody wants is shared out fairly.
#
# TIDEMARK_MANY_STREAMS_SECONDS sets how long each race goes on (3).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $seconds = $ENV{TIDEMARK_MANY_STREAMS_SECONDS} // 3;
my $node = new_log('many_streams', "autovacuum = off\ndeadlock_timeout = 50ms\n");
my $scripts = PostgreSQL::Test::Utils::tempdir();

# Runs the scripts side by side: each is [name, script, options of pgbench]. Returns what pgbench says of each.
sub race
{
    my @races = @_;
    for my $race (@races) {
        my ($name, $script, @options) = @$race;
        my $file = "$scripts/$name.sql";
        append_to_file($file, $script);
        my $said = '';
        my $run = IPC::Run::start([ 'pgbench', '-n', '-f', $file, @options, $node->connstr('postgres') ],
            '<', \undef, '>&', \$said);
        push @$race, $run, \$said;
    }
    return map { $_->[-2]->finish; ${ $_->[-1] } } @races;
}

# How many transactions pgbench has made, if none has failed.
sub processed
{
    return $_[0] !~ /aborted/ && $_[0] =~ /actually processed: (\d+).*failed transactions: 0 /s ? $1 : 0;
}

# Streams in opposite order

my $ab = q{SELECT * FROM es_append_streams(format('[{"stream": "%s-1", "events": [{"type": "T"}]},
    {"stream": "%s-1", "events": [{"type": "T"}]}]', :first, :second)::jsonb);};
my ($said) = race([ 'opposite', <<"SQL", '-c', 2, '-j', 2, '-t', 1000 ]);
\\if :client_id = 0
${\($ab =~ s/:first, :second/'a', 'b'/r)}
\\else
${\($ab =~ s/:first, :second/'b', 'a'/r)}
\\endif
SQL
is(processed($said), 2000, '1,000 calls for A and B race as many for B and A without a deadlock') or diag($said);
is($node->safe_psql('postgres', q{SELECT stream_id, count(*), max(version) FROM es_read_streams('{a-1,b-1}')
        GROUP BY stream_id ORDER BY stream_id}),
    "a-1|2000|2000\nb-1|2000|2000", 'each of them has appended to both streams');

($said) = race([ 'control', <<'SQL', '-c', 2, '-j', 2, '-t', 20, '--failures-detailed' ]);
\if :client_id = 0
\set first 1
\else
\set first 2
\endif
BEGIN;
SELECT * FROM es_append('control-' || :first, 'T');
\sleep 1 ms
SELECT * FROM es_append('control-' || 3 - :first, 'T');
COMMIT;
SQL
like($said, qr/deadlock failures: [1-9]/, 'the same with an append to the one and then to the other does deadlock');

# Any streams in any order

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION random_writes(count integer, streams integer) RETURNS jsonb LANGUAGE sql AS
$$
    SELECT jsonb_agg(CASE WHEN random() < 0.3 THEN jsonb_build_object('stream', 'any-' || n)
                     ELSE jsonb_build_object('stream', 'any-' || n, 'events', CASE WHEN random() < 0.7
                              THEN '[{"type": "T"}]'::jsonb ELSE '[{"type": "T"}, {"type": "T"}]'::jsonb END) END)
    FROM (SELECT n FROM generate_series(1, streams) AS n ORDER BY random() LIMIT count) AS chosen
$$;
CREATE TABLE calls (call xid8 DEFAULT pg_current_xact_id(), stream_id text, first_version bigint, last_version bigint,
                    first_position bigint, last_position bigint, is_duplicate boolean, write bigint);
CREATE VIEW wrong_calls AS
SELECT call
FROM (SELECT *, lag(last_position) OVER (PARTITION BY call ORDER BY write) AS previous
      FROM calls WHERE first_position IS NOT NULL) AS written
WHERE first_position <> previous + 1 OR last_position - first_position <> last_version - first_version
   OR (SELECT count(*) FROM es_events AS event
       WHERE event.position BETWEEN first_position AND last_position AND event.stream_id = written.stream_id
         AND event.version - first_version = event.position - first_position) <> last_version - first_version + 1;
SQL
my $call = 'INSERT INTO calls
    (stream_id, first_version, last_version, first_position, last_position, is_duplicate, write)
    SELECT * FROM es_append_streams(random_writes(%s)) WITH ORDINALITY;';
($said) = race([ 'any', sprintf("\\set count random(3, 5)\n$call", ':count, 10'), '-c', 8, '-j', 2, '-T', $seconds ]);
my $calls = processed($said);
note("$calls calls");
cmp_ok($calls, '>', 100, '8 sessions that write to and check 3 to 5 of 10 streams in any order meet no deadlock')
    or diag($said);

# Ids whose locks have the same key: the one that is written to is locked first.
($said) = race([ 'equal keys', <<'SQL', '-c', 4, '-j', 2, '-t', 200 ]);
SELECT * FROM es_append_streams('[{"stream": "order-a00001"}, {"stream": "A3SdAaIN-6nX", "events": [{"type": "T"}]}]');
SQL
is(processed($said), 800, 'calls that check one stream and write to another whose lock is the same meet no deadlock')
    or diag($said);

# A large call does not wait for what maintains the table, nor that for it.
my $snapshot = session($node);
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $build = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
        'CREATE INDEX CONCURRENTLY ON es_events (recorded_at)' ], '<', \undef, '>&', \my $built);
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_progress_create_index
    WHERE phase = 'waiting for old snapshots'}) or die 'the index is not built';
my $large = q{SELECT count(*) FROM es_append_streams((SELECT jsonb_agg(jsonb_build_object(
    'stream', 'beside-' || n, 'events', '[{"type": "T"}]'::jsonb)) FROM generate_series(1, 1001) AS n))};
is(outcome($node, "SET lock_timeout = '20s'; $large"), 1001,
    'a call of 1,001 streams is made while an index is created concurrently');
$snapshot->query_safe('COMMIT');
$snapshot->quit;
ok($build->finish, '... which is finished') or diag($built);

# Large calls wait for all others, and all others for them.
my @said = race(
    [ 'large', sprintf($call, '1100, 1500'), '-c', 3, '-j', 1, '-t', 6 ],
    [ 'small', sprintf("\\set count random(3, 5)\n$call", ':count, 1500'), '-c', 3, '-j', 1, '-t', 100 ]);
is(join(' ', map { processed($_) } @said), '18 300',
    'calls of 1,100 streams and of a few, in any order, meet no deadlock')
    or diag(@said);
is($node->safe_psql('postgres', 'SELECT count(DISTINCT call) FROM calls'), $calls + 318,
    'each call has returned its rows');
is($node->safe_psql('postgres', 'ANALYZE es_events, calls; SELECT count(*) FROM wrong_calls'), 0,
    'the events of a call are consecutive, in the order given, while others append');
is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM es_events WHERE category = 'any')
            - (SELECT sum(last_version - first_version + 1) FROM calls)}),
    0, 'the streams have the events of these calls and no other');

# Half of a call

# Observers look until the end, and return how often they have looked, and how often they have seen only a part.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION observe(total text, OUT looks integer, OUT wrong integer) LANGUAGE plpgsql AS
$$
DECLARE
    balance numeric;
    over boolean;
BEGIN
    looks := 0;
    wrong := 0;
    LOOP
        over := es_stream_version('end-1') > 0;
        EXECUTE 'SELECT coalesce(sum(data::integer), 0) FROM ' || total INTO balance;
        looks := looks + 1;
        wrong := wrong + (balance <> 0)::integer;
        EXIT WHEN over;
    END LOOP;
END
$$;
-- A reader in pages of one event that finds a debit looks for the credit at once.
CREATE FUNCTION observe_log(after bigint, OUT looks integer, OUT wrong integer) LANGUAGE plpgsql AS
$$
DECLARE
    debit record;
    credit record;
BEGIN
    looks := 0;
    wrong := 0;
    LOOP
        SELECT * INTO debit FROM es_read_after(after, 1);
        CONTINUE WHEN NOT FOUND;
        EXIT WHEN debit.event_type = 'End';
        SELECT * INTO credit FROM es_read_after(debit.position, 1);
        looks := looks + 1;
        IF credit.position IS NULL OR credit.data::integer <> -debit.data::integer THEN
            wrong := wrong + 1;
            after := debit.position;
        ELSE
            after := credit.position;
        END IF;
    END LOOP;
END
$$;
SQL
my $start = head_position($node);
my %observers = (
    'of the table' => q{observe('es_events WHERE category = ''account''')},
    'by es_read_streams()' => q{observe('es_read_streams(''{account-3,account-1,account-2}'')')},
    'by es_read_after() in pages of 1' => "observe_log($start)");
my %seen;
my @observers = map {
    IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
            "SET statement_timeout = '120s'; SELECT * FROM $observers{$_}" ], '<', \undef, '>&', \$seen{$_})
} sort keys %observers;
($said) = race([ 'transfer', <<'SQL', '-c', 4, '-j', 1, '-T', $seconds ]);
\set amount random(1, 100)
\set from random(1, 3)
\set to 1 + (:from + random(0, 1)) % 3
SELECT * FROM es_append_streams(format('[{"stream": "account-%s", "events": [{"type": "Debited", "data": -%s}]},
    {"stream": "account-%s", "events": [{"type": "Credited", "data": %s}]}]', :from, :amount, :to, :amount)::jsonb);
SQL
my $transfers = processed($said);
$node->safe_psql('postgres', q{SELECT * FROM es_append('end-1', 'End')});
$_->finish for @observers;
for my $observer (sort keys %observers) {
    my ($looks, $wrong) = $seen{$observer} =~ /^(\d+)\|(\d+)$/m or diag($seen{$observer});
    note("$looks looks $observer at $transfers transfers");
    ok($looks && $looks > 20 && $wrong == 0, "an observer $observer never sees a debit without its credit")
        or diag("$wrong of $looks");
}

# One stream for all

($said) = race([ 'hot', q{SELECT * FROM es_append('hot-1', 'T', to_jsonb(:client_id));}, '-c', 16, '-j', 16,
        '-T', $seconds ]);
my $appends = processed($said);
is($node->safe_psql('postgres', q{SELECT count(*), min(version), max(version), count(DISTINCT data)
        FROM es_read_stream('hot-1')}),
    "$appends|1|$appends|16", '16 writers on one stream lose nothing, and its versions have no holes');
my ($least, $most) = split /\|/, $node->safe_psql('postgres', q{SELECT min(count), max(count)
    FROM (SELECT count(*) FROM es_read_stream('hot-1') GROUP BY data) AS share});
note("$appends appends, from $least to $most by each writer");
cmp_ok($least, '>=', $most / 2, 'the slowest of them gets at least half as much done as the fastest');

is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');

done_testing();
