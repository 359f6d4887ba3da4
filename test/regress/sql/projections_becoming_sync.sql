-- An async projection that has come along becomes sync where it stands, by being created again as sync.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\pset format unaligned
CREATE TABLE model (pos bigint PRIMARY KEY);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.event_type = 'Bad' THEN RAISE 'no'; END IF;
    INSERT INTO model VALUES (e.position);
END $$;
SELECT count(es_append('a-' || n, 'Good')) FROM generate_series(1, 3) AS n;
SELECT es_create_projection('model', 'apply', category => 'a', on_error => 'park');
CALL es_run_projection('model');
SELECT es_append('a-1', 'Good') IS NOT NULL AS appended;
-- It must be the same otherwise.
SELECT es_create_projection('model', 'apply', category => 'b', mode => 'sync');
SELECT es_create_projection('model', 'apply', category => 'a', mode => 'sync', tables => '{model}');
SELECT es_create_projection('model', 'apply', category => 'a', mode => 'sync');
SELECT es_append('a-1', 'Good') IS NOT NULL AS appended;
SELECT array_agg(pos ORDER BY pos) = (SELECT array_agg(position ORDER BY position) FROM es_events) AS complete
FROM model;
SELECT name, mode, checkpoint, backlog FROM es_projection_status;
SELECT es_create_projection('model', 'apply', category => 'a', mode => 'sync') AS again;
SELECT es_create_projection('model', 'apply', category => 'a');
CALL es_run_projection('model');
SELECT es_reset_subscription('model', 0);
SELECT es_wait_for('model', 5);
SELECT es_drop_projection('model');
-- What is parked is not projected, and would never be.
SELECT es_append('a-2', 'Bad') IS NOT NULL AS appended;
TRUNCATE model;
SELECT es_create_projection('model', 'apply', category => 'a', on_error => 'park');
SET client_min_messages = error;
CALL es_run_projection('model');
SELECT es_create_projection('model', 'apply', category => 'a', mode => 'sync');
SELECT es_unpark('model', 6, redeliver => false);
SELECT es_create_projection('model', 'apply', category => 'a', mode => 'sync');
-- One that has failed is not taken over while it fails.
SELECT es_drop_projection('model');
SELECT es_create_projection('model', 'apply', category => 'a', start => '5');
CALL es_run_projection('model');
SELECT es_create_projection('model', 'apply', category => 'a', mode => 'sync');
SELECT mode, failed_position FROM es_projection_status;
-- It is made where the handler sees what others have done.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT es_create_projection('other', 'apply', category => 'b', mode => 'sync');
ROLLBACK;
SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
