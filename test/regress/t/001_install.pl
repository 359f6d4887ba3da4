# Installation: schemas, reinstallation under sessions that are in use, rights, what the catalog says about the
# extension's objects, and search paths that would mislead a careless function.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('install');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_prepared_transactions = 5\n");
$node->start;
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(plain elsewhere again hostile trojan occupied);
$node->safe_psql('plain', 'CREATE EXTENSION tidemark');

# The objects that belong to the extension.
my $members = <<'SQL';
WITH members AS (
    SELECT classid, objid, pg_describe_object(classid, objid, objsubid) AS name
    FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
      AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tidemark')
), functions AS (
    SELECT name, pg_proc.* FROM members JOIN pg_proc ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid
), relations AS (
    SELECT name, pg_class.* FROM members JOIN pg_class ON classid = 'pg_class'::regclass AND objid = pg_class.oid
)
SQL

# run_as(database, role, SQL): output, or the SQLSTATE of the error.
sub run_as
{
    my ($database, $role, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY sqlstate\n$sql",
        extra_params => [ '-U', $role ]);
    return $status == 0 ? $out : $err =~ /ERROR:  (\w{5})/ ? $1 : $err;
}

my $superuser = $node->safe_psql('plain', 'SELECT current_user');
my $append = q{SELECT last_version FROM es_append('order-1', 'OrderPlaced')};
my $events = q{SELECT string_agg(stream_id || ' ' || version, ',' ORDER BY position) FROM es_read_after()};

# Schemas and databases

is($node->safe_psql('plain', $append), 1, 'the extension works in the default schema');
is($node->safe_psql('plain', $events), 'order-1 1', 'the events can be read there');

$node->safe_psql('elsewhere', 'CREATE SCHEMA es; CREATE EXTENSION tidemark SCHEMA es');
is($node->safe_psql('elsewhere', $members . q{SELECT count(*) FROM (
        SELECT pronamespace AS schema FROM functions UNION ALL SELECT relnamespace FROM relations) AS object
    WHERE schema <> 'es'::regnamespace}),
    0, 'given a schema, it puts everything there');
is($node->safe_psql('elsewhere', q{SELECT last_version FROM es.es_append('order-1', 'OrderPlaced')}),
    1, 'a second database of the cluster has a log of its own, and the schema need not be in the search path');
is($node->safe_psql('elsewhere', 'SELECT stream_id, version FROM es.es_read_after()'),
    'order-1|1', 'the log in a schema is read by qualified names');
is($node->safe_psql('elsewhere', 'SELECT count(*) FROM es.es_verify()'), 0, 'the log in a schema can be verified');
is($node->safe_psql('elsewhere', 'SELECT stream_id, version FROM es.es_streams'),
    'order-1|1', 'the streams in a schema can be listed');

$node->safe_psql('occupied', 'CREATE TABLE es_events (mine text)');
is(run_as('occupied', $superuser, 'CREATE EXTENSION tidemark'),
    '42P07', 'a table es_events that exists is not adopted');
is($node->safe_psql('occupied', "SELECT count(*) FROM pg_class WHERE relname LIKE 'es\\_%'"),
    1, 'a failed installation leaves nothing');

# Installed again, under sessions that have used the one before

my $session = $node->background_psql('again');
$session->query_safe('CREATE EXTENSION tidemark');
my $other = $node->background_psql('again');
my $cached = "PREPARE cached AS $append; "
  . "CREATE FUNCTION pg_temp.cached() RETURNS text LANGUAGE plpgsql AS \$\$BEGIN RETURN ($append); END\$\$; ";
$_->query_safe($cached) for $session, $other;
my $use = 'EXECUTE cached; SELECT pg_temp.cached()';
is($session->query_safe($use), "1\n2", 'a session appends');
is($other->query_safe($use),   "3\n4", 'another session appends');
$session->query_safe('DROP EXTENSION tidemark');
is($node->safe_psql('again', "SELECT count(*) FROM pg_class WHERE relname LIKE 'es\\_%'"),
    0, 'dropping the extension leaves no table');
is($node->safe_psql('again', "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tidemark\\_%'"),
    4, 'dropping the extension leaves the roles, which other databases may use');
