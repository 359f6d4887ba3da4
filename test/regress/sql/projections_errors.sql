-- Events that a handler cannot do: its projection fails there, sets them aside, or tries again, as it was told to; what
-- was done before them stays, the error is kept, and nothing is lost or done twice when the cause is mended.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\set VERBOSITY terse
\i :tests/include/failing_handler.sql
CREATE FUNCTION apply_batch(events es_events[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trace (position, events) VALUES (events[1].position, cardinality(events));
    IF EXISTS (SELECT FROM broken, unnest(events) AS e WHERE broken.position = e.position) THEN
        RAISE 'cannot do this batch';
    END IF;
END
$$;
CREATE VIEW traced AS
SELECT string_agg(concat(position, '+' || nullif(events, 1) - 1), ' ' ORDER BY n) AS positions FROM trace;
CREATE VIEW status AS
SELECT name, checkpoint, failed_position AS failed, attempts, error, failed_at IS NOT NULL AS failed_at,
       retry_at IS NOT NULL AS retries, parked
FROM es_projection_status ORDER BY name;
CREATE VIEW parked AS SELECT stream_id, position, reason, times, held, redelivering FROM es_parked();
-- Positions 1 to 9: a/1 b/1 c/1 a/2 b/2 c/2 a/3 b/3 c/3
SELECT count(*) FROM generate_series(0, 8) AS n, es_append(substr('abc', n % 3 + 1, 1), 'T');

-- It fails at the event, in batches of any size, and with a handler of either kind; what comes before it is done.
INSERT INTO broken VALUES (4, 'SHOP1');
SELECT es_create_projection('one', 'apply'), es_create_projection('many', 'apply_batch');
CALL es_run_projection('one');
\echo :SQLSTATE
SELECT * FROM traced;
SELECT * FROM status WHERE name = 'one';
SELECT failed_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS just_now
FROM es_projection_status WHERE name = 'one';
TRUNCATE trace;
CALL es_run_projection('many', 100);
\echo :SQLSTATE
SELECT sum(events) AS events, max(position + events - 1) AS last FROM trace;
SELECT * FROM status WHERE name = 'many';
-- Who waits for it is told at once; for what it has done nobody waits.
SELECT es_wait_for('one', 4, '1 minute');
\echo :SQLSTATE
SELECT es_wait_for('one', 3, '0');
-- It is left alone unless it is run by name; then it is tried again.
CALL es_run_projection();
CALL es_run_projection(duration => '20 milliseconds');
SELECT attempts FROM status;
CALL es_run_projection('one', 1);
\echo :SQLSTATE
SELECT * FROM status;
\set VERBOSITY default
CALL es_run_projection('one');
\set VERBOSITY terse
-- Mended, it goes on; nothing has been done twice.
DELETE FROM broken;
CALL es_run_projection('many');
TRUNCATE trace;
CALL es_run_projection('one');
SELECT * FROM traced;
SELECT * FROM status;
SELECT es_wait_for('one', 9, '0'), es_wait_for('many', 9, '0');
SELECT es_drop_projection('one'), es_drop_projection('many');

-- Set aside: its stream is held, others go on; mended, it is done again with what was held, in order.
INSERT INTO broken VALUES (2, 'SHOP1'), (4, '22012');
SELECT es_create_projection('one', 'apply', on_error => 'park');
TRUNCATE trace;
CALL es_run_projection('one');
SELECT * FROM traced;
SELECT * FROM parked;
SELECT * FROM status;
SELECT es_wait_for('one', 9, '0');
DELETE FROM broken WHERE position = 4;
SELECT es_unpark('one', 2), es_unpark('one', 4), es_unpark('one', 4);
TRUNCATE trace;
CALL es_run_projection();
SELECT * FROM traced;
SELECT * FROM parked;
SELECT es_unpark('one', 2, redeliver => false);
CALL es_run_projection();
SELECT * FROM traced;
SELECT count(*) FROM parked;
SELECT es_drop_projection('one');
SELECT es_create_projection('many', 'apply_batch', on_error => 'park');
TRUNCATE trace;
CALL es_run_projection('many');
SELECT sum(events) AS events FROM trace;
SELECT * FROM parked;
DELETE FROM broken;
SELECT es_unpark('many', 2);
CALL es_run_projection('many');
SELECT sum(events) AS events FROM trace;
SELECT es_drop_projection('many'), (SELECT count(*) FROM es_parked()) AS parked;

-- A handler that is gone is an error like any other, until there is one again.
CREATE FUNCTION gone(e es_events) RETURNS void LANGUAGE sql AS $$ INSERT INTO trace (position) VALUES (e.position) $$;
SELECT es_create_projection('gone', 'gone', 'c');
CALL es_run_projection('gone', 1);
DROP FUNCTION gone;
SELECT first_position FROM es_append('c', 'T');
CALL es_run_projection('gone');
\echo :SQLSTATE
SELECT checkpoint, failed, error ~ 'gone' AS named FROM status;
CREATE FUNCTION gone(e es_events) RETURNS void LANGUAGE sql AS $$ INSERT INTO trace (position) VALUES (e.position) $$;
TRUNCATE trace;
CALL es_run_projection('gone');
SELECT * FROM traced;
SELECT * FROM status;
SELECT es_drop_projection('gone');
SELECT es_create_projection('gone', 'gone', 'c', mode => 'sync', start => 'end');
DROP FUNCTION gone;
\set VERBOSITY default
SELECT last_version FROM es_append('c', 'T');
\set VERBOSITY terse
SELECT last_version FROM es_append('a', 'T');
SELECT es_drop_projection('gone'), es_stream_version('c');

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
