-- Several appends in one transaction: savepoints, exception blocks, cursors, several calls in a statement, and
-- two-phase commit. Needs max_prepared_transactions > 0.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE VIEW log AS SELECT position, stream_id, version, event_type FROM es_read_after(max_count => NULL);
CREATE VIEW line AS SELECT es_safe_position() AS safe, es_head_position() AS head,
                           (SELECT array_agg(first_position) FROM es_blockers()) AS held_from;

-- Appends of one transaction build on each other, and appear together at COMMIT.
BEGIN;
SELECT last_version FROM es_append('order-1', 'Placed', expected_version => es_no_stream());
SELECT last_version FROM es_append('stock-1', 'Reserved', expected_version => es_no_stream());
SELECT last_version FROM es_append('order-1', 'Paid', expected_version => 1);
SELECT * FROM log;
SELECT * FROM line;
COMMIT;
SELECT * FROM log;
SELECT * FROM line;
-- ROLLBACK leaves nothing but a gap.
BEGIN;
SELECT last_version FROM es_append('order-1', 'Lost');
ROLLBACK;
SELECT es_stream_version('order-1');
SELECT * FROM line;

-- A savepoint that is rolled back after an append takes its event along; the next append holds the line as well.
BEGIN;
SAVEPOINT one;
SELECT last_version FROM es_append('order-1', 'Undone');
ROLLBACK TO one;
SELECT last_version FROM es_append('order-1', 'Shipped', expected_version => 2);
SELECT head > safe AS held FROM line;
COMMIT;
SELECT * FROM log;
-- A savepoint that is released keeps its events; the outer ROLLBACK undoes all.
BEGIN;
SELECT last_version FROM es_append('order-2', 'Placed');
SAVEPOINT one;
SELECT last_version FROM es_append('order-2', 'Paid');
SAVEPOINT two;
SELECT last_version FROM es_append('order-2', 'Undone');
ROLLBACK TO two;
RELEASE one;
SELECT version, event_type FROM es_read_stream('order-2');
ROLLBACK;
SELECT es_stream_version('order-2'), es_safe_position() = es_head_position() AS released;
-- A conflict inside a savepoint can be mended.
BEGIN;
SELECT last_version FROM es_append('order-2', 'Placed');
SAVEPOINT one;
SELECT last_version FROM es_append('order-2', 'Paid', expected_version => es_no_stream());
ROLLBACK TO one;
SELECT last_version FROM es_append('order-2', 'Paid', expected_version => 1);
COMMIT;
SELECT version, event_type FROM es_read_stream('order-2');

-- Of 1,000 appends in exception blocks every third is undone, and the stream has no hole.
CREATE FUNCTION append_some(count integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    kept integer := 0;
BEGIN
    FOR n IN 1..count LOOP
        BEGIN
            PERFORM es_append('loop', 'T', to_jsonb(n), expected_version => CASE kept WHEN 0 THEN -1 ELSE kept END);
            IF n % 3 = 0 THEN
                RAISE EXCEPTION 'undo';
            END IF;
            kept := kept + 1;
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
    END LOOP;
    RETURN kept;
END
$$;
SELECT append_some(1000);
SELECT count(*), max(version), bool_and(data::integer % 3 > 0) AS none_undone FROM es_read_stream('loop');
SELECT es_safe_position() = es_head_position() AS released;

-- Calls in one statement each append: in a select list, in a subquery, per row, in a CTE that is read once.
SELECT (a).last_version, (b).last_version
FROM (SELECT es_append('calls', 'A') AS a, es_append('calls', 'B') AS b OFFSET 0) AS _;
SELECT (SELECT last_version FROM es_append('calls', 'C')), (SELECT last_version FROM es_append('calls', 'D'));
SELECT n, last_version FROM generate_series(1, 3) AS n, es_append('calls', 'Row', to_jsonb(n));
WITH append AS (SELECT es_append('calls', 'Cte') AS result FROM generate_series(1, 2))
SELECT max((result).last_version) FROM append;
SELECT version, event_type FROM es_read_stream('calls');
-- A statement that fails undoes the appends it has made.
SELECT last_version, 1 / (3 - n) FROM generate_series(1, 3) AS n, es_append('calls', 'Undone');
SELECT es_stream_version('calls');

-- A cursor goes on from its own snapshot: what is appended meanwhile is for the next one.
BEGIN;
DECLARE stream_cursor CURSOR FOR SELECT version, event_type FROM es_read_stream('calls', 7);
DECLARE log_cursor SCROLL CURSOR WITH HOLD FOR SELECT version, event_type FROM es_read_after(0, NULL, 'calls');
FETCH 1 FROM stream_cursor;
SELECT last_version FROM es_append('calls', 'Later');
FETCH ALL FROM stream_cursor;
DECLARE next_cursor CURSOR WITH HOLD FOR SELECT version, event_type FROM es_read_stream('calls', 9);
COMMIT;
FETCH ALL FROM next_cursor;
FETCH LAST FROM log_cursor;
FETCH BACKWARD 2 FROM log_cursor;
CLOSE ALL;

-- PREPARE TRANSACTION after an append holds the line for as long as it takes; unrelated appends go on.
SELECT es_head_position() AS head \gset
BEGIN;
SELECT last_version FROM es_append('order-3', 'Placed');
PREPARE TRANSACTION 'regress_tidemark';
SELECT last_version FROM es_append('order-4', 'Placed');
SELECT safe - :head AS safe, head - :head AS head, held_from[1] - :head AS held_from, cardinality(held_from) FROM line;
SELECT pid, gid, first_position - :head AS first_position, age > '0' AS has_age, since <= now() AS has_since,
       usename = current_user AS own, state, query FROM es_blockers();
SELECT stream_id FROM es_read_after(:head);
SELECT es_stream_version('order-3');
-- COMMIT PREPARED releases it: both events come, in order.
COMMIT PREPARED 'regress_tidemark';
SELECT stream_id FROM es_read_after(:head);
SELECT held_from, safe = head AS released FROM line;
-- ROLLBACK PREPARED releases it too: only the other event comes.
SELECT es_head_position() AS head \gset
BEGIN;
SELECT last_version FROM es_append('order-5', 'Placed');
PREPARE TRANSACTION 'regress_tidemark';
SELECT last_version FROM es_append('order-6', 'Placed');
SELECT count(*) FROM es_read_after(:head);
ROLLBACK PREPARED 'regress_tidemark';
SELECT stream_id FROM es_read_after(:head);
-- A prepared transaction that has appended nothing holds nothing back.
BEGIN;
CREATE TABLE unrelated ();
PREPARE TRANSACTION 'regress_tidemark';
SELECT last_version FROM es_append('order-7', 'Placed');
SELECT stream_id FROM es_read_after(:head);
ROLLBACK PREPARED 'regress_tidemark';
SELECT * FROM es_verify();

DROP VIEW log, line;
DROP FUNCTION append_some;
