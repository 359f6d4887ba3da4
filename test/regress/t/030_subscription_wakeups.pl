# Whoever waits for events is woken by the commit that makes them final, whatever order transactions end in, and never
# sleeps through one; stops waiting when told to; and holds up nobody meanwhile.
#
# TIDEMARK_WAKEUP_SECONDS sets how long writers and waiting consumers race (4).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(sleep time);

# Seconds. Waiters look again each quarter of a second, whatever happens: to be well below it, one has to be woken. The
# bound for whatever nobody wakes them for has room for a machine that is slow.
use constant { woken => 0.1, looked_again => 1.5, waits => 20 };

my $seconds = $ENV{TIDEMARK_WAKEUP_SECONDS} // 4;
my $node = new_log('primary', "autovacuum = off\nmax_connections = 50\n", allows_streaming => 1);
$node->safe_psql('postgres', q{SELECT es_create_subscription('all'), es_create_subscription('rare', 'rare'),
    es_create_subscription('shared', partitions => 4)});
$node->backup('base');

my ($waiter, $maker, $other) = map { session($node) } 1 .. 3;
my $clock = 'SELECT extract(epoch FROM clock_timestamp())';

# Lets the session begin a statement, and returns when the server says that it waits there.
sub begin_to_wait
{
    my ($session, $sql, $server) = @_;
    my $pid = $session->query_safe('SELECT pg_backend_pid()');
    $session->query_until(qr/^/, "$sql;\n$clock;\n");
    ($server // $node)->poll_query_until('postgres', "SELECT state = 'active' AND wait_event_type <> 'Client'
        AND query !~ 'pg_backend_pid' FROM pg_stat_activity WHERE pid = $pid") or die "does not wait: $sql";
    sleep rand 0.1;
    return $pid;
}

# What the statement returned, and the server's time then; the error that ended it, instead.
sub answer
{
    my ($session) = @_;
    my ($out, $failed) = $session->query('');
    my @lines = split /\n/, $out;
    my $time = pop @lines;
    my ($error) = $session->{stderr} =~ /ERROR: +(\w{5}: .*)/;
    $session->{stderr} = '';
    return ($failed ? $error : join("\n", @lines), $time);
}

# Makes something happen, and returns the server's time before it.
sub cause
{
    my ($session, $sql) = @_;
    return (split /\n/, $session->query_safe("$clock;\n$sql"))[0];
}

# median_delay(wait, cause, preparation): seconds from the cause, which is SQL of the maker, to the end of the wait, the
# median of several; and what that returned.
sub median_delay
{
    my ($wait, $cause, $preparation) = @_;
    my (@delays, %results);
    for (1 .. 9) {
        $maker->query_safe($preparation) if $preparation;
        begin_to_wait($waiter, $wait);
        my $before = cause($maker, $cause);
        my ($out, $after) = answer($waiter);
        push @delays, $after - $before;
        $results{$out}++;
    }
    @delays = sort { $a <=> $b } @delays;
    note(sprintf 'median %.1f ms, longest %.1f ms', 1000 * $delays[4], 1000 * $delays[8]);
    return ($delays[4], join ',', keys %results);
}

$_->query_safe('\set VERBOSITY verbose') for $waiter, $maker, $other;
my $append = q{SELECT es_append('order-1', 'Happened')};

# fetch(subscription, wait, consumer): SQL that gets what there is, waits up to that long, and acknowledges it.
sub fetch
{
    my ($subscription, $wait, $consumer) = @_;
    $wait //= waits . ' seconds';
    $consumer //= 'ann';
    return "SELECT string_agg(stream_id, ' ' ORDER BY position), es_ack('$subscription', max(position), max(fence)) > 0"
        . " FROM es_fetch('$subscription', '$consumer', wait => '$wait', lease => '10 minutes') HAVING count(*) > 0";
}

# Leaves nothing to be got.
sub drain
{
    my ($subscription) = @_;
    return $node->safe_psql('postgres', "SELECT es_reset_subscription('$subscription', es_safe_position())");
}
is($node->safe_psql('postgres', q{SELECT sum((SELECT count(*) FROM es_claim(name, 'ann', '10 minutes')))
    FROM unnest('{all,rare,shared}'::text[]) AS name}), 6, 'a consumer has its leases');

# Woken by commits

my ($delay, $got) = median_delay(fetch('all'), $append);
cmp_ok($delay, '<', woken, 'a consumer that waits is woken by the commit');
is($got, 'order-1|t', '... and gets the event');
($delay, $got) = median_delay(fetch('rare'), qq{$append; SELECT es_append('rare-1', 'Happened')});
cmp_ok($delay, '<', woken, 'a consumer that waits for what matches is woken as well');
is($got, 'rare-1|t', '... by that alone');
drain('shared');
($delay) = median_delay(fetch('shared'), $append);
cmp_ok($delay, '<', woken, 'a consumer of partitions is woken by the commit');
($delay, $got) =
    median_delay(q{SELECT stream_id FROM es_read_after(es_head_position(), wait => '20 seconds')}, $append);
cmp_ok($delay, '<', woken, 'es_read_after() that waits is woken by the commit');
is($got, 'order-1', '... and returns the event');
($delay) = median_delay(q{SELECT stream_id FROM es_read_after(es_head_position(), 1, 'rare', wait => '20 seconds')},
    q{SELECT es_append('rare-1', 'Happened')});
cmp_ok($delay, '<', woken, '... also by what matches');
drain('all');
($delay) = median_delay(q{SELECT es_wait_for('all', es_head_position(), '20 seconds')}, fetch('all', '0'), $append);
cmp_ok($delay, '<', woken, 'es_wait_for() is woken by the acknowledgement');

# Until the time is over

drain('all');
begin_to_wait($waiter, fetch('all', '400 milliseconds'));
my $start = time;
is((answer($waiter))[0], '', 'a consumer that has waited long enough gets nothing');
cmp_ok(time - $start, '<', looked_again, '... without much delay');
$start = time;
is($node->safe_psql('postgres', q{SELECT count(*) FROM es_fetch('all', 'ann', wait => '300 milliseconds')}), 0,
    'it gets nothing before');
cmp_ok(time - $start, '>=', 0.3, '... the time is over');
is(outcome($node, q{SELECT es_wait_for('all', es_head_position() + 1, '100 milliseconds')}) =~ /^(TM008)/ && $1,
    'TM008', 'es_wait_for() ends in time, with an error');
$node->safe_psql('postgres', q{SELECT es_create_subscription('brief', 'brief');
    SELECT count(*) FROM es_claim('brief', 'ann', '2 seconds')});
$start = time;
is($node->safe_psql('postgres', q{SELECT count(*) FROM es_fetch('brief', 'ann', wait => '20 seconds',
    lease => '2 seconds')}), 0, 'a consumer does not wait for longer than half of its lease');
cmp_ok(time - $start, '<', 2, '... so that it can renew it');

# Cancelled

for my $wait (fetch('all'), q{SELECT es_wait_for('all', es_head_position() + 1, '20 seconds')},
    q{SELECT * FROM es_read_after(es_head_position(), wait => '20 seconds')}) {
    my ($function) = $wait =~ /(es_(?:fetch|wait_for|read_after))/;
    my $pid = begin_to_wait($waiter, $wait);
    my $before = cause($maker, "SELECT pg_cancel_backend($pid)");
    my ($out, $after) = answer($waiter);
    is($out, '57014: canceling statement due to user request', "$function() that waits can be cancelled");
    cmp_ok($after - $before, '<', woken, '... at once');
    my $terminated = session($node);
    $pid = begin_to_wait($terminated, $wait);
    $start = time;
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
    cmp_ok(time - $start, '<', looked_again, '... and its session ended');
    $terminated->{run}->kill_kill;
}
my $gone = session($node);
my $pid = begin_to_wait($gone, fetch('all'));
$start = time;
$gone->{run}->kill_kill;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
    'a session whose client is gone waits no longer');
