-- CREATE EXTENSION and DROP EXTENSION: into any schema, in a transaction with the first append, again and again; what
-- is dumped, documented and granted.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;

-- A fresh installation is on record, and its log is empty.
SELECT count(*), bool_and(installed_at BETWEEN now() - interval '1 hour' AND now()) AS recent FROM es_installations;
SELECT count(*), es_head_position(), es_safe_position() FROM es_events;
-- pg_dump takes the events and the record of installations along, and neither the log's head nor its marker.
SELECT dumped::regclass FROM pg_extension, unnest(extconfig) AS dumped WHERE extname = 'tidemark' ORDER BY 1::text;
SELECT relname, relpersistence FROM pg_class WHERE relname IN ('es_events', 'es_log_head', 'es_log_marker') ORDER BY 1;
-- The function that made the log's first page is gone.
SELECT to_regproc('es_create_log');
-- Changes by hand are refused by triggers that always fire.
SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgfoid = 'es_refuse_change()'::regprocedure ORDER BY tgname;
-- Every function, relation and column of es_events has a comment.
CREATE TEMP VIEW members AS
SELECT classid, objid, pg_describe_object(classid, objid, 0) AS name FROM pg_depend
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tidemark') AND deptype = 'e'
  AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass);
SELECT count(*) > 20 AS many,
       count(*) FILTER (WHERE obj_description(objid, classid::regclass::name) IS NULL) AS undocumented
FROM members;
SELECT attname FROM pg_attribute
WHERE attrelid = 'es_events'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;
-- Nothing is granted to PUBLIC.
SELECT name FROM members
WHERE CASE classid WHEN 'pg_proc'::regclass THEN has_function_privilege('public', objid, 'EXECUTE')
      ELSE has_table_privilege('public', objid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') END;
-- Its roles cannot log in; a writer and a consumer are readers, and an admin is all.
SELECT rolname, rolcanlogin, rolsuper, pg_has_role(rolname, 'tidemark_reader', 'USAGE') AS reader,
       pg_has_role(rolname, 'tidemark_writer', 'USAGE') AS writer,
       pg_has_role(rolname, 'tidemark_consumer', 'USAGE') AS consumer,
       pg_has_role(rolname, 'tidemark_admin', 'USAGE') AS admin
FROM pg_roles WHERE rolname LIKE 'tidemark\_%' ORDER BY rolname COLLATE "C";
-- Its tables cannot be dropped from under it.
DROP TABLE es_log_marker;
DROP VIEW members;

-- Dropped and created again, the log begins anew, in the same session.
SELECT first_position FROM es_append('order-1', 'A');
DROP EXTENSION tidemark;
CREATE EXTENSION tidemark;
SELECT first_version, first_position FROM es_append('order-1', 'A');
-- Also in one transaction, which can be rolled back.
BEGIN;
DROP EXTENSION tidemark;
CREATE EXTENSION tidemark;
SELECT first_version, first_position FROM es_append('order-1', 'B');
ROLLBACK;
SELECT first_version, first_position FROM es_append('order-1', 'C');
SELECT string_agg(event_type, ' ' ORDER BY position) FROM es_read_after();
DROP EXTENSION tidemark;
BEGIN;
CREATE EXTENSION tidemark;
SELECT first_position FROM es_append('order-1', 'A');
SELECT count(*) FROM es_read_after();
COMMIT;
SELECT first_position FROM es_append('order-1', 'B');
SELECT string_agg(event_type, ' ' ORDER BY position) FROM es_read_after();
DROP EXTENSION tidemark;

-- In a schema of its own everything works without a search_path, and whatever lies in the way on it.
CREATE SCHEMA "Events";
CREATE EXTENSION tidemark SCHEMA "Events";
CREATE TABLE es_events (position text);
CREATE TABLE es_log_head (content text);
SELECT first_position FROM "Events".es_append('order-1', 'A', event_id => '00000000-0000-0000-0000-00000000000a');
SELECT is_duplicate FROM "Events".es_append('order-1', 'A', event_id => '00000000-0000-0000-0000-00000000000a');
SELECT last_position FROM "Events".es_append_events('order-1', '[{"type": "B"}]', 1);
SELECT event_type FROM "Events".es_read_stream('order-1');
SELECT event_type FROM "Events".es_read_after();
SELECT "Events".es_stream_version('order-1'), "Events".es_safe_position(), "Events".es_head_position();
SELECT stream_id, version FROM "Events".es_streams;
BEGIN;
SELECT last_version FROM "Events".es_append('order-1', 'C');
SELECT first_position FROM "Events".es_blockers();
SELECT "Events".es_lock_stream('order-1'), "Events".es_leap() > 1000000 AS leapt;
COMMIT;
SELECT count(*) FROM "Events".es_verify();
DELETE FROM "Events".es_events;
\echo :SQLSTATE
SET client_min_messages = warning;
DROP SCHEMA "Events" CASCADE;
DROP TABLE es_events, es_log_head;
