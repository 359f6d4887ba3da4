-- Rights of projections: the administrator makes and runs them; a handler has the rights and the search_path of who has
-- registered it, whoever appends or runs it, and who appends needs none, and can lead it nowhere else.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shop, evil, secret CASCADE;
DROP ROLE IF EXISTS regress_reader, regress_writer, regress_consumer, regress_admin, regress_owner;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE ROLE regress_reader IN ROLE tidemark_reader;
CREATE ROLE regress_writer IN ROLE tidemark_writer;
CREATE ROLE regress_consumer IN ROLE tidemark_consumer;
CREATE ROLE regress_admin IN ROLE tidemark_admin;
CREATE ROLE regress_owner IN ROLE tidemark_admin;
SELECT format('GRANT TEMPORARY ON DATABASE %I TO regress_writer', current_database()) \gexec
SELECT proname, has_function_privilege('regress_reader', p.oid, 'EXECUTE') AS reader,
       has_function_privilege('regress_writer', p.oid, 'EXECUTE') AS writer,
       has_function_privilege('regress_consumer', p.oid, 'EXECUTE') AS consumer,
       has_function_privilege('regress_admin', p.oid, 'EXECUTE') AS admin
FROM pg_proc AS p WHERE proname ~ '^es_(create|drop|run|rebuild)_projection$' ORDER BY proname;
SELECT relname, has_table_privilege('regress_writer', c.oid, 'SELECT') AS writer,
       has_table_privilege('regress_consumer', c.oid, 'SELECT') AS consumer,
       has_table_privilege('regress_admin', c.oid, 'SELECT') AS admin,
       has_table_privilege('regress_admin', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS admin_changes
FROM pg_class AS c WHERE relname IN ('es_projections', 'es_projection_status') ORDER BY relname COLLATE "C";

-- Handlers and tables that nobody but their owner has any right to, in a schema that nobody else can look into.
CREATE SCHEMA shop AUTHORIZATION regress_owner;
CREATE SCHEMA evil AUTHORIZATION regress_writer;
CREATE SCHEMA secret;
CREATE TABLE secret.model (stream_id text PRIMARY KEY, who text, path text);
INSERT INTO secret.model VALUES ('secret');
SET ROLE regress_owner;
SET search_path = shop, public;
CREATE TABLE model (stream_id text PRIMARY KEY, who text, path text);
CREATE FUNCTION mark() RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO model VALUES (e.stream_id, mark() || ' ' || current_user || ' ' || lower('OK'),
                              current_setting('search_path'));
END
$$;
REVOKE ALL ON FUNCTION mark, apply FROM PUBLIC;
SELECT es_create_projection('sync', 'apply', 'sync', mode => 'sync', tables => '{model}'),
       es_create_projection('async', 'apply', 'async');
SELECT name, handler, owner, search_path FROM es_projections ORDER BY name;
RESET search_path;
\set VERBOSITY sqlstate
-- An administrator without rights of its own on them cannot register them, nor their tables.
SET ROLE regress_admin;
SELECT es_create_projection('mine', 'shop.apply');
CREATE FUNCTION pg_temp.nothing(e es_events) RETURNS void LANGUAGE sql AS '';
SELECT es_create_projection('mine', 'pg_temp.nothing', tables => '{secret.model}');
UPDATE es_projections SET owner = 'regress_admin';
DELETE FROM es_projections;
-- Who may only append, read or consume makes none, and runs none.
SET ROLE regress_writer;
CREATE FUNCTION evil.nothing(e es_events) RETURNS void LANGUAGE sql AS '';
SELECT es_create_projection('evil', 'evil.nothing');
SELECT es_drop_projection('sync');
CALL es_run_projection('async');
CALL es_rebuild_projection('sync');
SELECT count(*) FROM es_projections;
SET ROLE regress_consumer;
SELECT es_create_projection('evil', 'evil.nothing');
SELECT es_drop_projection('async');
CALL es_run_projection();
SELECT name, mode, checkpoint FROM es_projection_status ORDER BY name;
SET ROLE regress_reader;
SELECT count(*) FROM es_projection_status;
SELECT es_wait_for('sync', 0);

-- Who appends, with everything in the way: relations, functions and operators that would match better.
SET ROLE regress_writer;
SELECT count(*) FROM shop.model;
SELECT shop.mark();
CREATE TEMP TABLE model (stream_id text, who text, path text);
CREATE TABLE evil.model (stream_id text, who text, path text);
CREATE FUNCTION evil.mark() RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
CREATE FUNCTION evil.concatenate(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
CREATE OPERATOR evil.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.concatenate);
CREATE FUNCTION pg_temp.mark() RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
SET search_path = evil, pg_catalog, pg_temp, public;
SELECT last_version FROM public.es_append('sync-1', 'T');
SET search_path = pg_temp, evil, pg_catalog;
SELECT last_version FROM public.es_append_events('sync-2', '[{"type": "T"}]');
SELECT count(*) FROM public.es_append_streams('[{"stream": "sync-3", "events": [{"type": "T"}]},
                                               {"stream": "async-1", "events": [{"type": "T"}]}]');
-- It is itself again behind it, also where an error was caught.
SELECT current_user, current_setting('search_path'), (SELECT count(*) FROM evil.model) + (SELECT count(*) FROM model);
\set VERBOSITY terse
DO $$
BEGIN
    PERFORM public.es_append('sync-1', 'T');
EXCEPTION WHEN unique_violation THEN
    RAISE NOTICE '% %', current_user, current_setting('search_path');
END
$$;
\set VERBOSITY sqlstate
RESET search_path;
-- Any administrator runs and rebuilds it, with the rights of its owner.
SET ROLE regress_admin;
SET search_path = pg_temp, evil, public;
CALL es_run_projection('async');
SELECT current_user, current_setting('search_path');
RESET ROLE;
RESET search_path;
SELECT * FROM shop.model ORDER BY stream_id;
SELECT (SELECT count(*) FROM evil.model) AS evil, (SELECT count(*) FROM pg_temp.model) AS temporary;
DROP TABLE pg_temp.model;
UPDATE shop.model SET who = NULL;
SET ROLE regress_admin;
CALL es_rebuild_projection('sync');
RESET ROLE;
SELECT stream_id, who FROM shop.model ORDER BY stream_id;
SELECT * FROM secret.model;
-- Neither can a handler leave its owner's rights.
SET ROLE regress_owner;
CREATE FUNCTION shop.escape(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RESET ROLE;
    SET ROLE tidemark_admin;
END
$$;
-- Nor leave anything to be done at the end of the transaction, with the rights of others.
CREATE FUNCTION shop.see_who() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE 'deferred: %', current_user; RETURN NULL; END $$;
CREATE TABLE shop.late (stream_id text);
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON shop.late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION shop.see_who();
CREATE FUNCTION shop.defer(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO shop.late VALUES (e.stream_id) $$;
CREATE FUNCTION shop.hold(e es_events) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1'; END $$;
SELECT es_create_projection('escape', 'shop.escape', 'escape', mode => 'sync'),
       es_create_projection('defer', 'shop.defer', 'defer', mode => 'sync'),
       es_create_projection('hold', 'shop.hold', 'hold', mode => 'sync'),
       es_create_projection('escape later', 'shop.escape', 'later'),
       es_create_projection('defer later', 'shop.defer', 'later'),
       es_create_projection('hold later', 'shop.hold', 'later');
RESET ROLE;
SELECT last_version FROM es_append('escape-1', 'T');
SELECT last_version FROM es_append('defer-1', 'T');
SELECT last_version FROM es_append('hold-1', 'T');
SELECT last_version FROM es_append('later-1', 'T');
\set VERBOSITY terse
CALL es_run_projection('defer later');
CALL es_run_projection('escape later');
CALL es_run_projection('hold later');
SELECT name, failed_position IS NOT NULL AS failed, right(error, 8) AS error FROM es_projection_status
WHERE name ~ 'later' ORDER BY name COLLATE "C";
-- Who appends as the owner may.
SET ROLE regress_owner;
SELECT last_version FROM es_append('defer-1', 'T');
RESET ROLE;
SELECT count(es_drop_projection(name)) FROM es_projections WHERE name ~ 'escape|defer|hold';

-- An owner who loses the right to the handler, or is dropped, is an error that says so.
\set VERBOSITY terse
ALTER FUNCTION shop.apply OWNER TO CURRENT_USER;
SELECT last_version FROM es_append('sync-4', 'T');
\echo :SQLSTATE
SELECT last_version FROM es_append('async-4', 'T');
CALL es_run_projection('async');
\echo :SQLSTATE
SELECT name, failed_position IS NOT NULL AS failed, error FROM es_projection_status WHERE mode = 'async';
SET client_min_messages = warning;
REASSIGN OWNED BY regress_owner TO CURRENT_USER;
DROP OWNED BY regress_owner;
DROP ROLE regress_owner;
RESET client_min_messages;
\set VERBOSITY default
SELECT last_version FROM es_append('sync-4', 'T');
CALL es_run_projection('async');
\set VERBOSITY terse
SELECT error FROM es_projection_status WHERE name = 'async';
-- Registered again, by somebody who is there, it goes on.
SELECT es_drop_projection('sync'), es_drop_projection('async');
SET search_path = shop, public;
SELECT es_create_projection('sync', 'apply', 'sync', mode => 'sync', start => 'end');
SELECT last_version FROM es_append('sync-4', 'T');
RESET search_path;
SELECT who ~ current_user AS mine FROM shop.model WHERE stream_id = 'sync-4';

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop, evil, secret CASCADE;
DROP OWNED BY regress_reader, regress_writer, regress_consumer, regress_admin;
DROP ROLE regress_reader, regress_writer, regress_consumer, regress_admin;