cmp_ok(time - $start, '<', looked_again, '... soon');
is((split /\n/, outcome($node, q{SET statement_timeout = '200ms'; } . fetch('all')))[0],
    '57014: canceling statement due to statement timeout', 'statement_timeout ends a wait');

# Whoever waits holds nothing

$pid = begin_to_wait($waiter, fetch('all'));
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity
    WHERE pid = $pid AND backend_xid IS NOT NULL"), 0, 'a consumer that waits has no transaction id');
is($node->safe_psql('postgres', q{SET lock_timeout = '1s'; SELECT es_create_subscription('new'),
    es_drop_subscription('new'), (SELECT checkpoint FROM es_subscription_status WHERE subscription = 'all') > 0}),
    't|t|t', '... and holds up nobody');
is($node->safe_psql('postgres', q{SET lock_timeout = '1s'; SELECT es_drop_subscription('brief')}), 't',
    '... nor whoever drops a subscription');
cause($maker, $append);
answer($waiter);

# Behind an older appender

my %end = (
    'commits' => ['COMMIT', 'old-1 order-1|t'],
    'rolls back' => ['ROLLBACK', 'order-1|t'],
    'prepares and commits' => [q{PREPARE TRANSACTION 'old'; COMMIT PREPARED 'old'}, 'old-1 order-1|t'],
    'prepares and rolls back' => [q{PREPARE TRANSACTION 'old'; ROLLBACK PREPARED 'old'}, 'order-1|t'],
);
for my $how (sort keys %end) {
    my ($sql, $wanted) = @{ $end{$how} };
    my (@delays, %results);
    drain('all');
    for (1 .. 5) {
        $maker->query_safe(q{BEGIN; SELECT es_append('old-1', 'Old')});
        begin_to_wait($waiter, fetch('all'));
        $other->query_safe($append);
        my $before = cause($maker, $sql);
        my ($result, $after) = answer($waiter);
        $results{$result}++;
        push @delays, $after - $before;
    }
    is(join(' or ', keys %results), $wanted, "an event behind an older appender is delivered when that one $how");
    # Nobody is woken by the end of a prepared transaction, which is another session's.
    cmp_ok((sort { $a <=> $b } @delays)[2], '<', $how =~ /prepares/ ? looked_again : woken, '... at once');
}
drain('all');
my $doomed = session($node);
$pid = $doomed->query_safe('SELECT pg_backend_pid()');
$doomed->query_safe(q{BEGIN; SELECT es_append('old-1', 'Old')});
begin_to_wait($waiter, fetch('all'));
$other->query_safe($append);
my $before = cause($maker, "SELECT pg_terminate_backend($pid)");
($got, my $after) = answer($waiter);
is($got, 'order-1|t', 'an event behind an older appender is delivered when the session of that one is ended');
cmp_ok($after - $before, '<', looked_again, '... soon');
$doomed->{run}->kill_kill;

