# Behind PgBouncer in transaction mode every function of subscriptions does for psycopg and node-postgres what it does
# for psql in a session of its own; and consumers who share few sessions with writers have every effect once.

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

my $scenario = "$FindBin::RealBin/032_subscription_poolers.json";
my $drivers = "$FindBin::RealBin/../../client/scenario";
my $node = new_log('server');
my $user = $node->safe_psql('postgres', 'SELECT current_user');
Consumers::provide_node_postgres();

# Three sessions of the server for all clients of a database.
my ($folder, $port) = start_pooler($user,
    '* = host=' . $node->host . ' port=' . $node->port . " user=$user pool_size=3", 'server_round_robin = 1');
my $direct = sprintf 'host=%s port=%s user=%s', $node->host, $node->port, $user;
my $pooled = "host=$folder port=$port user=$user";

# What a driver prints, but for what differs from run to run.
sub play
{
    my ($database, $server, @command) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    $node->safe_psql($database, 'CREATE EXTENSION tidemark');
    my $printed;
    IPC::Run::run([ @command, "$server dbname=$database", $scenario ], '>&', \$printed) or diag($printed);
    $printed =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:[0-9.:+]+/(clock)/g;
    $printed =~ s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/(id)/g;
    $printed =~ s/\b\d{13,}\b/(fence)/g;
    return $printed;
}

my $wanted = play('psql', $direct, "$drivers/scenario.sh");
my %driver = (
    psycopg => [ '/usr/bin/python3', "$drivers/scenario.py" ],
    'node-postgres' => [ 'node', "$drivers/scenario.mjs" ],
);
note($wanted);
is(join(' ', $wanted =~ /^ERROR: +(\w{5})/mg), '42710 22023 55P03 TM005 TM004 TM009 TM006 TM008',
    'psql meets no error but those wanted');
for my $driver (sort keys %driver) {
    my $database = $driver =~ s/-.*//r;
    is(play($database, $direct, @{ $driver{$driver} }), $wanted, "$driver gets what psql gets");
    is(play("${database}_pooled", $pooled, @{ $driver{$driver} }), $wanted, "... also through the pooler");
}
my $played = slurp_file($scenario);
my @functions = split /\n/, $node->safe_psql('psql', <<'SQL');
SELECT DISTINCT proname FROM pg_proc AS p, pg_depend AS d, pg_extension AS e
WHERE d.objid = p.oid AND d.refobjid = e.oid AND d.deptype = 'e' AND extname = 'tidemark'
  AND (has_function_privilege('tidemark_consumer', p.oid, 'EXECUTE') AND
       NOT has_function_privilege('tidemark_writer', p.oid, 'EXECUTE')
       AND proname NOT IN ('es_subscription_backlog', 'es_is_rebuilding')
       OR proname IN ('es_read_after', 'es_partition_of', 'es_set_partitions', 'es_drop_subscription', 'es_unpark',
                      'es_reset_subscription', 'es_notify'))
SQL
is(join(' ', grep { $played !~ /\b$_\b/ } @functions), '', 'no function is left out');

# Consumers and writers share three sessions

$node->safe_psql('postgres', Consumers::functions . <<'SQL');
SELECT es_create_subscription('model', partitions => 4);
CREATE TABLE effects (n bigserial, position bigint, stream_id text, version bigint, consumer text);
CREATE FUNCTION handle(place bigint, stream text, version bigint, consumer text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO effects (position, stream_id, version, consumer) VALUES (place, stream, version, consumer) $$;
SQL
my @consumers = map { Consumers::start($_, "$pooled dbname=postgres", 'model', $_) } qw(python node);
append_to_file("$folder/append.sql", "\\set stream random(1, 20)\nSELECT es_append('stream-:stream', 'Happened');\n");
my $ran = IPC::Run::run([ 'pgbench', '-n', '-c', '4', '-R', '200', '-t', '100', '-f', "$folder/append.sql",
        "$pooled dbname=postgres" ], '>&', \my $report);
ok($ran && $report =~ m{actually processed: 400/400}, 'writers append beside consumers') or diag($report);
is(outcome($node, q{SELECT es_wait_for('model', es_safe_position(), '30 seconds')}), '', '... who get to the end');
$_->kill for @consumers;
is($node->safe_psql('postgres', <<'SQL'), '400|400|0|node python', '... with every effect once, streams in order');
SELECT count(*), count(DISTINCT position), count(*) FILTER (WHERE version <> before + 1),
    string_agg(DISTINCT consumer, ' ')
FROM (SELECT *, coalesce(lag(version) OVER (PARTITION BY stream_id ORDER BY n), 0) AS before FROM effects) AS e
SQL
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'}),
    'no lock is left in a session');

done_testing();