$session->query_safe('CREATE EXTENSION tidemark');
is($session->query_safe($use), "1\n2", 'the session that installed it again appends to the new log');
is($other->query_safe($use),   "3\n4", 'a session that had the old one in its caches appends to the new log');
$session->query_safe('DROP EXTENSION tidemark; CREATE SCHEMA es; CREATE EXTENSION tidemark SCHEMA es');
is($session->query_safe(q{SET search_path = es; SELECT last_version FROM es_append('a', 'b')}),
    1, 'installed again in another schema it works in the same session');
is($other->query_safe(q{SELECT last_version FROM es.es_append('a', 'b')}),
    2, 'installed again in another schema it works in another session');
$_->quit for $session, $other;

# What the catalog says

is($node->safe_psql('plain', $members . <<'SQL'), '', 'nothing is granted to PUBLIC');
SELECT name FROM functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0
UNION ALL
SELECT name FROM relations, aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE grantee = 0
UNION ALL
SELECT name FROM relations JOIN pg_attribute ON attrelid = relations.oid, aclexplode(attacl) WHERE grantee = 0
SQL
is($node->safe_psql('plain', $members . <<'SQL'), '', 'every object has a comment');
SELECT name FROM members
WHERE classid <> 'pg_type'::regclass  -- the row types of the tables, from PostgreSQL 16 on
  AND coalesce(obj_description(objid, classid::regclass::name), '') = ''
SQL
is($node->safe_psql('plain', <<'SQL'), '', 'every column of es_events has a comment');
SELECT attname FROM pg_attribute
WHERE attrelid = 'es_events'::regclass AND attnum > 0 AND NOT attisdropped
  AND coalesce(col_description(attrelid, attnum), '') = ''
SQL
is($node->safe_psql('plain', $members . <<'SQL'), '', 'all arguments have names');
SELECT name FROM functions
WHERE pronargs > 0 AND (proargnames IS NULL OR '' = ANY (proargnames)
  OR cardinality(proargnames) < cardinality(coalesce(proallargtypes, proargtypes::oid[])))
SQL
is($node->safe_psql('plain', $members . <<'SQL'), '', 'functions in SQL and of their owner\'s rights pin the path');
SELECT name FROM functions JOIN pg_language ON pg_language.oid = prolang
WHERE (prosecdef OR (lanname <> 'c' AND prosqlbody IS NULL))
  AND NOT EXISTS (SELECT FROM unnest(proconfig) AS setting WHERE setting LIKE 'search\_path=%')
SQL
is($node->safe_psql('plain', <<'SQL'), 't', 'the library is the one of the installed version');
SELECT extversion = default_version
FROM pg_extension JOIN pg_available_extensions ON name = extname WHERE extname = 'tidemark'
SQL

# Rights

$node->safe_psql('plain', <<'SQL');
CREATE ROLE app LOGIN; GRANT tidemark_writer TO app;
CREATE ROLE viewer LOGIN; GRANT tidemark_reader TO viewer;
CREATE ROLE operator LOGIN; GRANT tidemark_admin TO operator;
CREATE ROLE outsider LOGIN;
SQL
is(run_as('plain', 'app', $append), 2, 'a writer appends');
is(run_as('plain', 'app', q{SELECT last_version FROM es_append_events('order-2', '[{"type": "A"}, {"type": "B"}]')}),
    2, 'a writer appends several events');
is(run_as('plain', 'app', $events), 'order-1 1,order-1 2,order-2 1,order-2 2', 'a writer reads the log');
is(run_as('plain', 'app', "INSERT INTO es_events SELECT * FROM es_events"), '42501', 'a writer cannot insert by hand');
is(run_as('plain', 'app', "$_ es_events"), '42501', "a writer cannot $_") for 'DELETE FROM', 'TRUNCATE';
is(run_as('plain', 'app', 'SELECT es_leap()'), '42501', 'a writer cannot make the log leap');