# Leases

$maker->query_safe(q{SELECT es_release('all', 'ann'); } . $append);
is($node->safe_psql('postgres', q{SELECT count(*) FROM es_claim('all', 'ann', '10 minutes')}), 1, 'one has the lease');
begin_to_wait($waiter, fetch('all', undef, 'ben'));
$before = cause($maker, q{SELECT es_release('all', 'ann')});
($got, $after) = answer($waiter);
is($got, 'order-1|t', 'a consumer that waits for the lease gets it when it is given back');
cmp_ok($after - $before, '<', woken, '... at once');
is($node->safe_psql('postgres', q{SELECT es_release('all', 'ben'); SELECT count(*)
    FROM es_claim('all', 'ann', '700 milliseconds')}), "1\n1", 'one has the lease for a short time');
$maker->query_safe($append);
begin_to_wait($waiter, fetch('all', undef, 'ben'));
($got) = answer($waiter);
is($got, 'order-1|t', '... the other, who waits, for the time after');
is($node->safe_psql('postgres', q{SELECT clock_timestamp() - lease_until < '10 minutes' AND consumer = 'ben'
    FROM es_subscription_status WHERE subscription = 'all'}), 't', '... which is known');
like(outcome($node, fetch('all', '100 milliseconds', 'cat')), qr/^55P03: /,
    'a third one waits no longer than it wants');

