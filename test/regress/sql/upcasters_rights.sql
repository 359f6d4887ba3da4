-- Rights: an upcaster runs with those of who registered it, as long as those last, whoever reads; and who may do what.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shapes CASCADE;
DROP ROLE IF EXISTS regress_reader, regress_admin, regress_shapes;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
CREATE ROLE regress_admin IN ROLE tidemark_admin;
CREATE ROLE regress_reader IN ROLE tidemark_reader;
CREATE SCHEMA shapes;
CREATE FUNCTION shapes.good(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1;
\pset format unaligned
-- Its rights are those of who registered it, whose schema and function the reader need not be allowed to use.
SET ROLE regress_admin;
SELECT state, message FROM pg_temp.attempt($$SELECT es_create_upcaster('R', 1, 'shapes.good')$$);
RESET ROLE;
GRANT USAGE ON SCHEMA shapes TO regress_admin;
CREATE FUNCTION shapes.who(jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN to_jsonb(current_user || ', ' || current_setting('search_path')); END $$;
REVOKE EXECUTE ON FUNCTION shapes.who FROM PUBLIC;
SET ROLE regress_admin;
SET search_path = shapes, pg_temp, public;
SELECT state, message, detail FROM pg_temp.attempt($$SELECT es_create_upcaster('R', 1, 'who')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION shapes.who TO regress_admin;
SET ROLE regress_admin;
SELECT es_create_upcaster('R', 1, 'who');
RESET search_path;
SET ROLE regress_reader;
SELECT data, current_user, current_setting('search_path') FROM es_upcast('R', 1, '{}');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION shapes.who FROM regress_admin;
SELECT state, detail FROM pg_temp.attempt($$SELECT es_upcast('R', 1, '{}')$$);
REVOKE USAGE ON SCHEMA shapes FROM regress_admin;
SELECT state, detail FROM pg_temp.attempt($$SELECT es_upcast('R', 1, '{}')$$);
ALTER ROLE regress_admin RENAME TO regress_shapes;
SELECT state, detail FROM pg_temp.attempt($$SELECT es_upcast('R', 1, '{}')$$);
-- Who may do what.
GRANT USAGE ON SCHEMA shapes TO PUBLIC;
\pset format aligned
\set VERBOSITY sqlstate
SET ROLE regress_reader;
SELECT es_create_upcaster('S', 1, 'shapes.good');
SELECT es_drop_upcaster('R', 1);
SELECT count(*) FROM es_upcasters;
SELECT es_upcast('Other', 5, '{}');
SELECT * FROM es_check_upcasters('[{"type": "Other", "schema_version": 5, "data": 1, "expected": 1}]');
DELETE FROM es_upcasters;
SET ROLE regress_shapes;
SELECT es_create_upcaster('S', 1, 'shapes.good'), es_drop_upcaster('S', 1);
DELETE FROM es_upcasters;
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA shapes CASCADE;
DROP ROLE regress_reader, regress_shapes;
