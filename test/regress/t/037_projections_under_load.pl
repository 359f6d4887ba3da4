# Projections of all kinds while eight writers append: made on a log with history, run by two runners and the background
# worker at once, rebuilt, dropped and made again, turned from async into sync. All the time, in every snapshot, each
# read model is exactly the fold of the events that it is to have: of all there are, where the projection is sync; of
# those up to its checkpoint, where it is async. So whoever reads it while it is rebuilt never sees it empty, partial or
# ahead.
#
# TIDEMARK_PROJECTION_SECONDS sets for how long (8).

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
use Time::HiRes qw(time);

my $seconds = $ENV{TIDEMARK_PROJECTION_SECONDS} // 8;
my $node = new_log('projected', <<'CONF');
shared_preload_libraries = 'tidemark'
tidemark.databases = 'postgres'
max_connections = 50
autovacuum = off
CONF

# What each projection is for, and the condition that says the same.
my %projection = (
    sync_one => { mode => 'sync', filter => '', matches => 'true' },
    sync_batch => { mode => 'sync', kind => 'batch', filter => q{category => 'shared',},
        matches => q{category = 'shared'} },
    async_one => { mode => 'async', filter => '', matches => 'true' },
    async_batch => { mode => 'async', kind => 'batch', filter => q{stream_prefix => 'writer-1',},
        matches => q{stream_id LIKE 'writer-1%'} },
    async_other => { mode => 'async', filter => q{category => 'raced', event_types => '{Happened,Other}',},
        matches => q{category = 'raced'} },
);
my @names = sort keys %projection;

# A read model of a stream counts its events, and adds up their positions, each as often as it is told by the count: an
# effect that is missing, there twice, or in another order makes another sum.
sub define
{
    my ($name) = @_;
    my $apply = <<"SQL";
CREATE TABLE $name (stream_id text PRIMARY KEY, events bigint, folded numeric);
CREATE FUNCTION apply_$name(e es_events) RETURNS void LANGUAGE sql AS \$\$
    INSERT INTO $name AS m VALUES (e.stream_id, 1, e.position) ON CONFLICT (stream_id)
    DO UPDATE SET events = m.events + 1, folded = m.folded + (m.events + 1) * e.position
\$\$;
SQL
    return $apply if !$projection{$name}{kind};
    return $apply . <<"SQL";
CREATE FUNCTION apply_$name(events es_events[]) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
    event es_events;
BEGIN
    FOREACH event IN ARRAY events LOOP
        PERFORM apply_$name(event);
    END LOOP;
END
\$\$;
SQL
}
sub create
{
    my ($name, $mode) = @_;
    my $argument = $projection{$name}{kind} ? 'es_events[]' : 'es_events';
    $mode //= $projection{$name}{mode};
    return "SELECT es_create_projection('$name', 'apply_$name($argument)', $projection{$name}{filter} mode => '$mode', "
        . "tables => '{$name}');";
}
# A long history is projected bit by bit first.
sub create_async_first
{
    my ($name) = @_;
    my $create = create($name, 'async') . 'COMMIT;';
    return $projection{$name}{mode} eq 'sync' ? $create . "CALL es_run_projection('$name');" . create($name) : $create;
}
sub drop { return "SELECT es_drop_projection('$_[0]'); DELETE FROM $_[0];" }

# SQL for what is wrong with a read model, if there is a projection that sees to it. A sync one has no checkpoint.
sub wrong
{
    my ($name) = @_;
    my $matches = $projection{$name}{matches};
    my $done = "(SELECT checkpoint FROM es_subscription_partitions WHERE subscription = '$name')";
    return <<"SQL";
SELECT '$name' AS name, stream_id, due.events AS due, m.events, due.folded, m.folded FROM (
    SELECT stream_id, count(*) AS events, sum(n * position) AS folded FROM (
        SELECT stream_id, position, row_number() OVER (PARTITION BY stream_id ORDER BY position) AS n
        FROM es_events WHERE $matches AND position <= coalesce($done, 1::bigint << 62)) AS matching
    GROUP BY 1) AS due FULL JOIN $name AS m USING (stream_id)
WHERE (due.events, due.folded) IS DISTINCT FROM (m.events, m.folded)
AND EXISTS (SELECT FROM es_projections WHERE name = '$name')
SQL
}
$node->safe_psql('postgres', join '', map { define($_) } @names);
my $wrong = join ' UNION ALL ', map { wrong($_) } @names;