# A reset, and a subscription dropped, while somebody waits

begin_to_wait($waiter, fetch('all', '2 seconds', 'ben'));
$node->safe_psql('postgres', q{SELECT es_reset_subscription('all', 0)});
($got) = answer($waiter);
unlike($got, qr/^(?!TM004: |order-1 |$)/, 'a reset while a consumer waits leads to no other error');
drain('rare');
begin_to_wait($waiter, q{SELECT * FROM es_fetch('rare', 'ann', wait => '20 seconds', lease => '10 minutes')});
$node->safe_psql('postgres', q{SELECT es_drop_subscription('rare')});
$start = time;
($got) = answer($waiter);
like($got, qr/^TM005: /, 'whoever waits for a subscription that is dropped is told');
cmp_ok(time - $start, '<', looked_again, '... soon');
begin_to_wait($waiter, q{SELECT es_wait_for('shared', es_head_position(), '20 seconds')});
$node->safe_psql('postgres', q{SELECT es_fail('shared', position, fence, 'no')
    FROM es_fetch('shared', 'ann', 1, lease => '10 minutes')});
$start = time;
($got) = answer($waiter);
like($got, qr/^TM006: /, 'es_wait_for() ends when it is told of a failure');
cmp_ok(time - $start, '<', looked_again, '... soon');

# Races: whatever writers do, no event waits for longer than it takes to look again.

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE delays (consumer text, delay double precision, events bigint);
CREATE PROCEDURE consume(name text, consumer text) LANGUAGE plpgsql AS
$$
DECLARE
    batch record;
BEGIN
    LOOP
        SELECT count(*) AS events, max(position) AS last, min(fence) AS fence, min(recorded_at) AS oldest,
               count(*) FILTER (WHERE event_type = 'End') AS ends, clock_timestamp() AS now
        INTO batch FROM es_fetch(name, consumer, 10000, wait => '10 seconds', lease => '10 minutes');
        COMMIT;
        CONTINUE WHEN batch.events = 0;
        PERFORM es_ack(name, batch.last, batch.fence);
        INSERT INTO delays VALUES (consumer, extract(epoch FROM batch.now - batch.oldest), batch.events);
        COMMIT;
        EXIT WHEN batch.ends > 0;
    END LOOP;
END
$$;
SQL
my @consumers = map {
    my $name = $_;
    $node->safe_psql('postgres', "SELECT es_create_subscription('$name', start => 'end')");
    IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL consume('$name', '$name')" ],
        '<', \undef, '>&', \my $out);
} map { "race-$_" } 1 .. 3;
$start = head_position($node);
$node->pgbench("-n -c 4 -j 1 -R 150 -T $seconds", 0, [qr/processed/], [qr/^$/], 'some append now and then',
    { '030_write' => <<'SQL' });
