# Three consumers share eight partitions, each in a language of its own, and have their effects and acknowledgements in
# one transaction. They are slower than their leases last now and then. Consumers are killed, and suspended until others
# have their leases; backends are killed, and the server as a whole; the number of partitions changes. Every time, the
# read model is exactly the fold of the log up to the checkpoints: no event's effect is missing, none is there twice,
# and no stream's effects are out of order.
#
# TIDEMARK_CONSUMER_KILLS sets how often something of it happens (12).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Consumers;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(sleep time);

my $kills = $ENV{TIDEMARK_CONSUMER_KILLS} // 12;
my $node = new_log('shared', "autovacuum = off\nrestart_after_crash = on\nmax_connections = 50\n");
Consumers::provide_node_postgres();
my $connection = sprintf 'host=%s port=%s user=%s dbname=postgres', $node->host, $node->port,
    $node->safe_psql('postgres', 'SELECT current_user');

# The read model counts, and remembers in which order: to have an effect twice, or in another order, makes another
# model. Nothing in the database refuses it.
$node->safe_psql('postgres', Consumers::functions . <<'SQL');
CREATE FUNCTION fold(state text, place bigint) RETURNS text LANGUAGE sql IMMUTABLE
RETURN md5(state || ' ' || place);
CREATE AGGREGATE fold(bigint) (SFUNC = fold, STYPE = text, INITCOND = '');
CREATE TABLE model (stream_id text PRIMARY KEY, events bigint, state text);
CREATE TABLE effects (n bigserial, position bigint, stream_id text, version bigint, consumer text);
CREATE FUNCTION handle(place bigint, stream text, version bigint, consumer text) RETURNS void LANGUAGE sql AS
$$
INSERT INTO model AS m VALUES (stream, 1, fold('', place))
ON CONFLICT (stream_id) DO UPDATE SET events = m.events + 1, state = fold(m.state, place);
INSERT INTO effects (position, stream_id, version, consumer) VALUES (place, stream, version, consumer);
$$;
CREATE VIEW due AS
SELECT e.stream_id, count(*) AS events, fold(e.position ORDER BY e.position) AS state
FROM es_subscriptions AS s JOIN es_subscription_partitions AS p ON p.subscription = s.name
JOIN es_events AS e ON e.position <= p.checkpoint AND es_partition_of(e.stream_id, s.partitions) = p.partition
WHERE s.name = 'model' GROUP BY 1;
SQL
$node->safe_psql('postgres', q{SELECT es_create_subscription('model', partitions => 8)});

# The writers go on as well as they can.
my $folder = PostgreSQL::Test::Utils::tempdir();
append_to_file("$folder/go", '');
append_to_file("$folder/write.sql", <<'SQL');
\set stream random(1, 40)
\set other random(1, 40)
\set kind random(1, 5)
\if :kind = 1
BEGIN;
SELECT es_append('stream-:stream', 'One');
SELECT es_append('other-:other', 'Two');
COMMIT;
\elif :kind = 2
BEGIN;
SELECT es_append_events('stream-:stream', '[{"type": "Undone"}, {"type": "Undone"}]');
ROLLBACK;
\else
SELECT es_append_events('stream-:stream', '[{"type": "Three"}, {"type": "Four"}]');
\endif
SQL
my $writers = IPC::Run::start([ 'sh', '-c', <<'SH', 'writers', $folder, $connection ], '<', \undef);
while test -e "$1/go"; do
    pgbench -n -c 2 -R 100 -T 5 -f "$1/write.sql" "$2" >> "$1/log" 2>&1
    sleep 0.1
done
SH
END { unlink "$folder/go" if $folder }

my $life = 0;
sub start_consumer
{
    my ($language) = @_;
    return Consumers::start($language, $connection, 'model', $language . '-' . ++$life);
}
my @consumers = map { start_consumer($_) } Consumers::languages;

sub await_effects
{
    my ($number) = @_;
    my $wanted = ask($node, 'SELECT count(*) FROM effects') + $number;
    my $give_up = time + 60;
    while (ask($node, 'SELECT count(*) FROM effects') < $wanted) {
        die 'no progress: ' . ask($node, 'SELECT * FROM es_subscription_status') if time > $give_up;
        sleep 0.05;
    }
    return;
}

# Nothing but the truth, in one snapshot, while all go on.
sub compare
{
    my ($name) = @_;
    my $wrong = ask($node, <<'SQL');
SELECT * FROM (
    SELECT stream_id, due.events, model.events FROM due FULL JOIN model USING (stream_id)
    WHERE (due.events, due.state) IS DISTINCT FROM (model.events, model.state)
    UNION ALL
    SELECT stream_id, before, version
    FROM (SELECT *, coalesce(lag(version) OVER (PARTITION BY stream_id ORDER BY n), 0) AS before FROM effects) AS e
    WHERE version <> before + 1
) AS wrong LIMIT 10
SQL
    return is($wrong, '', $name);
}

my $backend = q{(SELECT pid FROM pg_stat_activity WHERE query ~ 'es_fetch|es_ack|handle|COMMIT'
    AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1)};

my @happen = (
    [ 'a consumer is killed', sub {
        my $victim = shift @consumers;
        $victim->kill;
        push @consumers, start_consumer($victim->{language});
    } ],
    [ 'a backend is killed', sub {
        my $log = -s $node->logfile;
        kill 'KILL', ask($node, "SELECT $backend") || return;
        $node->wait_for_log('all server processes terminated; reinitializing', $log);
    } ],
    [ 'a consumer is suspended', sub {
        my $suspended = $consumers[ rand @consumers ];
        $suspended->pause;
        # Its leases pass on to others; what it is doing is worth nothing any more.
        sleep 1.5;
        $suspended->resume;
    } ],
    [ 'a session is ended', sub { ask($node, "SELECT pg_terminate_backend($backend)") } ],
    [ 'the number of partitions is changed', sub {
        ask($node, sprintf q{SELECT es_set_partitions('model', %d)}, 3 + rand 6);
    } ],
    [ 'the server is killed', sub { crash($node) } ],
);
my $seed = srand;
note("seed $seed");
for my $kill (1 .. $kills) {
    await_effects(60);
    sleep rand 0.2;
    my ($name, $action) = @{ $happen[ ($kill - 1) % @happen ] };
    $action->();
    await_effects(40);
    compare("$kill: $name; the read model is the fold of the log up to the checkpoints");
}

unlink "$folder/go";
$writers->finish;
my $head = safe_position($node);
my $give_up = time + 60;
until (outcome($node, "SELECT es_wait_for('model', $head, '5 seconds')") eq '') { die 'no end' if time > $give_up }
$_->kill for @consumers;
compare('in the end the read model is the fold of the log');
is($node->safe_psql('postgres', <<'SQL'), 't', '... of the whole log');
SELECT count(*) = (SELECT count(*) FROM effects) AND count(*) = (SELECT sum(events) FROM model)
    AND count(*) = (SELECT count(DISTINCT position) FROM effects) FROM es_events
SQL
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT split_part(consumer, '-', 1), ' ') FROM effects}),
    'node psql python', 'consumers of each language have had their share');
is($node->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');
note($node->safe_psql('postgres', 'SELECT consumer, count(*) FROM effects GROUP BY 1 ORDER BY 1'));
my @errors = Consumers::errors();
note("their errors: @errors");
my %known = map { $_ => 1 } qw(TM004 TM009 57P01 57P02 57P03 08006 08003 40001);
is(join(' ', sort grep { !$known{$_} } @errors), '', 'consumers have met no errors but lost leases and connections');

done_testing();