is(run_as('plain', 'viewer', $events), 'order-1 1,order-1 2,order-2 1,order-2 2', 'a reader reads the log');
is(run_as('plain', 'viewer', q{SELECT count(*) FROM es_read_stream('order-2')}), 2, 'a reader reads a stream');
is(run_as('plain', 'viewer', 'SELECT count(*) FROM es_streams'), 2, 'a reader lists the streams');
is(run_as('plain', 'viewer', 'SELECT es_safe_position() = es_head_position()'), 't', 'a reader asks for the positions');
is(run_as('plain', 'viewer', $append), '42501', 'a reader cannot append');
is(run_as('plain', 'viewer', q{SELECT es_lock_stream('order-1')}), '42501', 'a reader cannot lock a stream');

is(run_as('plain', 'operator', 'SELECT count(*) FROM es_verify()'), 0, 'an admin verifies the log');
is(run_as('plain', 'operator', 'SELECT count(*) FROM es_blockers()'), 0, 'an admin asks for blockers');
is(run_as('plain', 'operator', $append), 3, 'an admin appends');
is(run_as('plain', 'operator', 'UPDATE es_log_head SET row_number = 0'), '42501', 'an admin cannot touch the log head');

is(run_as('plain', 'outsider', $_), '42501', "nobody else may: $_")
  for $append, $events, 'SELECT * FROM es_events', 'SELECT * FROM es_streams', 'SELECT es_any()',
  'SELECT es_safe_position()', 'SELECT * FROM es_blockers()', 'SELECT * FROM es_verify()';

# A hostile search path: everything that the system offers exists in another version that is found first and raises
# an error, and so does an empty es_events.

my $traps = <<'SQL';
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
DO $$
DECLARE
    it record;
    set_up integer := 0;
BEGIN
    -- Functions of polymorphic and of internal types cannot be imitated in PL/pgSQL.
    FOR it IN SELECT DISTINCT ON (proname, proargtypes) proname AS name, pg_get_function_identity_arguments(oid) AS
                     arguments, prorettype::regtype AS result
              FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', it.name, it.arguments,
                           it.result, 'BEGIN RAISE ''trapped by function'' USING ERRCODE = ''TRAP1''; END');
            set_up := set_up + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    FOR it IN SELECT oprname AS name, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result
              FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION trap.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', set_up,
                           it.l, it.r, it.result,
                           'BEGIN RAISE ''trapped by operator'' USING ERRCODE = ''TRAP2''; END');
            EXECUTE format('CREATE OPERATOR trap.%s (FUNCTION = trap.operator_%s, LEFTARG = %s, RIGHTARG = %s)',
                           it.name, set_up, it.l, it.r);
            set_up := set_up + 1;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    ASSERT set_up > 2000, set_up;
END
$$;
CREATE FUNCTION trap.es_in_flight(OUT xid xid8, OUT first_position bigint) RETURNS SETOF record LANGUAGE plpgsql
    AS 'BEGIN RAISE ''trapped by function''; END';
CREATE FUNCTION trap.es_head_position() RETURNS bigint LANGUAGE sql RETURN 0;
CREATE FUNCTION trap.es_safe_position() RETURNS bigint LANGUAGE sql RETURN 0;
CREATE TABLE trap.es_events (LIKE es_events);
CREATE TABLE trap.es_log_head (LIKE es_log_head);
CREATE TABLE trap.es_log_marker (LIKE es_log_marker);
SQL
$node->safe_psql('hostile', "CREATE EXTENSION tidemark; $traps GRANT SELECT ON ALL TABLES IN SCHEMA trap TO PUBLIC;");

my $walk_in = <<'SQL';
CREATE TEMP TABLE es_events (LIKE public.es_events);
CREATE TEMP TABLE pg_stat_activity (pid int);
CREATE TEMP TABLE pg_prepared_xacts (gid text);
SET search_path = pg_temp, trap, public, pg_catalog;
SQL

# Runs the SQL under that path. It must not use operators or functions unqualified, or runs into the traps itself.
sub misled
{
    my ($role, $sql) = @_;
    return run_as('hostile', $role, "$walk_in $sql");
}