\set kind random(1, 4)
\set pause random(1, 5000)
\if :kind = 1
BEGIN;
SELECT * FROM es_append('race-:client_id', 'Early');
\sleep :pause us
ROLLBACK;
\elif :kind = 2
BEGIN;
SELECT * FROM es_append('race-:client_id', 'Early');
\sleep :pause us
SELECT * FROM es_append('race-:client_id', 'Late');
COMMIT;
\else
SELECT * FROM es_append('race-:client_id', 'Happened');
\endif
SQL
append($node, 'race-end');
$node->safe_psql('postgres', q{SELECT es_append('race-end', 'End')});
$_->finish for @consumers;
is($node->safe_psql('postgres', "SELECT count(DISTINCT consumer), min(total) = max(total), min(total) =
    (SELECT count(*) FROM es_events WHERE position > $start)
    FROM (SELECT consumer, sum(events) AS total FROM delays GROUP BY consumer) AS t"), '3|t|t',
    'consumers who wait while others append get every event once');
my ($most, $usual) = split /\|/, $node->safe_psql('postgres',
    'SELECT max(delay), percentile_cont(0.5) WITHIN GROUP (ORDER BY delay) FROM delays');
note("median $usual, longest $most");
cmp_ok($most, '<', looked_again, '... none of them much later than it was appended');
cmp_ok($usual, '<', woken, '... most of them at once');

# es_notify() tells those who LISTEN

my $announcer = session($node);
my $listener = session($node);
$listener->query_safe('LISTEN tidemark; LISTEN slow');
$announcer->query_safe('\set VERBOSITY verbose');
sub heard
{
    my ($channel, $until) = @_;
    my @payloads;
    my $give_up = time + 5;
    while (time < $give_up) {
        push @payloads, $listener->query_safe('SELECT')
            =~ /notification "$channel" with payload "(\d+)" received/g;
        last if defined $until && @payloads && $payloads[-1] >= $until;
        sleep 0.01;
    }
    return @payloads;
}
$pid = begin_to_wait($announcer, 'CALL es_notify()');
my $position = append($node, 'order-1');
$start = time;
my @payloads = heard('tidemark', $position);
is($payloads[-1], $position, 'a listener is told the safe position when it has moved');
cmp_ok(time - $start, '<', looked_again, '... soon');
$node->safe_psql('postgres', q{BEGIN; SELECT es_append('order-1', 'Undone'); ROLLBACK});
$position = append($node, 'order-1');
is((heard('tidemark', $position))[-1], $position, '... over and over');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity
    WHERE pid = $pid AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)"), 0,
    'the announcer that waits keeps VACUUM from nothing');
cause($maker, "SELECT pg_cancel_backend($pid)");
is((answer($announcer))[0], '57014: canceling statement due to user request', '... and can be cancelled');

begin_to_wait($announcer, q{CALL es_notify('slow', '500 milliseconds', '2 seconds')});
$start = time;
$maker->query_safe($append) for 1 .. 20;
$position = head_position($node);
answer($announcer);
cmp_ok(time - $start, '<', 2 + looked_again, 'the announcer ends when its time is over');
@payloads = heard('slow', $position);
is($payloads[-1], $position, 'an announcer that speaks now and then tells the last position');
cmp_ok(scalar @payloads, '<=', 5, '... and not every one');

# On a standby

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby_feedback = on');
$standby->start;
$node->safe_psql('postgres', q{SELECT es_create_subscription('remote', start => 'end');
    SELECT count(*) FROM es_claim('remote', 'ann', '10 minutes')});
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
my $remote = session($standby);
$remote->query_safe('\set VERBOSITY verbose');
my $fetch = q{SELECT string_agg(stream_id, ' '), max(position) FROM es_fetch('remote', 'ann', wait => '20 seconds')};
for my $wait ($fetch, q{SELECT stream_id, position FROM es_read_after(es_head_position(), wait => '20 seconds')}) {
    begin_to_wait($remote, $wait, $standby);
    $before = cause($maker, q{SELECT es_append('remote-1', 'Happened')});
    ($got, $after) = answer($remote);
    is($got, 'remote-1|' . head_position($node), 'on a standby an event is waited for as well');
    cmp_ok($after - $before, '<', looked_again, '... for not much longer than on the primary');
    $node->safe_psql('postgres', q{SELECT es_ack('remote', max(position), max(fence))
        FROM es_fetch('remote', 'ann', lease => '10 minutes') HAVING count(*) > 0});
    $node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
}
is($standby->safe_psql('postgres', q{SELECT count(*) FROM es_fetch('remote', 'ann')}), 0,
    'what is acknowledged on the primary is known on the standby');
like(outcome($standby, q{SELECT position FROM es_fetch('remote', 'ben', wait => '100 milliseconds')}), qr/^55P03: /,
    'a consumer without a lease gets none there');
like(outcome($standby, q{SELECT es_claim('remote', 'ann')}), qr/^25006: /, '... nor is one renewed');
like(outcome($standby, q{SELECT es_ack('remote', es_head_position(), 1)}), qr/^25006: /,
    '... nor is anything acknowledged');
$pid = begin_to_wait($remote, $fetch, $standby);
$standby->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
is((answer($remote))[0], '57014: canceling statement due to user request', 'a wait there can be cancelled');

$_->quit for $waiter, $maker, $other, $announcer, $listener, $remote;
done_testing();
