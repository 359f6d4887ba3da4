-- es_verify() finds what is broken in a log, and says which event and what to do. The damage is planted with the
-- table's trigger disabled, each time in a transaction of its own.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
-- An empty log is sound.
SELECT * FROM es_verify();
SELECT last_position FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}, {"type": "C"}]');
SELECT last_position FROM es_append_events('order-2', '[{"type": "A"}, {"type": "B"}]');
BEGIN;
SELECT last_position FROM es_append('order-3', 'A');
-- So is one with an append in progress, and one with a gap.
SELECT * FROM es_verify();
ROLLBACK;
SELECT * FROM es_verify();
ALTER TABLE es_events DISABLE TRIGGER es_events_immutable;
-- All but that: for this see the end.
CREATE VIEW found AS SELECT * FROM es_verify() WHERE problem <> 'table not guarded';

-- An event that is missing within a stream.
BEGIN;
DELETE FROM es_events WHERE position = 2;
SELECT problem, stream_id, version, position FROM found;
ROLLBACK;
-- A stream's first event that is missing.
BEGIN;
DELETE FROM es_events WHERE position = 4;
SELECT problem, stream_id, version, position FROM found;
ROLLBACK;
-- Versions in another order than positions.
BEGIN;
UPDATE es_events SET version = -version WHERE stream_id = 'order-1' AND version > 1;
UPDATE es_events SET version = 5 + version WHERE stream_id = 'order-1' AND version < 0;
SELECT problem, stream_id, version, position FROM found;
ROLLBACK;
-- One version twice, and without the index that would have refused it.
BEGIN;
ALTER TABLE es_events DROP CONSTRAINT es_events_stream_id_version_key;
UPDATE es_events SET version = 1 WHERE position = 5;
SELECT problem, stream_id, version, position FROM found;
SELECT detail, hint FROM found WHERE problem = 'index missing';
ROLLBACK;
-- Each of the others.
BEGIN;
SELECT es_indexed_version('order-2'), es_indexed_version('order-3'), es_indexed_version('');
ALTER TABLE es_events DROP CONSTRAINT es_events_event_id_key;
SELECT problem, detail FROM found;
ALTER TABLE es_events DROP CONSTRAINT es_events_pkey;
DROP INDEX es_events_category_position_idx;
SELECT problem, detail FROM found ORDER BY detail;
SELECT * FROM es_missing_indexes() ORDER BY columns;
CREATE UNIQUE INDEX ON es_events (event_id) INCLUDE (position);
CREATE INDEX ON es_events USING brin (category, position);
SELECT problem, detail FROM found ORDER BY detail;
ROLLBACK;
-- A stream whose id no append takes does not hinder.
BEGIN;
UPDATE es_events SET stream_id = ' order-2' WHERE stream_id = 'order-2';
SELECT problem, stream_id FROM found;
ROLLBACK;
-- An index that has lost a stream's last event; the planner, too, would rather trust it.
BEGIN;
UPDATE pg_index SET indisready = false WHERE indexrelid = 'es_events_stream_id_version_key'::regclass;
INSERT INTO es_events
SELECT 6, 3, recorded_at, gen_random_uuid(), 1, stream_id, category, 'C', '{}', '{}' FROM es_events WHERE position = 5;
UPDATE pg_index SET indisready = true WHERE indexrelid = 'es_events_stream_id_version_key'::regclass;
SET LOCAL enable_seqscan = off;
SELECT version FROM es_read_stream('order-2');
SELECT problem, stream_id, version, position FROM found;
SELECT detail FROM found WHERE problem = 'stream end behind its events';
REINDEX TABLE es_events;
SELECT version FROM es_read_stream('order-2');
SELECT * FROM found;
ROLLBACK;
-- A category that changes within a stream.
BEGIN;
UPDATE es_events SET category = 'invoice' WHERE position = 3;
SELECT problem, stream_id, version, position FROM found;
ROLLBACK;
-- An event above the last position that was handed out.
BEGIN;
UPDATE es_events SET position = 1000 WHERE position = 5;
SELECT problem, stream_id, version, position FROM found;
ROLLBACK;
-- Several problems, with what was found and what to do.
BEGIN;
DELETE FROM es_events WHERE position = 2;
UPDATE es_events SET category = 'invoice' WHERE position = 5;
SELECT problem, stream_id, version, position FROM found ORDER BY position;
SELECT problem, detail <> '' AS has_detail, hint ~ '^[A-Z].*\.$' AS has_hint FROM found ORDER BY position;
ROLLBACK;
-- The log itself is as sound as before.
ALTER TABLE es_events ENABLE ALWAYS TRIGGER es_events_immutable;
SELECT * FROM es_verify();

-- A guard that is not on for everybody.
ALTER TABLE es_events ENABLE TRIGGER es_events_immutable;
ALTER TABLE es_log_head DISABLE TRIGGER ALL;
BEGIN;
DROP TRIGGER es_installations_immutable ON es_installations;
SELECT problem, detail, hint FROM es_verify() ORDER BY detail;
ROLLBACK;
ALTER TABLE es_events ENABLE ALWAYS TRIGGER es_events_immutable;
ALTER TABLE es_log_head ENABLE ALWAYS TRIGGER es_log_head_immutable;
SELECT * FROM es_verify();

-- A checkpoint that has come from another log, as by a restore; es_leap() mends it.
BEGIN;
SELECT es_create_subscription('mails');
UPDATE es_subscription_partitions SET checkpoint = 1000000000000000;
SELECT problem, position, detail FROM es_verify();
SELECT es_leap() > 1000000000000000 AS leapt;
SELECT count(*) FROM es_verify();
ROLLBACK;
