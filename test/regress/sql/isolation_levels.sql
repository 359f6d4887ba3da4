-- Every isolation level, as one session sees it: appends and reads work in each of them, and a read-only transaction
-- refuses to append. Concurrent sessions are the business of the isolation tests.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
SELECT last_version FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}]');

-- REPEATABLE READ: own appends are read by stream, not by es_read_after(), which reads what is committed.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT version FROM es_read_after();
SELECT last_version FROM es_append('order-1', 'C', expected_version => 2);
SELECT last_version FROM es_append('order-1', 'D', expected_version => es_stream_exists());
SELECT array_agg(version) FROM es_read_stream('order-1');
SELECT es_stream_version('order-1'), es_lock_stream('order-1');
SELECT version FROM es_read_after();
SELECT es_head_position(), es_safe_position();
-- A conflict is TM001 there as well, and a savepoint mends it.
SAVEPOINT one;
SELECT es_append('order-1', 'E', expected_version => 3);
\echo :SQLSTATE
ROLLBACK TO one;
SELECT last_version FROM es_append('order-1', 'E', expected_version => 4);
COMMIT;
SELECT array_agg(version) FROM es_read_after();

-- SERIALIZABLE likewise.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT array_agg(version) FROM es_read_after();
SELECT last_version FROM es_append('order-1', 'F', expected_version => 5);
SELECT last_version FROM es_append('order-2', 'A', expected_version => es_no_stream());
SELECT array_agg(version) FROM es_read_stream('order-1', 5);
SELECT array_agg(version) FROM es_read_after();
COMMIT;
SELECT stream_id, version FROM es_read_after(4);
-- READ UNCOMMITTED is READ COMMITTED.
BEGIN ISOLATION LEVEL READ UNCOMMITTED;
SELECT last_version FROM es_append('order-2', 'B', expected_version => 1);
SELECT count(*) FROM es_read_after(category => 'order', stream_prefix => 'order-2');
COMMIT;
-- An idempotent retry finds its first attempt at every level.
SELECT last_version, is_duplicate FROM es_append('order-3', 'A', event_id => '00000000-0000-0000-0000-00000000000a');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT last_version, is_duplicate FROM es_append('order-3', 'A', event_id => '00000000-0000-0000-0000-00000000000a');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT last_version, is_duplicate FROM es_append('order-3', 'A', event_id => '00000000-0000-0000-0000-00000000000a');
COMMIT;

-- A read-only transaction refuses what writes.
BEGIN READ ONLY;
SELECT es_append('order-1', 'G');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT es_append_events('order-1', '[{"type": "G"}]');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT es_leap();
\echo :SQLSTATE
ROLLBACK;
SET default_transaction_read_only = on;
SELECT es_append('order-1', 'G');
\echo :SQLSTATE
RESET default_transaction_read_only;
-- A transaction that turns read-only after an append keeps it, and appends no more.
BEGIN;
SELECT last_version FROM es_append('order-1', 'G');
SET TRANSACTION READ ONLY;
SAVEPOINT one;
SELECT es_append('order-1', 'H');
\echo :SQLSTATE
ROLLBACK TO one;
COMMIT;
SELECT es_stream_version('order-1');
-- It allows what reads, at every level.
BEGIN READ ONLY;
SELECT count(*) FROM es_read_after();
SELECT count(*) FROM es_read_stream('order-1');
SELECT es_stream_version('order-1'), es_safe_position() = es_head_position() AS same;
SELECT count(*) FROM es_blockers();
SELECT count(*) FROM es_verify();
SELECT count(*) FROM es_streams;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM es_read_after();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT count(*) FROM es_read_after();
COMMIT;
SELECT * FROM es_verify();