# Runners and readers are loops of psql, which end with the test.
my $folder = PostgreSQL::Test::Utils::tempdir();
append_to_file("$folder/go", '');
END { local $?; unlink "$folder/go" if $folder }
my @clients;
sub start_client
{
    my ($name, $sql) = @_;
    append_to_file("$folder/$name.sql", $sql);
    my @arguments = ($folder, $name, $node->connstr('postgres'));
    push @clients, IPC::Run::start([ 'sh', '-c', <<'SH', 'client', @arguments ], '<', \undef);
while test -e "$1/go"; do
    psql -XAtq -v VERBOSITY=verbose -f "$1/$2.sql" "$3" >> "$1/$2.out" 2>> "$1/$2.err"
done
SH
    return;
}

# Projections have to keep up with the writers, on a small machine too.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION take_a_while() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.005); RETURN NULL; END $$;
CREATE TRIGGER take_a_while AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION take_a_while();
SQL

# History first.
my $load = Load->new;
$load->writers(8, [$node]);
$load->await(appends => 400);
for my $name (@names) {
    is(outcome($node, create($name)), 't', "$name is made while writers append");
}
start_client("runner-$_", "CALL es_run_projection(max_count => 7, duration => '1 second');") for 1 .. 2;
start_client('reader', "$wrong;\n\\echo looked\n");

# Something happens to each of them, in turn.
my @happen = (
    [ 'rebuilt' => sub { "CALL es_rebuild_projection('$_[0]', 50)" } ],
    [ 'dropped and made again' => sub { 'BEGIN; ' . drop($_[0]) . create_async_first($_[0]) } ],
    [ 'dropped, and made again later' =>
        sub { drop($_[0]) . "BEGIN; DELETE FROM $_[0];" . create_async_first($_[0]) } ],
    [ 'rebuilt in one batch' => sub { "CALL es_rebuild_projection('$_[0]', 1000000)" } ],
);
my $end = time + $seconds;
my (%happened, @failed);
for (my $round = 0; time < $end || $round < @happen * @names; $round++) {
    my $name = $names[ $round % @names ];
    my ($what, $sql) = @{ $happen[ $round / @names % @happen ] };
    my $outcome = outcome($node, $sql->($name));
    push @failed, "$name is $what: $outcome" if $outcome =~ /[^t\s]/;
    $happened{$what}++;
    # Somebody's runner is ended in the middle of something, now and then.
    $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE query ~ '^CALL es_run' ORDER BY random() LIMIT 1}) if $round % 3 == 2;
}
$load->await(appends => 100);
$load->stop;
my $head = safe_position($node);
for my $name (@names) {
    is(outcome($node, "SELECT es_wait_for('$name', $head, '1 minute')"), '', "$name comes to the end of the log");
}
unlink "$folder/go";
$_->finish for @clients;

note(map { "$_: $happened{$_}\n" } sort keys %happened);
Load::none('in the end', 'all that was asked for was done', @failed);
Load::none('in the end', 'each read model is the fold of the log', split /\n/, $node->safe_psql('postgres', $wrong));
is($node->safe_psql('postgres', q{SELECT count(*) FROM es_projections JOIN es_projection_status USING (name)
        WHERE failed_at IS NULL AND (backlog = 0 OR backlog IS NULL)}), scalar @names, 'no projection has failed');
my @looks = split /\n/, slurp_file("$folder/reader.out");
cmp_ok(scalar(grep { $_ eq 'looked' } @looks), '>', 3, 'readers have looked at all read models meanwhile');
Load::none('meanwhile', 'each read model was the fold of the log in every snapshot', grep { $_ ne 'looked' } @looks);
my @errors = map { slurp_file($_) =~ /(ERROR:  .*)/g } glob "$folder/*.err";
Load::none('meanwhile', 'runners and readers have met no errors', @errors);
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type ~ 'tidemark'}), 't',
    'the background worker is there');
$load->compare($node, 'projected');

done_testing();
