# The background worker: it runs the projections of the databases that it is told, also of those whose extension comes
# later, whatever is killed and whenever; each effect is there exactly once. Projections are dumped and restored with
# the log, and go on after a promotion.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;
use Time::HiRes qw(sleep time);

my $node = new_log('worker', <<'CONF', allows_streaming => 1);
shared_preload_libraries = 'tidemark'
tidemark.databases = 'postgres, other, never'
autovacuum = off
restart_after_crash = on
CONF

# The handler is slow, so that what is killed is in the middle of a batch. An effect that is there twice, or in another
# order, shows.
my $define = <<'SQL';
CREATE TABLE effects (n bigserial, position bigint);
CREATE TABLE copy (position bigint PRIMARY KEY);
CREATE TABLE broken (position bigint);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO effects (position) VALUES (e.position);
    PERFORM pg_sleep(0.002);
    IF EXISTS (SELECT FROM broken WHERE position = e.position) THEN RAISE 'broken at %', e.position; END IF;
END
$$;
CREATE FUNCTION copy(e es_events) RETURNS void LANGUAGE sql AS $$ INSERT INTO copy VALUES (e.position) $$;
SELECT es_create_projection('effects', 'apply', 'order'), es_create_projection('copy', 'copy', 'order', mode => 'sync');
SQL

# Of the effects, what is missing, doubled or out of order.
use constant wrong => <<'SQL';
SELECT e.position, count(f.n) FROM es_events AS e FULL JOIN effects AS f USING (position)
WHERE e.category = 'order' OR e.position IS NULL GROUP BY 1 HAVING count(f.n) <> 1
UNION ALL
SELECT position, NULL FROM (SELECT position, lag(position) OVER (ORDER BY n) AS before FROM effects) AS f
WHERE before > position
SQL

