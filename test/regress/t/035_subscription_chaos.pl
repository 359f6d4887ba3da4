# Subscriptions under random schedules. One process drives writers, consumers and an administrator, a statement at a
# time, through whatever they may do to one another: transactions that stay open or are rolled back, two sessions of one
# consumer, leases that are over at once, batches acknowledged in pieces, twice, too late or never, events that fail,
# are parked, redelivered or given up, partitions that change, cursors that are set back. What a consumer does for an
# event is a row, written in the transaction that acknowledges it. In the end everything is drained, and what was done
# is compared with the log.
#
# A schedule has 250 steps, a seed, and a subscription of its own. TIDEMARK_SUBSCRIPTION_STEPS sets how many steps in
# all (10000); TIDEMARK_SEED is the seed of the first schedule, the others count on from there. Of a schedule that goes
# wrong the message tells the seed, and the log of this test has all statements and answers; alone it is repeated by
# its seed and 250 steps.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IO::Handle;
use IPC::Open2;
use Load;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(sleep);

use constant { steps_each => 250, usual_steps => 10000 };

my $steps = $ENV{TIDEMARK_SUBSCRIPTION_STEPS} // usual_steps;
my $first_seed = $ENV{TIDEMARK_SEED} // int rand 1_000_000_000;
note("TIDEMARK_SEED=$first_seed");

# Nobody else is there, so a lock that is not to be had at once is one that an open transaction keeps.
my $node = new_log('chaos', <<'CONF');
autovacuum = off
lock_timeout = 1ms
statement_timeout = 60s
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE effects (done bigserial, subscription text, position bigint, stream_id text, version bigint);
CREATE TABLE given_up (subscription text, position bigint);
CREATE INDEX ON effects (subscription, position);
SQL

# What a subscription is for, the condition that says the same, and a stream whose events it looks at and leaves out,
# if they are of type Noted.
my @filters = (
    { definition => q{category => NULL}, matches => 'true' },
    { definition => q{category => 'order'}, matches => q{category = 'order'} },
    { definition => q{event_types => '{Paid}'}, matches => q{event_type = 'Paid'}, ignores => 'user-1' },
    { definition => q{stream_prefix => 'o'}, matches => q{stream_id LIKE 'o%'}, ignores => 'user-1' },
    { definition => q{category => 'order', event_types => '{Paid}'},
        matches => q{category = 'order' AND event_type = 'Paid'}, ignores => 'order-6' },
);

my @writers = map { connection("writer $_") } 1 .. 3;
my @consumers = map { connection($_) } qw(ann bob cy ann);
my $admin = connection('admin');

# Of this schedule. The subscription begins behind the position $start.
my ($seed, $name, $filter, $start, $streams, @leases, @trace);
my (%happened, %faults);

sub chance { return rand() < $_[0] }
sub one_of { return $_[ rand @_ ] }
sub up_to { return 1 + int rand $_[0] }

sub fault
{
    my ($kind, $what) = @_;
    push @{ $faults{$kind} }, "seed $seed: $what";
    return;
}

# A psql that stays connected. It is asked tens of thousands of statements, too many for the notes of session().
sub connection
{
    my ($who) = @_;
    my @psql = ('psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'));
    open2(my $out, my $in, 'sh', '-c', 'exec "$@" 2>&1', 'sh', @psql);
    $in->autoflush;
    return { who => $who, in => $in, out => $out };
}