is(misled($superuser, q{SELECT '1'::pg_catalog.int8 + '1'::pg_catalog.int8}), 'TRAP2', 'the traps catch an operator');
is(misled($superuser, q{SELECT pg_catalog.int8 '1', abs('1'::pg_catalog.int8)}), 'TRAP1', 'the traps catch a function');
for my $role ('app', $superuser)
{
    is(misled($role, qq{SELECT first_version FROM public.es_append('a-$role', 'Created', '{"a": 1}', '{"b": 2}', -1)}),
        1, "es_append as $role is not misled");
    is(misled($role, qq{SELECT last_version FROM public.es_append_events('b-$role', '[{"type": "A"}, {"type": "B"}]')}),
        2, "es_append_events as $role is not misled");
}
is(misled('app', q{SELECT stream_id, version FROM public.es_read_after(category => 'a', stream_prefix => 'a-a')}),
    'a-app|1', 'es_read_after is not misled');
is(misled('app', q{SELECT version FROM public.es_read_stream('b-app', backward => true)}),
    "2\n1", 'es_read_stream is not misled');
is(misled('app', q{SELECT public.es_stream_version('b-app'), public.es_lock_stream('b-app')}),
    '2|2', 'es_stream_version and es_lock_stream are not misled');
is(misled('app', q{SELECT stream_id, version FROM public.es_streams WHERE stream_id OPERATOR(pg_catalog.=) 'b-app'}),
    'b-app|2', 'the view es_streams is not misled');

my $appender = $node->background_psql('hostile');
$appender->query_safe(q{BEGIN; SELECT es_append('held', 'Open')});
is(misled('operator', 'SELECT usename, state FROM public.es_blockers()'),
    "$superuser|idle in transaction", 'es_blockers is not misled');
$appender->query_safe(q{PREPARE TRANSACTION 'held'});
is(misled('operator', 'SELECT gid, pid FROM public.es_blockers()'),
    'held|', 'es_blockers is not misled about a prepared transaction');
$node->safe_psql('hostile', q{ROLLBACK PREPARED 'held'});
$appender->quit;

is(misled('operator', 'SELECT * FROM public.es_verify()'), '', 'es_verify of a sound log is not misled');
$node->safe_psql('hostile', <<'SQL');
ALTER TABLE es_events DISABLE TRIGGER es_events_immutable;
UPDATE es_events SET version = 3 WHERE stream_id = 'b-app' AND version = 2;
ALTER TABLE es_events ENABLE ALWAYS TRIGGER es_events_immutable;
SQL
is(misled('operator', 'SELECT problem, stream_id, version FROM public.es_verify()'),
    'versions not contiguous|b-app|3', 'es_verify of a broken log is not misled');

# Whoever may create objects in the schema before the installation can put functions there that fit a call better than
# the system's own. The bodies and views of the extension are bound to what is found when they are created.

$node->safe_psql('trojan', <<'SQL');
DO $$
DECLARE
    arguments text;
BEGIN
    FOREACH arguments IN ARRAY ARRAY['text, bigint', 'text, text', 'text, xid8', 'text, bigint, bigint',
                                     'text, text, text', 'text, bigint, bigint, bigint']
    LOOP
        EXECUTE pg_catalog.concat('CREATE FUNCTION format(', arguments, ') RETURNS text LANGUAGE sql RETURN null');
    END LOOP;
END
$$;
CREATE FUNCTION step(bigint, bigint) RETURNS bigint LANGUAGE sql RETURN 0;
CREATE FUNCTION step(bigint, bigint, integer, bigint) RETURNS bigint LANGUAGE sql RETURN 0;
CREATE AGGREGATE lag(bigint) (SFUNC = step, STYPE = bigint);
CREATE AGGREGATE lag(bigint, integer, bigint) (SFUNC = step, STYPE = bigint);
CREATE EXTENSION tidemark;
SQL
is($node->safe_psql('trojan', $members . <<'SQL'), '', 'the installation refers to nothing but itself and the system');
SELECT DISTINCT name, pg_describe_object(refclassid, refobjid, 0)
FROM (
    SELECT name, classid, objid FROM members
    UNION ALL
    SELECT name, 'pg_rewrite'::regclass, pg_rewrite.oid FROM relations JOIN pg_rewrite ON ev_class = relations.oid
) AS object
JOIN pg_depend USING (classid, objid)
WHERE refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_class'::regclass)
  AND (refclassid, refobjid) NOT IN (SELECT classid, objid FROM members)
  AND refobjid >= 16384
SQL

$node->stop;
done_testing();
