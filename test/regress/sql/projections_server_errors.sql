-- Errors that are no event's fault put a projection off, and never park; errors that look like cancels are the
-- handler's; a handler's trouble does not keep other projections waiting.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\pset format unaligned
SET client_min_messages = error;
CREATE TABLE model (pos bigint PRIMARY KEY);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS 'INSERT INTO model VALUES (e.position)';
CREATE FUNCTION raises(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN RAISE 'it is %', e.event_type USING ERRCODE = e.event_type; END $$;
SELECT es_create_projection('last', 'apply');
SELECT es_create_projection('raises', 'raises', on_error => 'park', category => 'raise');
SELECT es_append('raise-' || type, type) IS NOT NULL AS appended FROM unnest('{57014,57P01}'::text[]) AS type;
CALL es_run_projection();
SELECT position, reason FROM es_parked();
SELECT es_append('raise-' || type, type) IS NOT NULL AS appended
FROM unnest('{53100,58030,25006,55P03}'::text[]) AS type;
-- The first of them is in the way until the pause is over, in order.
CALL es_run_projection();
SELECT failed_position, attempts, retry_at > clock_timestamp() AS is_put_off, error FROM es_projection_status
WHERE name = 'raises';
SELECT count(*) AS parked FROM es_parked();
SELECT count(*) AS projected FROM model;
SELECT es_drop_projection('raises');
-- A real cancel is nobody's fault either, and ends the call.
CREATE FUNCTION sleeps(e es_events) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(60)';
SELECT es_create_projection('sleeps', 'sleeps', on_error => 'park');
SET statement_timeout = '200ms';
CALL es_run_projection('sleeps');
RESET statement_timeout;
SELECT error IS NULL AND parked = 0 AS as_it_was FROM es_projection_status WHERE name = 'sleeps';
SELECT es_drop_projection('sleeps');
-- What the handler puts off to the end of the transaction is checked before, and of several events the one is found.
CREATE TABLE parent (id text PRIMARY KEY);
CREATE TABLE child (id text REFERENCES parent DEFERRABLE);
CREATE FUNCTION defers(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO child VALUES (e.event_type);
END $$;
INSERT INTO parent VALUES ('Known');
SELECT count(es_append('child-' || n, CASE n WHEN 6 THEN 'Unknown' ELSE 'Known' END)) FROM generate_series(1, 9) AS n;
SELECT es_create_projection('defers', 'defers', on_error => 'park', category => 'child');
CALL es_run_projection('defers');
SELECT stream_id, reason FROM es_parked();
SELECT count(*) FROM child;
-- A handler cannot change its own projection in the midst of a batch.
CREATE FUNCTION drops(e es_events) RETURNS void LANGUAGE sql AS $$ SELECT es_drop_projection('drops') $$;
CREATE FUNCTION resets(e es_events) RETURNS void LANGUAGE sql AS $$ SELECT es_reset_subscription('resets', 0) $$;
SELECT es_create_projection('drops', 'drops'), es_create_projection('resets', 'resets');
CALL es_run_projection();
SELECT name, error FROM es_projection_status WHERE name IN ('drops', 'resets') ORDER BY 1;
-- Nor can projections be made within an append.
SELECT es_create_projection('makes', 'drops', mode => 'sync', start => 'end', category => 'make');
SELECT es_append('make-1', 'Made');
SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