# The rows of the answer, or undef where it is one of the errors that the statement is documented to have.
sub ask
{
    my ($connection, $sql, @documented) = @_;
    local $/ = "END OF ANSWER\n";
    print { $connection->{in} } "$sql;\n\\echo END OF ANSWER\n";
    my $answer = readline($connection->{out}) // '';
    chomp $answer or die "no answer to $sql: $answer";
    push @trace, "$connection->{who}: $sql", $answer;
    my ($state) = $answer =~ /^ERROR:  (\w{5}):/m;
    return [ map { [ split /\|/ ] } split /\n/, $answer ] if !defined $state;
    my ($function) = $sql =~ /(es_\w+)/;
    happens(($function // $sql) . " raises $state");
    fault(errors => "$sql\n$answer") if !grep { $_ eq $state } @documented;
    return;
}

sub happens { return $happened{ $_[0] }++ }

sub column { return map { $_->[0] } @{ ask($admin, $_[0]) // [] } }
sub value { return (column($_[0]))[0] }

sub begin { ask($_[0], 'BEGIN'); $_[0]{open} = 1; return }

sub end
{
    my ($connection, $commits) = @_;
    ask($connection, $commits ? 'COMMIT' : 'ROLLBACK') if delete $connection->{open};
    return;
}

sub append_some
{
    my $writer = one_of(@writers);
    return end($writer, chance(0.75)) if $writer->{open} && chance(0.5);
    begin($writer) if !$writer->{open} && chance(0.2);
    my $stream = chance(0.9) ? 'order-' . up_to($streams) : 'user-1';
    my $events = join ',', map { sprintf '{"type": "%s"}', one_of(qw(Paid Paid Noted)) } 1 .. up_to(4);
    if ($filter->{ignores} && chance(0.05)) {
        # So many that a fetch writes down that it has looked through them.
        $stream = $filter->{ignores};
        $events = join ',', ('{"type": "Noted"}') x 1100;
    }
    # Another has appended to the stream, and is open.
    ask($writer, "SELECT * FROM es_append_events('$stream', '[$events]')", '55P03') or end($writer, 0);
    return;
}

# For the next statement. Leases that are short are over before it, on whatever machine.
sub lease
{
    sleep 0.0015 if @leases > 1;
    return one_of(@leases);
}

sub consume
{
    my $consumer = one_of(@consumers);
    if ($consumer->{open}) {
        return if chance(0.4);
        my $commits = chance(0.7);
        happens($commits ? 'an open transaction is committed' : 'an open transaction is rolled back');
        end($consumer, $commits);
        # Now and then a consumer does not know that it was committed.
        delete $consumer->{batch} if $commits && chance(0.8);
    } elsif ($consumer->{batch}) {
        handle($consumer);
    } else {
        fetch($consumer);
    }
    return;
}

sub fetch
{
    my ($consumer) = @_;
    my @columns = qw(position version stream_id fence partition redelivered);
    my $sql = sprintf q{SELECT %s FROM es_fetch('%s', '%s', %s, '%s', '%s')}, join(', ', @columns), $name,
        $consumer->{who}, one_of(1, 1, 2, 5, 'NULL'), one_of(0, 0, 0, '1 ms'), lease();
    my $rows = ask($consumer, $sql, '55P03');
    return if !$rows || !@$rows;
    my @batch = map { my %event; @event{@columns} = @$_; \%event } @$rows;
    for (1 .. $#batch) {
        my ($before, $event) = @batch[ $_ - 1, $_ ];
        fault(batches => "$sql: $event->{position}") if $before->{position} >= $event->{position}
            || $before->{fence} != $event->{fence} || $before->{partition} != $event->{partition};
    }
    happens('an event is redelivered') if $batch[0]{redelivered} eq 't';
    $consumer->{batch} = \@batch;
    return;
}

sub handle
{
    my ($consumer) = @_;
    my @batch = @{ $consumer->{batch} };
    if (chance(0.1)) {    # it forgets them, as by a crash, or cannot handle them
        delete $consumer->{batch};
        return if chance(0.5);
        ask($consumer, sprintf(q{SELECT es_fail('%s', %d, %d, 'no', %s)}, $name, @{ $batch[0] }{qw(position fence)},
            one_of('NULL', q{'0'}, q{'1 hour'})), qw(TM004 TM009 55P03));
        return;
    }
    my $parks = chance(0.3);
    my $count = chance(0.5) ? @batch : up_to(scalar @batch);
    begin($consumer);
    my $fence;
    if (chance(0.15)) {
        ask($consumer, 'SAVEPOINT before');
        $fence = acknowledge($consumer, $parks, @batch[ 0 .. $count - 1 ]);
        ask($consumer, 'ROLLBACK TO before');
        happens('an acknowledgement is rolled back to a savepoint') if defined $fence;
        return end($consumer, 1) if chance(0.3);
    }
    $fence = acknowledge($consumer, $parks, @batch[ 0 .. $count - 1 ]);
    if (!defined $fence) {
        delete $consumer->{batch};
        return end($consumer, 0);
    }
    return if chance(0.15);    # stays open
    return end($consumer, 0) if chance(0.1);
    end($consumer, 1);
    happens($parks ? 'an event is parked' : $count < @batch ? 'a batch is acknowledged in part' : 'a batch is done');
    # The consumer goes on with the rest under the new fence; or with the whole batch again, as it does not know that
    # this was committed.
    return if chance(0.1);
    delete $consumer->{batch};
    $consumer->{batch} = [ map { { %$_, fence => $fence } } @batch[ $count .. $#batch ] ]
        if !$parks && $count < @batch && chance(0.7);
    return;
}

# Handles the events, and acknowledges or parks the last of them; either comes first. Returns the new fence, or undef
# where it was refused.
sub acknowledge
{
    my ($consumer, $parks, @events) = @_;
    my $last = $events[-1];
    my $ack = sprintf q{SELECT %s('%s', %d, %d)}, $parks ? 'es_park' : 'es_ack', $name, @$last{qw(position fence)};
    pop @events if $parks;
    my $handles_first = chance(0.5);
    effect($consumer, @events) if $handles_first;
    my $rows = ask($consumer, $ack, qw(TM004 TM009 55P03)) // return;
    effect($consumer, @events) if !$handles_first;
    my $fence = $rows->[0][0];
    fault(fences => "$ack: $fence") if $fence <= $last->{fence};
    return $fence;
}

sub effect
{
    my ($consumer, @events) = @_;
    my $rows = join ',', map { "('$name', $_->{position}, '$_->{stream_id}', $_->{version})" } @events;
    ask($consumer, "INSERT INTO effects (subscription, position, stream_id, version) VALUES $rows") if @events;
    return;
}

sub administer
{
    my $who = one_of(map { $_->{who} } @consumers);
    my $chosen = rand;
    if ($chosen < 0.6) {
        unpark();
    } elsif ($chosen < 0.63) {
        go_back();
    } elsif ($chosen < 0.77) {
        ask($admin, sprintf(q{SELECT es_set_partitions('%s', %d)}, $name, up_to(4)), '55P03') // return;
        happens('partitions change bit by bit')
            if value("SELECT next_partitions FROM es_subscription_status WHERE subscription = '$name' LIMIT 1");
    } elsif ($chosen < 0.9) {
        ask($admin, "SELECT es_release('$name', '$who')", '55P03');
    } else {
        end_pauses($who, one_of('true', 'false'));
    }
    return;
}

# The partitions of the consumer are tried again at once.
sub end_pauses
{
    my ($who, $rebalance) = @_;
    ask($admin, sprintf(q{SELECT es_fail('%s', failed_position, claimed.fence, 'again', '0')}
        . q{ FROM es_claim('%1$s', '%s', '%s', %s) AS claimed JOIN es_subscription_status USING (partition)}
        . q{ WHERE subscription = '%1$s' AND claimed.retry_at IS NOT NULL}, $name, $who, lease(), $rebalance), '55P03');
    return;
}

sub unpark
{
    my $position = one_of(column("SELECT position FROM es_parked('$name') WHERE NOT redelivering")) // return;
    my $redelivers = chance(0.6) || 0;
    begin($admin);
    my $found = ask($admin, "SELECT es_unpark('$name', $position, '$redelivers')", '55P03');
    ask($admin, "INSERT INTO given_up VALUES ('$name', $position)") if $found && !$redelivers;
    happens($redelivers ? 'an event is unparked' : 'an event is given up') if $found;
    return end($admin, $found && chance(0.9));
}

# Back to where all partitions have been, or further. What was done since is undone.
sub go_back
{
    begin($admin);
    my $back = one_of(0, 1, 3, 10, 1000);
    my $to = value("SELECT greatest($start, min(checkpoint) - $back) FROM es_subscription_status"
        . " WHERE subscription = '$name'");
    my $moved = ask($admin, "SELECT es_reset_subscription('$name', $to)", '55P03');
    if ($moved) {
        ask($admin, "DELETE FROM $_ WHERE subscription = '$name' AND position > $to") for qw(effects given_up);
        happens('the cursor is set back');
    }
    return end($admin, $moved && chance(0.9));
}

# All that is left is done by one consumer. Returns whether it comes to the end.
sub drain
{
    end($_, 1) for @writers, @consumers;
    delete $_->{batch} for @consumers;
    ask($admin, "SELECT es_release('$name', '$_->{who}')") for @consumers;
    my $consumer = $consumers[0];
    @leases = '1 hour';
    end_pauses($consumer->{who}, 'true');
    for (1 .. 2000) {
        ask($admin, "SELECT es_unpark('$name', $_)")
            for column("SELECT position FROM es_parked('$name') WHERE NOT redelivering");
        fetch($consumer);
        if (my $batch = delete $consumer->{batch}) {
            begin($consumer);
            acknowledge($consumer, 0, @$batch);
            end($consumer, 1);
        } elsif (!column("SELECT position FROM es_parked('$name')")) {
            return 1 if ask($admin, "SELECT es_wait_for('$name', es_head_position(), '0')", 'TM008');
        }
    }
    return 0;
}

# What the subscription is for, with what has taken effect and what was given up.
sub compare
{
    my $events = "(SELECT * FROM es_events WHERE position > $start AND $filter->{matches})";
    my $effects = "(SELECT * FROM effects WHERE subscription = '$name')";
    my $given_up = "(SELECT position FROM given_up WHERE subscription = '$name')";
    my %wrong = (
        lost => "SELECT position FROM $events AS e WHERE position NOT IN (SELECT position FROM $effects AS f)"
            . " AND position NOT IN $given_up",
        doubled => "SELECT position FROM $effects AS f GROUP BY position HAVING count(*) > 1",
        foreign => "SELECT position FROM $effects AS f WHERE position NOT IN (SELECT position FROM $events AS e)"
            . " OR position IN $given_up",
        disordered => 'SELECT position FROM (SELECT position, version < max(version) OVER (PARTITION BY stream_id'
            . " ORDER BY done) AS late FROM $effects AS f) AS o WHERE late",
    );
    for my $kind (sort keys %wrong) {
        my @positions = column("$wrong{$kind} ORDER BY position");
        fault($kind => join ', ', @positions) if @positions;
    }
    return;
}

sub run_schedule
{
    $filter = one_of(@filters);
    $streams = up_to(5);
    @leases = chance(0.6) ? '1 hour' : ('1 hour', '1 hour', '1 ms');
    $start = value('SELECT es_head_position()');
    ask($admin, sprintf q{SELECT es_create_subscription('%s', %s, start => '%d', partitions => %d)}, $name,
        $filter->{definition}, $start, up_to(4));
    for (1 .. steps_each) {
        my $chosen = rand;
        $chosen < 0.3 ? append_some() : $chosen < 0.85 ? consume() : administer();
    }
    drain() or fault(stuck => 'events or parked streams are left');
    fault(stuck => "a backlog of $_")
        for column("SELECT backlog FROM es_subscription_status WHERE subscription = '$name' AND backlog > 0");
    compare();
    ask($admin, "SELECT es_drop_subscription('$name')");
    return;
}

for my $schedule (1 .. int($steps / steps_each) || 1) {
    $seed = $first_seed + $schedule - 1;
    srand $seed;
    $name = "schedule $schedule";
    @trace = ();
    my $faults = map { @$_ } values %faults;
    run_schedule();
    note(join "\n", @trace) if $faults < map { @$_ } values %faults;
}

my @claims = (
    errors => 'all errors are those that the functions are documented to raise',
    batches => 'a batch is of one partition and fence, in position order',
    fences => 'each acknowledgement returns a higher fence',
    stuck => 'each subscription comes to the end of the log, with nothing left or parked',
    lost => 'each event that matches has taken effect, unless it was given up',
    doubled => 'none has done so twice',
    foreign => 'none has that does not match, or was given up',
    disordered => 'each stream was handled in the order of its versions',
);
while (my ($kind, $claim) = splice @claims, 0, 2) {
    Load::none('random schedules', $claim, @{ $faults{$kind} // [] });
}
note("$_: $happened{$_}") for sort keys %happened;
if ($steps >= usual_steps) {
    my @wanted = ('a batch is done', 'a batch is acknowledged in part',
        'an acknowledgement is rolled back to a savepoint', 'an open transaction is committed',
        'an open transaction is rolled back', 'an event is parked', 'an event is unparked', 'an event is given up',
        'an event is redelivered', 'partitions change bit by bit', 'the cursor is set back', 'es_ack raises TM004',
        'es_park raises TM004', 'es_fail raises TM004', 'es_fetch raises 55P03', 'es_ack raises 55P03');
    is(join(', ', grep { !$happened{$_} } @wanted), '', 'the schedules had all that a schedule can have');
}

done_testing();
