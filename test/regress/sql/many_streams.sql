-- 100,000 streams in one transaction, and a stream of 100,000 events: the shared lock table is not exhausted, whatever
-- max_locks_per_transaction is, and nothing is lost.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
SELECT last_version FROM es_append('account-1', 'Opened');

BEGIN;
-- Each append checks its own expectation.
SELECT count(*), min(last_version), max(last_version), max(last_position) - min(last_position) AS distance
FROM generate_series(2, 100000) AS n,
     es_append('account-' || n, 'Opened', to_jsonb(n), expected_version => es_no_stream());
-- The transaction holds a bounded number of locks.
SELECT count(*) < 1100 AS bounded FROM pg_locks WHERE pid = pg_backend_pid();
-- Appending, checking and locking go on in the same transaction, for old streams and new ones.
SELECT last_version FROM es_append('account-1', 'Renamed', expected_version => 1);
SELECT last_version FROM es_append('account-100000', 'Renamed', expected_version => 1);
SELECT es_lock_stream('account-50000'), es_lock_stream('account-0');
SAVEPOINT one;
SELECT es_append('account-70000', 'Opened', expected_version => es_no_stream());
ROLLBACK TO one;
-- Its own events are read by stream; the log shows them after COMMIT, and names the transaction meanwhile.
SELECT sum(es_stream_version('account-' || n)) FROM generate_series(1, 100000, 1000) AS n;
SELECT count(*) FROM es_read_after(max_count => NULL);
SELECT count(*), min(first_position) FROM es_blockers();
COMMIT;

SELECT count(*), count(DISTINCT stream_id) AS streams FROM es_read_after(max_count => NULL);
SELECT count(*), max(version) FROM es_streams;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid');
-- Rolled back, another 2,000 streams leave nothing but a gap.
BEGIN;
SELECT count(*) FROM generate_series(1, 2000) AS n, es_append('gone-' || n, 'Opened');
ROLLBACK;
SELECT count(*) FROM es_streams WHERE category = 'gone';
SELECT es_safe_position() = es_head_position() AS released;
-- Locking without appending ends at a limit: nothing would name whoever keeps all the others from appending. Streams
-- that are locked already stay so.
BEGIN;
SELECT count(es_lock_stream('lock-' || n)) FROM generate_series(1, 1000) AS n;
SELECT es_lock_stream('lock-7');
SELECT es_lock_stream('lock-1001');
\echo :SQLSTATE
ROLLBACK;
-- All streams are locked at once, by a lock on es_installations, only for more than 1,000: not for locks that are held
-- already, and not for those that a caught error has released.
CREATE VIEW locked_at_once AS
SELECT count(*) > 0 AS locked FROM pg_locks
WHERE pid = pg_backend_pid() AND relation = 'es_installations'::regclass AND mode IN ('ShareLock', 'ExclusiveLock');
BEGIN;
SELECT count(*) FROM generate_series(1, 2) AS round, generate_series(1, 600) AS n, es_append('twice-' || n, 'A');
SELECT count(*) FROM es_append_streams((
    SELECT jsonb_agg(jsonb_build_object('stream', 'twice-' || n)) FROM generate_series(1, 1000) AS n));
DO $$
BEGIN
    FOR n IN 1 .. 1100 LOOP
        BEGIN
            PERFORM es_append('caught-' || n, 'A', expected_version => 7);
        EXCEPTION WHEN SQLSTATE 'TM001' THEN NULL;
        END;
    END LOOP;
END
$$;
SELECT last_version FROM es_append('twice-1', 'A');
SELECT * FROM locked_at_once;
SELECT last_version FROM es_append('twice-1001', 'A');
SELECT * FROM locked_at_once;
ROLLBACK;
-- As many appends to one stream, in one transaction.
BEGIN;
SELECT count(*), max(last_version) FROM generate_series(1, 10000) AS n, es_append('hot-1', 'Tick', to_jsonb(n));
SELECT count(*) < 20 AS bounded FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
SELECT count(*), bool_and(data::bigint = version) AS in_order FROM es_read_stream('hot-1');
SELECT * FROM es_verify();
