-- Events that are tried again, after longer and longer pauses: for ever, or so often before they fail
-- or are set aside.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\set VERBOSITY terse
\i :tests/include/failing_handler.sql
CREATE VIEW traced AS
SELECT string_agg(concat(position, '+' || nullif(events, 1) - 1), ' ' ORDER BY n) AS positions FROM trace;
CREATE VIEW status AS
SELECT name, checkpoint, failed_position AS failed, attempts, error, failed_at IS NOT NULL AS failed_at,
       round(extract(epoch FROM retry_at - failed_at), 3) AS pause, parked
FROM es_projection_status ORDER BY name;
CREATE VIEW parked AS SELECT stream_id, position, reason, times, held, redelivering FROM es_parked();
-- Positions 1 to 9: a/1 b/1 c/1 a/2 b/2 c/2 a/3 b/3 c/3
SELECT count(*) FROM generate_series(0, 8) AS n, es_append(substr('abc', n % 3 + 1, 1), 'T');

-- Tried again, each time after twice the pause, up to 5 minutes; meanwhile it has not failed.
INSERT INTO broken VALUES (1, 'SHOP1');
SELECT es_create_projection('again', 'apply', 'a', on_error => 'retry', retry_delay => '10 milliseconds'),
       es_create_projection('later', 'apply', 'a', on_error => 'retry', retry_delay => '4 minutes');
CALL es_run_projection();
SELECT * FROM status;
SELECT pg_sleep(0.02);
CALL es_run_projection();
SELECT * FROM status;
SELECT pg_sleep(0.03);
CALL es_run_projection();
SELECT * FROM status;
SELECT es_wait_for('again', 1, '0');
\echo :SQLSTATE
DELETE FROM broken;
TRUNCATE trace;
CALL es_run_projection('again', duration => '200 milliseconds');
SELECT * FROM traced;
SELECT * FROM status;
SELECT count(es_drop_projection(name)) FROM es_projections;
SELECT es_create_projection('late', 'apply', 'a', on_error => 'retry', retry_delay => '1 hour');
INSERT INTO broken VALUES (1, 'SHOP1');
CALL es_run_projection();
SELECT name, pause FROM status;
SELECT es_drop_projection('late');
-- So often only, and then it fails, or sets the event aside.
SELECT es_create_projection('fails', 'apply', 'a', on_error => 'fail', retries => 2, retry_delay => '1 millisecond'),
       es_create_projection('parks', 'apply', 'a', on_error => 'park', retries => 2, retry_delay => '1 millisecond');
CALL es_run_projection('fails', duration => '1 minute');
\echo :SQLSTATE
CALL es_run_projection('parks');
SELECT pg_sleep(0.01);
CALL es_run_projection('parks');
SELECT * FROM parked;
SELECT pg_sleep(0.01);
CALL es_run_projection('parks');
SELECT * FROM status;
SELECT * FROM parked;
SELECT count(es_drop_projection(name)) FROM es_projections;
DELETE FROM broken;

-- Conflicts with other transactions are tried again at once, and are no failures.
CREATE SEQUENCE calls;
CREATE FUNCTION conflict(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trace (position) VALUES (e.position);
    CASE nextval('calls')
        WHEN 1, 4 THEN RAISE serialization_failure;
        WHEN 2 THEN RAISE deadlock_detected;
        ELSE NULL;
    END CASE;
END
$$;
SELECT es_create_projection('conflicts', 'conflict', 'b');
TRUNCATE trace;
CALL es_run_projection('conflicts');
SELECT * FROM traced;
SELECT * FROM status;
SELECT es_drop_projection('conflicts');

-- Of a long error as many whole characters are kept as have 2,000 bytes; a deferred constraint is no way around.
CREATE TABLE once (position bigint CONSTRAINT only_once UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO once VALUES (4);
CREATE FUNCTION do_once(e es_events) RETURNS void LANGUAGE sql AS $$ INSERT INTO once VALUES (e.position) $$;
CREATE FUNCTION complain(e es_events) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE '%', '.' || repeat('ü', 1500); END $$;
SELECT es_create_projection('long', 'complain'), es_create_projection('once', 'do_once', 'a');
CALL es_run_projection();
SELECT octet_length(error) <= 2000 AS short, octet_length(error) > 1000 AS not_too_short
FROM es_projection_status WHERE name = 'long';
SELECT checkpoint, failed, error FROM status WHERE name = 'once';
SELECT * FROM once;
DELETE FROM once WHERE position = 4;
CALL es_run_projection('once');
SELECT * FROM once;
SELECT count(es_drop_projection(name)) FROM es_projections;

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
