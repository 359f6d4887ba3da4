-- Positions and the line, as one session sees them: the head, the safe position, who holds it back, gaps, and leaps.
-- After a leap positions depend on the clock, so that only differences are shown.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;

-- A new log has handed out nothing.
SELECT es_head_position(), es_safe_position();
SELECT * FROM es_blockers();
-- The head and the safe position are at the last event when nothing is in progress.
SELECT first_position, last_position FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}]');
SELECT es_head_position(), es_safe_position();
-- A transaction that reads, or locks a stream, holds nothing back.
BEGIN;
SELECT es_stream_version('order-1'), es_lock_stream('order-1'), (SELECT count(*) FROM es_read_stream('order-1'));
SELECT last_version FROM es_append_events('order-1', '[]', 2);
SELECT es_head_position(), es_safe_position(), (SELECT count(*) FROM es_blockers()) AS blockers;
COMMIT;
-- One that has appended holds the line from its first event on, for itself too, and is named.
BEGIN;
SELECT first_position FROM es_append('order-1', 'C');
SELECT first_position FROM es_append('order-2', 'A');
SELECT es_head_position(), es_safe_position();
SELECT pid = pg_backend_pid() AS own_pid, gid, xid = pg_current_xact_id() AS own_xid, first_position,
       since = now() AS since_begin, age BETWEEN '0' AND '1 hour' AS has_age, usename = current_user AS own_user,
       application_name = current_setting('application_name') AS own_application, state,
       query LIKE 'SELECT pid = %' AS own_query
FROM es_blockers();
SELECT max(position) FROM es_read_after();
COMMIT;
SELECT es_head_position(), es_safe_position(), (SELECT count(*) FROM es_blockers()) AS blockers;
-- A rollback leaves a gap, which is passed at once.
BEGIN;
SELECT first_position FROM es_append('order-1', 'D');
ROLLBACK;
SELECT es_head_position(), es_safe_position(), (SELECT count(*) FROM es_blockers()) AS blockers;
SELECT first_position FROM es_append('order-1', 'E');
-- A conflict and bad input leave none.
SELECT es_append('order-1', 'F', expected_version => 3);
SELECT es_append('order-1', '');
SELECT first_position FROM es_append('order-1', 'F');
SELECT array_agg(position) FROM es_read_after();
-- A transaction that rolls back to a savepoint and appends again holds the line for the second event.
BEGIN;
SAVEPOINT one;
SELECT first_position FROM es_append('order-3', 'A');
ROLLBACK TO one;
SELECT first_position FROM es_append('order-3', 'A');
SELECT es_head_position(), es_safe_position() < 9 AS below_own;
COMMIT;
SELECT es_head_position(), es_safe_position(), array_agg(position) FROM es_read_after(7);

-- A leap moves the head far up: by 2^20 at least, and beyond a count that rises by 2^20 a second since 2020.
SELECT floor(extract(epoch FROM clock_timestamp() - '2020-01-01 00:00:00+00')) AS seconds \gset
SELECT es_leap() AS leap \gset
SELECT es_head_position() = :leap AS head, es_safe_position() = :leap AS safe, :leap >= 9 + (1 << 20) AS far,
       :leap >= :seconds::bigint * (1 << 20) AS by_clock, :leap < 1::bigint << 53 AS fits_a_double;
SELECT es_leap() - :leap >= 1 << 20 AS again;
-- Reading goes on across it, and versions know nothing of it.
SELECT es_head_position() AS head \gset
SELECT first_version, first_position - :head AS beyond FROM es_append('order-1', 'G');
SELECT stream_id, version FROM es_read_after(8);
SELECT version, event_type FROM es_read_stream('order-1', 4);
-- A leap in a transaction that has appended does no harm, be it committed or not.
BEGIN;
SELECT first_version FROM es_append('order-1', 'H');
SELECT es_leap() > :leap AS leapt;
SELECT first_version FROM es_append('order-1', 'I');
SELECT max(version) FROM es_read_after();
COMMIT;
BEGIN;
SELECT first_version FROM es_append('order-1', 'J');
SELECT es_leap() > :leap AS leapt;
ROLLBACK;
SELECT first_version FROM es_append('order-1', 'J');
SELECT es_safe_position() = es_head_position() AS released, string_agg(event_type, ' ' ORDER BY position)
FROM es_read_after(stream_prefix => 'order-1');
SELECT * FROM es_verify();

-- Positions end at 2^53 - 1: beyond it nothing is restored, appended or leapt to.
SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
INSERT INTO es_events VALUES (9007199254740992, 1, now(), gen_random_uuid(), 1, 'far-1', 'far', 'T', '{}', '{}');
\echo :SQLSTATE
INSERT INTO es_events VALUES (9007199254740991, 1, now(), gen_random_uuid(), 1, 'far-1', 'far', 'T', '{}', '{}');
SELECT position FROM es_read_after();
SELECT es_append('far-1', 'T');
\echo :SQLSTATE
SELECT es_leap();
\echo :SQLSTATE
SELECT * FROM es_verify();
