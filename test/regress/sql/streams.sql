-- Streams: the es_streams view, es_lock_stream(), and categories: derived from the stream id, given, and kept.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;

-- The view has a row for each stream that has events.
SELECT * FROM es_streams;
SELECT last_version FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}]');
SELECT last_version FROM es_append('order-2', 'A');
SELECT last_version FROM es_append('order-1', 'C');
SELECT stream_id, category, version, first_position, last_position, updated_at >= created_at AS in_time
FROM es_streams ORDER BY stream_id;
SELECT created_at = (SELECT recorded_at FROM es_read_stream('order-1', 1, 1)) AS created,
       updated_at = (SELECT recorded_at FROM es_read_stream('order-1', 3, 1)) AS updated
FROM es_streams WHERE stream_id = 'order-1';
-- It shows the transaction's own streams, and forgets those that are rolled back.
BEGIN;
SELECT last_version FROM es_append('order-3', 'A');
SELECT last_version FROM es_append('order-2', 'B');
SELECT stream_id, version FROM es_streams ORDER BY stream_id;
ROLLBACK;
SELECT stream_id, version FROM es_streams ORDER BY stream_id;

-- es_lock_stream() returns the version, 0 for a stream without events, and can be repeated.
BEGIN;
SELECT es_lock_stream('order-1'), es_lock_stream('order-1'), es_lock_stream('order-9');
-- Whoever holds the lock appends at the version it got, and sees its own appends.
SELECT last_version FROM es_append('order-1', 'D', expected_version => 3);
SELECT last_version FROM es_append('order-9', 'A', expected_version => es_no_stream());
SELECT es_lock_stream('order-1'), es_lock_stream('order-9');
SAVEPOINT one;
SELECT last_version FROM es_append('order-1', 'E');
ROLLBACK TO one;
SELECT es_lock_stream('order-1');
COMMIT;
-- Locking a stream does not create it.
SELECT es_lock_stream('order-10');
SELECT count(*) FROM es_streams WHERE stream_id = 'order-10';
-- The lock is gone with the transaction.
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('virtualxid', 'relation');

-- The category is the text before the first -, or the whole id.
SELECT last_version FROM es_append('invoice-2024-7', 'A');
SELECT last_version FROM es_append('singleton', 'A');
SELECT last_version FROM es_append('trailing-', 'A');
SELECT last_version FROM es_append('double--1', 'A');
SELECT last_version FROM es_append('with blank-1', 'A');
-- It can be given with the first event, also where none can be derived.
SELECT last_version FROM es_append('cart-1', 'A', category => 'shopping');
SELECT last_version FROM es_append_events('cart-2', '[{"type": "A"}, {"type": "B"}]', category => 'shopping');
SELECT last_version FROM es_append('-7', 'A', category => 'negative');
SELECT stream_id, category FROM es_streams WHERE stream_id !~ 'order' ORDER BY stream_id;
-- From then on it is the stream's, whether it is left out or repeated, whatever is expected.
SELECT last_version FROM es_append('cart-1', 'B');
SELECT last_version FROM es_append('cart-1', 'C', expected_version => 2);
SELECT last_version FROM es_append('cart-1', 'D', expected_version => es_stream_exists());
SELECT last_version FROM es_append('cart-1', 'E', category => 'shopping');
SELECT last_version FROM es_append_events('cart-1', '[{"type": "F"}, {"type": "G"}]', 5);
SELECT last_version FROM es_append('-7', 'B', expected_version => 1);
SELECT DISTINCT stream_id, category FROM es_events WHERE stream_id IN ('cart-1', '-7') ORDER BY 1;
-- Another one is refused.
SELECT es_append('cart-1', 'H', category => 'cart');
\echo :SQLSTATE
SELECT es_append_events('order-1', '[{"type": "E"}]', 4, 'shopping');
\echo :SQLSTATE
-- A stale expectation is told first.
SELECT es_append('cart-1', 'H', category => 'cart', expected_version => 3);
\echo :SQLSTATE
-- Two streams whose ids look alike are two streams.
SELECT last_version FROM es_append('Order-1', 'A');
SELECT last_version FROM es_append('order-1 (copy)', 'A');
SELECT stream_id, category, version FROM es_streams WHERE lower(stream_id) LIKE 'order-1%' ORDER BY stream_id;
-- Reading a category finds the given as well as the derived one, and nothing whose id only looks like it.
SELECT stream_id, version FROM es_read_after(category => 'shopping');
SELECT count(*) FROM es_read_after(category => 'cart');
SELECT * FROM es_verify();

-- The locks show as advisory locks of their own kind, apart from those that applications take.
BEGIN;
SELECT es_lock_stream('lock-1');
SELECT objsubid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;