sub append_some
{
    my ($server, $number, $database) = @_;
    return $server->safe_psql($database // 'postgres', <<"SQL");
SELECT max(last_position) FROM generate_series(1, $number) AS n, es_append('order-' || n % 10, 'Placed')
SQL
}

# arrives(server, database, name, projection): the effect of everything comes to be there, once, with nobody asking.
sub arrives
{
    my ($server, $database, $name, $projection) = @_;
    my $head = $server->safe_psql($database, 'SELECT es_head_position()');
    my $wait = q{SELECT es_wait_for('} . ($projection // 'effects') . "', $head, '1 minute')";
    is(outcome($server, $wait, $database), '', $name);
    is($server->safe_psql($database, wrong), '', '... exactly once, and in order');
    return;
}
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'tidemark'};
my $worker = q{SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'tidemark' AND datname = 'postgres'};

# Databases

append_some($node, 5);
$node->safe_psql('postgres', $define);
arrives($node, 'postgres', 'what there was before the projection is projected by the worker');
append_some($node, 5);
arrives($node, 'postgres', 'what comes is, too');
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(other unlisted);
$node->safe_psql('other', 'CREATE SCHEMA es; ALTER DATABASE other SET search_path = public, es');
$node->safe_psql('other', "CREATE EXTENSION tidemark SCHEMA es; $define");
$node->safe_psql('unlisted', "CREATE EXTENSION tidemark; $define");
append_some($node, 5, $_) for qw(other unlisted);
arrives($node, 'other', 'a database and its extension, in whatever schema, may come later than the worker');
is($node->safe_psql('unlisted', 'SELECT count(*) FROM effects'), 0, 'databases that are not listed are left alone');
# It locks what the worker is just reading, in another order: one of the two may have to try again.
for my $attempt (1 .. 20) {
    last if $node->psql('other', 'DROP EXTENSION tidemark CASCADE') == 0;
    die 'the extension cannot be dropped' if $attempt == 20;
}
$node->safe_psql('other', "DROP TABLE effects, copy, broken; CREATE EXTENSION tidemark; $define");
append_some($node, 5, 'other');
arrives($node, 'other', 'an extension that is dropped and created again has a worker again');

# Kills

# So much is appended that a batch takes a while; it goes on when the worker is in the middle of that. What is told by
# the sequence is told before it is committed.
my $interrupted = 0;
sub keep_busy
{
    my $calls = 'SELECT last_value FROM effects_n_seq';
    my $wanted = ask($node, $calls) + 50;
    append_some($node, 400);
    my $give_up = time + 60;
    until (ask($node, $calls) >= $wanted) {
        die 'no progress' if time > $give_up;
        sleep 0.01;
    }
    $interrupted++ if ask($node, wrong) ne '';
    return;
}
keep_busy();
kill 'TERM', ask($node, $worker);
arrives($node, 'postgres', 'a worker that is ended in the middle of a batch is no harm');
keep_busy();
my $log = -s $node->logfile;
kill 'KILL', ask($node, $worker);
$node->wait_for_log('all server processes terminated; reinitializing', $log);
is(ask($node, q{SELECT es_wait_for('effects', es_head_position(), '1 minute')}), '',
    'after a worker was killed, and all sessions with it, another one goes on');
is(ask($node, wrong), '', '... exactly once, and in order');
keep_busy();
crash($node);
arrives($node, 'postgres', 'after the server was killed in the middle of a batch, its next worker goes on');
keep_busy();
$node->restart;
arrives($node, 'postgres', 'a worker that is busy holds no shutdown up');
cmp_ok($interrupted, '>=', 3, 'batches were interrupted by that');
is($node->safe_psql('postgres', 'SELECT count(*) = (SELECT count(*) FROM copy) FROM effects'), 't',
    'sync projections have their effects through all of that');

# Errors

my $last = append_some($node, 3);
arrives($node, 'postgres', 'before an error it goes on');
$node->safe_psql('postgres', q{INSERT INTO broken SELECT es_head_position() + 2});
my $behind = append_some($node, 3);
$node->safe_psql('postgres', q{SELECT es_create_projection('other', 'copy', 'nothing')});
like(outcome($node, "SELECT es_wait_for('effects', $behind, '1 minute')"), qr/^TM006: /,
    'who waits for a projection that fails in the worker is told');
is($node->safe_psql('postgres', q{SELECT failed_position, error FROM es_projection_status WHERE name = 'effects'}),
    sprintf('%1$d|broken at %1$d (P0001)', $behind - 1), '... where, and why');
is(outcome($node, "SELECT es_wait_for('other', $behind, '1 minute')"), '', 'others go on');
is($node->safe_psql('postgres', 'SELECT max(position) FROM effects'), $behind - 2, 'what comes before it is done');
$node->safe_psql('postgres', 'DELETE FROM broken');
$node->safe_psql('postgres', q{CALL es_run_projection('effects')});
append_some($node, 3);
arrives($node, 'postgres', 'mended, and run by name, it is the worker\'s again');

# Dumps

my $folder = PostgreSQL::Test::Utils::tempdir();
my $models = 'SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM copy)';
my $before = $node->safe_psql('postgres', $models);
my %restore = (plain => [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f' ], custom => [ 'pg_restore', '-e' ]);
for my $format (sort keys %restore) {
    system_or_bail('pg_dump', '-F', $format, '-d', $node->connstr('postgres'), '-f', "$folder/$format");
    $node->safe_psql('postgres', "CREATE DATABASE $format");
    $node->command_ok([ @{ $restore{$format} }, "$folder/$format", '-d', $node->connstr($format) ],
        "a $format dump is restored");
    is($node->safe_psql($format, $models), $before, '... with its read models as they were');
    append_some($node, 4, $format);
    is(outcome($node, q{CALL es_run_projection('effects')}, $format), '', '... and is run');
    is($node->safe_psql($format, wrong), '', '... exactly once, and in order');
    is($node->safe_psql($format, 'SELECT count(*) = (SELECT count(*) FROM copy) FROM effects'), 't',
        '... and sync projections go on');
    is($node->safe_psql($format, 'SELECT count(*) FROM es_verify()'), 0, '... and the log is sound');
}

# Promotion

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
append_some($node, 3);
arrives($node, 'postgres', 'the primary goes on beside a standby');
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is($standby->safe_psql('postgres', wrong), '', 'the standby has the read model');
is($standby->safe_psql('postgres', q{SELECT checkpoint, backlog FROM es_projection_status WHERE name = 'effects'}),
    safe_position($node) . '|0', '... and tells how far it is');
like(outcome($standby, q{CALL es_run_projection('effects')}), qr/^25006: /, '... and runs none itself');
is($standby->safe_psql('postgres', $workers), 0, '... nor does a worker there');
keep_busy();
kill_server($node);
$standby->promote;
append_some($standby, 3);
arrives($standby, 'postgres', 'after a promotion the worker of the standby goes on');
is($standby->safe_psql('postgres', 'SELECT count(*) = (SELECT count(*) FROM copy) FROM effects'), 't',
    'sync projections, too');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM es_verify()'), 0, 'the log is sound');
cmp_ok($standby->safe_psql('postgres', $workers), '>', 0, 'it is the worker who did it');

done_testing();
