-- Snapshots: kept for a stream, a schema version and a version; loaded with the events behind them.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP ROLE IF EXISTS regress_reader, regress_writer, regress_admin;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
SELECT last_version FROM es_append_events('account-1', '[{"type": "Deposited", "data": 10},
    {"type": "Deposited", "data": 20}, {"type": "Withdrawn", "data": 5, "schema_version": 2}]');

-- Without a snapshot: no row, and the whole history.
SELECT * FROM es_load_snapshot('account-1');
SELECT snapshot_version, snapshot, version, data FROM es_load('account-1');
-- With one: it alone, and then the events behind it.
SELECT es_save_snapshot('account-1', 2, '{"balance": 30}');
SELECT stream_id, schema_version, version, state, saved_at BETWEEN now() - interval '1 minute' AND clock_timestamp()
    AS is_recent FROM es_load_snapshot('account-1');
SELECT snapshot_version, snapshot, version, schema_version, stream_id, category, event_type, data, metadata,
       position IS NULL AND recorded_at IS NULL AND event_id IS NULL AS is_snapshot FROM es_load('account-1');
-- Only one of the schema version that is asked for.
SELECT snapshot_version, snapshot, version, data FROM es_load('account-1', schema_version => 2);
SELECT count(*) FROM es_load_snapshot('account-1', 2);
SELECT es_save_snapshot('account-1', 1, '{"cents": 1000}', schema_version => 2);
SELECT snapshot_version, snapshot, version, data FROM es_load('account-1', schema_version => 2);
SELECT snapshot_version, snapshot, version, data FROM es_load('account-1');
-- At the stream's end it comes alone.
SELECT es_save_snapshot('account-1', 3, '{"balance": 25}');
SELECT snapshot_version, snapshot, version FROM es_load('account-1');
-- It never goes back, nor is it replaced by another one of the same version.
SELECT es_save_snapshot('account-1', 2, '{"balance": 30}'), es_save_snapshot('account-1', 3, '{"balance": -1}');
SELECT version, state FROM es_load_snapshot('account-1');
-- A stream without events has neither; any JSON value is a state, also null.
SELECT * FROM es_load('account-2');
SELECT es_save_snapshot('account-1', 3, 'null', 3);
SELECT snapshot_version, snapshot FROM es_load('account-1', 3);

-- Own events that are not committed count, and what is undone leaves nothing.
BEGIN;
SELECT last_version FROM es_append('account-1', 'Deposited', '1');
SELECT es_save_snapshot('account-1', 4, '{"balance": 26}');
SELECT snapshot_version, snapshot, version FROM es_load('account-1');
ROLLBACK;
SELECT snapshot_version, snapshot, version FROM es_load('account-1');
-- An administrator may delete snapshots, as they are not a part of the log: the next load reads everything.
SELECT es_safe_position(), es_head_position(), count(*) FROM es_events;
DELETE FROM es_snapshots WHERE schema_version = 1;
SELECT snapshot_version, version FROM es_load('account-1');
-- One whose large state is made of an event's, and one that takes its place.
SELECT last_version FROM es_append('large-1', 'Imported', to_jsonb(repeat(md5('large'), 40000)));
SELECT es_save_snapshot('large-1', version, data) FROM es_read_stream('large-1');
SELECT length(snapshot #>> '{}'), md5(snapshot::text) = (SELECT md5(data::text) FROM es_read_stream('large-1')) AS same
FROM es_load('large-1');
SELECT last_version FROM es_append('large-1', 'Cleared', '""');
SELECT es_save_snapshot('large-1', version, data) FROM es_read_stream('large-1', 2);
SELECT snapshot_version, snapshot FROM es_load('large-1');
-- The events come behind the snapshot and in order in parallel queries too.
SELECT last_version FROM es_append_events('account-1', '[{"type": "A"}, {"type": "B"}]');
SELECT es_save_snapshot('account-1', 2, '{"balance": 30}');
BEGIN;
SELECT count(set_config(name, 'on', true)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SELECT snapshot_version, version, event_type FROM es_load('account-1');
COMMIT;
-- Columns that are added to es_events are not loaded, and do not hinder.
ALTER TABLE es_events ADD tenant text DEFAULT 'acme';
SELECT snapshot_version, version, event_type FROM es_load('account-1');

-- Bad input.
\pset format unaligned
SELECT statement, a.* FROM (VALUES
    ('es_save_snapshot(NULL, 1, ''{}'')'), ('es_save_snapshot('''', 1, ''{}'')'),
    ('es_save_snapshot(''account-1'', NULL, ''{}'')'), ('es_save_snapshot(''account-1'', 0, ''{}'')'),
    ('es_save_snapshot(''account-1'', -1, ''{}'')'), ('es_save_snapshot(''account-1'', 6, ''{}'')'),
    ('es_save_snapshot(''account-3'', 1, ''{}'')'), ('es_save_snapshot(''account-1'', 1, NULL)'),
    ('es_save_snapshot(''account-1'', 1, ''{}'', NULL)'), ('es_save_snapshot(''account-1'', 1, ''{}'', 0)'),
    ('es_load(NULL)'), ('es_load('' '')')) AS attempts (statement), pg_temp.attempt('SELECT ' || statement) AS a;
BEGIN READ ONLY;
SELECT state, message FROM pg_temp.attempt($$SELECT es_save_snapshot('account-1', 3, '{}')$$);
ROLLBACK;
\pset format aligned
-- A snapshot of what there is not, planted by hand, is found.
BEGIN;
INSERT INTO es_snapshots VALUES ('account-1', 9, 6, '{}', now()), ('account-9', 1, 1, '{}', now());
SELECT problem, stream_id, version, detail FROM es_verify() ORDER BY stream_id;
ROLLBACK;
BEGIN;
ALTER TABLE es_snapshots SET UNLOGGED;
SELECT problem, detail FROM es_verify();
ROLLBACK;
SELECT * FROM es_verify();

-- A reader loads, a writer saves, an administrator deletes.
CREATE ROLE regress_reader IN ROLE tidemark_reader;
CREATE ROLE regress_writer IN ROLE tidemark_writer;
CREATE ROLE regress_admin IN ROLE tidemark_admin;
\set VERBOSITY sqlstate
SET ROLE regress_reader;
SELECT count(*), (SELECT count(*) FROM es_load_snapshot('account-1')) FROM es_load('account-1');
SELECT es_save_snapshot('account-1', 5, '{}');
SELECT count(*) FROM es_snapshots;
SET ROLE regress_writer;
SELECT es_save_snapshot('account-1', 5, '{}');
DELETE FROM es_snapshots;
SET ROLE regress_admin;
UPDATE es_snapshots SET version = 1;
DELETE FROM es_snapshots;
RESET ROLE;
DROP ROLE regress_reader, regress_writer, regress_admin;
