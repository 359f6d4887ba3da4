# Upcasters among others: sessions from before, standbys, and calls that are under way or wait each read by one state of
# what is registered; a reader's own objects do not get in the way; dumps take upcasters and snapshots along.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Tidemark;

my $node = new_log('primary', "autovacuum = off\n", allows_streaming => 1);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# Both leave their mark, so that data tell which steps they have gone. The first waits for whoever holds the lock.
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA shapes;
CREATE FUNCTION shapes.one(data jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN data || '{"one": 1}'; END $$;
CREATE FUNCTION shapes.two(event es_events) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN event.data || jsonb_build_object('two', event.version); END $$;
SELECT count(*) FROM generate_series(1, 3) AS n, es_append('order-1', 'Placed', jsonb_build_object('n', n));
SQL

my $read = q{SELECT string_agg(schema_version || ': ' || data, '; ' ORDER BY version) FROM es_read_stream('order-1')};
my $stored = '1: {"n": 1}; 1: {"n": 2}; 1: {"n": 3}';
my $once = '2: {"n": 1, "one": 1}; 2: {"n": 2, "one": 1}; 2: {"n": 3, "one": 1}';
my $twice = '3: {"n": 1, "one": 1, "two": 1}; 3: {"n": 2, "one": 1, "two": 2}; 3: {"n": 3, "one": 1, "two": 3}';

sub register { return $node->safe_psql('postgres', "SELECT es_create_upcaster('Placed', $_[0], 'shapes.$_[1]')") }

# Lets the session begin a statement, and returns when that waits.
sub begin_to_wait
{
    my ($session, $sql) = @_;
    my $pid = $session->query_safe('SELECT pg_backend_pid()');
    $session->query_until(qr/^/, "$sql;\n");
    $node->poll_query_until('postgres', "SELECT state = 'active' AND wait_event_type <> 'Client'
        AND query !~ 'pg_backend_pid' FROM pg_stat_activity WHERE pid = $pid") or die "does not wait: $sql";
    return;
}

# Sessions from before: idle, in a transaction, on a standby.
my ($idle, $busy, $locker) = map { session($node) } 1 .. 3;
my $far = session($standby);
$busy->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE');
is($_->query_safe($read), $stored, 'without upcasters a session reads what is stored') for $idle, $busy, $far;
is(register(1, 'one'), 't', 'an upcaster is registered elsewhere');
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is($idle->query_safe($read), $once, 'a session from before reads by it');
is($busy->query_safe($read), $once, '... also in a transaction from before');
is($far->query_safe($read), $once, '... also on a standby');
$busy->query_safe('COMMIT');

# A call that is under way goes by what was registered when it saw its first event.
$locker->query_safe('SELECT pg_advisory_lock(1)');
begin_to_wait($idle, $read);
register(2, 'two');
$locker->query_safe('SELECT pg_advisory_unlock(1)');
is($idle->query_safe(''), $once, 'what is registered meanwhile does not change half of a result');
is($idle->query_safe($read), $twice, '... but the next one');

# The same for a session in whose place what was known has been taken by something newer, while a call went on with it.
$locker->query_safe('SELECT pg_advisory_lock(1)');
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION shapes.inner(data jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1);
    RETURN (SELECT jsonb_agg(schema_version) FROM es_read_stream('order-1'));
END
$$;
SELECT es_append_events('outer-1', '[{"type": "Outer"}, {"type": "Outer"}]'),
    es_create_upcaster('Outer', 1, 'shapes.inner');
SQL
begin_to_wait($idle, q{SELECT string_agg(data::text, ' ') FROM es_read_stream('outer-1')});
$node->safe_psql('postgres', q{SELECT es_drop_upcaster('Placed', 2)});
$locker->query_safe('SELECT pg_advisory_unlock(1)');
is($idle->query_safe(''), '[2, 2, 2] [2, 2, 2]', 'an upcaster that reads goes by what is registered then');
register(2, 'two');

# A call that waits for events goes by what is registered when they come.
begin_to_wait($idle, q{SELECT schema_version, data FROM es_read_after(100, category => 'late', wait => '1 min')});
$node->safe_psql('postgres', 'SELECT es_leap()');
$node->safe_psql('postgres', q{SELECT es_create_upcaster('Late', 1, 'shapes.two')});
$node->safe_psql('postgres', q{SELECT es_append('late-1', 'Late', '{"n": 1}')});
is($idle->query_safe(''), '2|{"n": 1, "two": 1}', 'a reader that has waited has it in the newest shape');

# A reader's own search_path, schema and temporary objects, with better matches for what an upcaster calls.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION shapes.open(data jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN jsonb_build_object('data', data, 'rate', (SELECT max(rate) FROM rates), 'by', current_user); END $$;
CREATE TABLE shapes.rates (rate integer);
INSERT INTO shapes.rates VALUES (7);
REVOKE ALL ON FUNCTION shapes.open FROM PUBLIC;
CREATE ROLE keeper IN ROLE tidemark_admin;
GRANT USAGE ON SCHEMA shapes TO keeper;
GRANT SELECT ON shapes.rates TO keeper;
GRANT EXECUTE ON FUNCTION shapes.open TO keeper;
CREATE ROLE mallory LOGIN IN ROLE tidemark_reader;
CREATE SCHEMA lair AUTHORIZATION mallory;
SELECT es_append('opened-1', 'Opened', '{}');
SET ROLE keeper;
SET search_path = shapes, public;
SELECT es_create_upcaster('Opened', 1, 'open');
SQL
my $mallory = session($node);
$mallory->query_safe(<<'SQL');
SET SESSION AUTHORIZATION mallory;
CREATE FUNCTION lair.jsonb_build_object(text, jsonb, text, integer, text, name) RETURNS jsonb LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'mallory was here, as %', current_user; END $$;
CREATE FUNCTION lair.max(integer) RETURNS integer LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'mallory was here, as %', current_user; END $$;
CREATE TEMP TABLE rates (rate integer);
INSERT INTO rates VALUES (666);
CREATE FUNCTION pg_temp.max(integer) RETURNS integer LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'mallory was here, as %', current_user; END $$;
SET search_path = pg_temp, lair, public, pg_catalog;
SQL
is($mallory->query_safe(q{SELECT data, current_user FROM es_read_stream('opened-1')}),
    '{"by": "keeper", "data": {}, "rate": 7}|mallory', 'a reader\'s own objects do not get into an upcaster\'s way');
is($mallory->query_safe('SHOW search_path'), 'pg_temp, lair, public, pg_catalog', '... and are there again afterwards');
$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION shapes.open FROM keeper');
my ($out, $failed) = $mallory->query(q{SELECT data FROM es_read_stream('opened-1')});
like($mallory->{stderr}, qr/TM007|cannot be upcast.*role "keeper".*may not call it/s,
    'without the right of who registered it, it does not run');
$mallory->{stderr} = '';
is($mallory->query_safe(q{SELECT current_user, count(*) FROM rates}), 'mallory|1', '... and the reader is who it was');
$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION shapes.open TO keeper');

# Dumps
my $folder = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', q{SELECT es_save_snapshot('order-1', 2, '{"sum": 3}', 5)});
my $everything = q{SELECT stream_id, schema_version, data FROM es_read_after(0, NULL)};
my $tables = 'SELECT u::text FROM es_upcasters AS u UNION ALL SELECT s::text FROM es_snapshots AS s ORDER BY 1';
my $loaded = q{SELECT * FROM es_load('order-1', 5)};
my @before = map { $node->safe_psql('postgres', $_) } $everything, $tables, $loaded;
my @psql = ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1');
my @pg_restore = ('pg_restore', '-e', '-j', '2');
sub dump_to
{
    my ($file, @options) = @_;
    system_or_bail('pg_dump', '-d', $node->connstr('postgres'), '-f', "$folder/$file", @options);
    return "$folder/$file";
}
sub restored
{
    my ($name, @command) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->command_ok([ @command, '-d', $node->connstr($name) ], "a $name dump is restored");
    return is_deeply([ map { $node->safe_psql($name, $_) } $everything, $tables, $loaded ], \@before,
        '... with upcasters and snapshots, by which it is read');
}
restored('plain', @psql, '-f', dump_to('plain'));
restored('custom', @pg_restore, dump_to('custom', '-Fc'));
# The data alone, into a log that a session has read before
$node->safe_psql('postgres', 'CREATE DATABASE data');
$node->safe_psql('data', 'CREATE EXTENSION tidemark');
system_or_bail(@psql, '-d', $node->connstr('data'), '-f', dump_to('shapes', '--schema-only', '-n', 'shapes'));
my $reader = session($node, 'data');
is($reader->query_safe(q{SELECT schema_version FROM es_upcast('Placed', 1, '{}')}), 1, 'a new log has no upcasters');
$node->command_ok([ @psql, '-d', $node->connstr('data'), '-f', dump_to('data', '--data-only') ],
    'the data of a dump are restored into it');
is($reader->query_safe($read), $twice, '... and a session from before reads by the upcasters in them');

# Many large events, upcast one by one, take no more memory than one.
$node->safe_psql('postgres', <<'SQL');
SELECT es_append_events('large-1', jsonb_agg(jsonb_build_object('type', 'Large', 'data',
    jsonb_build_object('text', repeat('x', 20000))))), es_create_upcaster('Large', 1, 'shapes.two')
FROM generate_series(1, 5000);
SQL
my $large = session($node);
my $pid = $large->query_safe('SELECT pg_backend_pid()');
is($large->query_safe(q{SELECT count(*) FROM es_read_stream('large-1') WHERE data ->> 'two' = version::text}), 5000,
    '5,000 large events are upcast in a call');
my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
note(sprintf '%d MB', $peak / 1024);
cmp_ok($peak, '<', 100 * 1024, '... within 100 MB');

$_->quit for $large, $idle, $busy, $locker, $far, $mallory, $reader;
done_testing();
