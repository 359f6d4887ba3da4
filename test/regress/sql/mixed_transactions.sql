-- Appends of every kind in one transaction with all else that SQL can do: DDL, COPY, triggers, procedures, exception
-- blocks, cancelled statements, other databases. Needs max_prepared_transactions > 0.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE SCHEMA shop;
CREATE VIEW shop.log AS SELECT position, stream_id, version, event_type FROM es_read_after(max_count => NULL);
CREATE TABLE shop.stock (sku text PRIMARY KEY, left_over integer CHECK (left_over >= 0));

-- Tables that are made, filled and changed beside appends of all kinds, and savepoints.
BEGIN;
SELECT last_version FROM es_append('order-1', 'Placed', expected_version => es_no_stream());
CREATE TABLE shop.orders (id text PRIMARY KEY, total integer);
COPY shop.orders FROM STDIN;
order-1	30
order-2	5
\.
SELECT last_version FROM es_append_events('order-1', '[{"type": "Added"}, {"type": "Paid"}]', 1);
CREATE TEMP TABLE results ON COMMIT DROP AS SELECT * FROM es_append_streams(
    (SELECT jsonb_agg(jsonb_build_object('stream', id, 'events', jsonb_build_array(
                          jsonb_build_object('type', 'Counted', 'data', total))) ORDER BY id) FROM shop.orders));
ALTER TABLE shop.orders ADD COLUMN version bigint;
UPDATE shop.orders SET version = last_version FROM results WHERE stream_id = id;
SAVEPOINT one;
DROP TABLE shop.orders;
SELECT last_version FROM es_append_streams('[{"stream": "order-1", "expected": 4, "events": [{"type": "Undone"}]},
                                             {"stream": "order-3", "events": [{"type": "Undone"}]}]');
ROLLBACK TO one;
INSERT INTO shop.stock VALUES ('A', 2);
SELECT last_version FROM es_append('order-1', 'Sent', expected_version => 4);
TRUNCATE shop.stock;
INSERT INTO shop.stock SELECT 'A', last_version FROM es_append('stock-A', 'Counted');
COMMIT;
SELECT * FROM shop.log;
SELECT id, total, version, left_over FROM shop.orders, shop.stock ORDER BY id;
-- All of it goes with an error of a table's, or at ROLLBACK.
BEGIN;
SELECT last_version FROM es_append_streams('[{"stream": "order-2", "expected": 1, "events": [{"type": "Paid"}]},
                                             {"stream": "stock-A", "expected": 1, "events": [{"type": "Taken"}]}]');
UPDATE shop.stock SET left_over = left_over - 2;
COMMIT;
BEGIN;
SELECT count(*) FROM es_append_streams('[{"stream": "order-2", "events": [{"type": "Paid"}]}, {"stream": "order-1"}]');
CREATE INDEX ON shop.orders (total);
DELETE FROM shop.orders;
ROLLBACK;
SELECT es_stream_version('order-2'), es_stream_version('stock-A'), (SELECT count(*) FROM shop.orders) AS orders,
       es_safe_position() = es_head_position() AS released;

-- Savepoints inside savepoints: what is left is what was released all the way.
BEGIN;
SELECT last_version FROM es_append('deep-1', 'Kept 1', expected_version => es_no_stream());
SAVEPOINT a;
SELECT last_version FROM es_append_streams('[{"stream": "deep-1", "expected": 1, "events": [{"type": "Kept 2"}]},
                                             {"stream": "deep-2", "expected": -1, "events": [{"type": "Kept 1"}]}]');
SAVEPOINT b;
SELECT last_version FROM es_append_events('deep-2', '[{"type": "Undone"}, {"type": "Undone"}]', 1);
SAVEPOINT c;
SELECT last_version FROM es_append_streams('[{"stream": "deep-1", "expected": 2}, {"stream": "deep-2", "expected": 3},
                                             {"stream": "deep-3", "events": [{"type": "Undone"}]}]');
RELEASE c;
SELECT stream_id, version, event_type FROM es_read_streams('{deep-3,deep-2}');
ROLLBACK TO b;
SELECT last_version FROM es_append_streams('[{"stream": "deep-2", "expected": 1, "events": [{"type": "Kept 2"}]},
                                             {"stream": "deep-3", "expected": "no stream"}]');
RELEASE a;
SAVEPOINT d;
SELECT last_version FROM es_append('deep-2', 'Undone', expected_version => 2);
ROLLBACK TO d;
SELECT last_version FROM es_append('deep-1', 'Kept 3', expected_version => 2);
COMMIT;
SELECT stream_id, version, event_type FROM es_read_streams('{deep-1,deep-2,deep-3}');

-- Errors that a block catches leave nothing behind: the transaction goes on appending.
CREATE FUNCTION shop.veto() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.event_type
        WHEN 'Veto' THEN RAISE EXCEPTION 'not today' USING ERRCODE = 'SHOP1';
        WHEN 'Endless' THEN PERFORM pg_sleep(600);
        WHEN 'Cancel' THEN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(600);
        ELSE NULL;
    END CASE;
    RETURN NEW;
END
$$;
CREATE TRIGGER veto BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION shop.veto();
CREATE FUNCTION shop.go_on(calls text[], OUT outcomes text[]) LANGUAGE plpgsql AS $$
DECLARE
    call text;
BEGIN
    FOREACH call IN ARRAY calls LOOP
        BEGIN
            PERFORM es_append_streams('[{"stream": "block-1", "events": [{"type": "Undone"}]}]');
            EXECUTE 'SELECT ' || call;
            RAISE EXCEPTION 'accepted';
        EXCEPTION WHEN OTHERS OR query_canceled THEN
            outcomes := outcomes || SQLSTATE::text;
        END;
        PERFORM es_append('block-1', 'Caught', expected_version => CASE WHEN cardinality(outcomes) > 1
                                                                        THEN cardinality(outcomes) - 1 ELSE -1 END);
    END LOOP;
END
$$;
SELECT last_version FROM es_append('used-1', 'Used', event_id => '00000000-0000-0000-0000-00000000000a');
BEGIN;
SELECT shop.go_on(ARRAY[
    $$es_append('order-1', 'T', expected_version => 1)$$,
    $$es_append_events('block-2', '[{"type": "T", "id": "00000000-0000-0000-0000-00000000000a"}]')$$,
    $$es_append_streams('[{"stream": "block-2", "events": [{"type": "T"}]}, {"stream": "order-1", "expected": 1}]')$$,
    $$es_append_streams('[{"stream": "block-2", "events": [{"type": "T"}]}, {"stream": "block-2"}]')$$,
    $$es_append_streams('[{"stream": "block-2", "events": [{"type": "T"}, {"type": "Veto"}]}]')$$,
    $$es_append_streams('[{"stream": "block-2", "events": [{"type": "T"}]},
                          {"stream": "block-3", "events": [{"type": "Cancel"}]}]')$$,
    $$1 / 0$$]);
-- The last of them is the last word, in the transaction and afterwards.
SELECT array_agg(version) FROM es_read_streams('{block-1,block-2,block-3}');
COMMIT;
SELECT stream_id, count(*), count(DISTINCT version), max(version) FROM shop.log WHERE stream_id ~ '^block' GROUP BY 1;
-- A statement that is cancelled in the middle of a large append, or takes too long, is gone; the transaction goes on.
\set VERBOSITY terse
BEGIN;
SELECT last_version FROM es_append('cancel-1', 'Kept');
SAVEPOINT one;
SELECT count(*) FROM es_append_streams((SELECT jsonb_agg(jsonb_build_object('stream', 'cancel-' || n, 'events',
    jsonb_build_array(jsonb_build_object('type', CASE n WHEN 1500 THEN 'Cancel' ELSE 'T' END))) ORDER BY n)
    FROM generate_series(1, 2000) AS n));
\echo :SQLSTATE
ROLLBACK TO one;
SELECT last_version FROM es_append_events('cancel-1', '[{"type": "Kept"}]', 1);
SET LOCAL statement_timeout = '300ms';
SELECT es_append_events('cancel-1', (SELECT jsonb_agg(jsonb_build_object('type', CASE n WHEN 900 THEN 'Endless'
                                                                                ELSE 'T' END))
                                     FROM generate_series(1, 1000) AS n));
\echo :SQLSTATE
ROLLBACK TO one;
SET LOCAL statement_timeout = 0;
SELECT last_version FROM es_append_streams('[{"stream": "cancel-1", "expected": 1, "events": [{"type": "Kept"}]},
                                             {"stream": "cancel-2", "expected": "no stream"}]');
COMMIT;
\set VERBOSITY default
SELECT stream_id, version, event_type FROM shop.log WHERE stream_id ~ '^cancel';
SELECT es_safe_position() = es_head_position() AS released;
DROP TRIGGER veto ON es_events;

-- Cursors keep to their moment, over appends and past the end of the transaction.
BEGIN;
DECLARE streams_cursor SCROLL CURSOR WITH HOLD FOR SELECT stream_id, version FROM es_read_streams('{deep-2,deep-1}');
DECLARE log_cursor CURSOR FOR SELECT stream_id, version FROM es_read_after(0, NULL, 'deep');
FETCH 3 FROM streams_cursor;
FETCH 1 FROM log_cursor;
SELECT last_version FROM es_append_streams('[{"stream": "deep-1", "events": [{"type": "Later"}]},
                                             {"stream": "deep-2", "events": [{"type": "Later"}]}]');
FETCH BACKWARD 1 FROM streams_cursor;
FETCH ALL FROM log_cursor;
COMMIT AND CHAIN;
SELECT last_version FROM es_append('deep-1', 'Latest');
FETCH ABSOLUTE 5 FROM streams_cursor;
FETCH NEXT FROM streams_cursor;
ROLLBACK;
FETCH FIRST FROM streams_cursor;
CLOSE streams_cursor;

-- A loop over the log that appends as it goes ends: it does not read what it appends.
CREATE FUNCTION shop.react(category text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    event es_events;
    reactions bigint := 0;
BEGIN
    FOR event IN SELECT * FROM es_read_after(0, NULL, react.category) LOOP
        PERFORM es_append_streams(jsonb_build_array(
            jsonb_build_object('stream', event.stream_id, 'events', '[{"type": "Seen"}]'::jsonb),
            jsonb_build_object('stream', 'reaction-1', 'events', '[{"type": "Reacted"}]'::jsonb)),
            'v' || event.version);
        reactions := reactions + 1;
    END LOOP;
    RETURN reactions;
END
$$;
SELECT shop.react('stock'), shop.react('stock');
SELECT shop.react('stock');
SELECT stream_id, version, event_type, metadata FROM es_read_streams('{stock-A,reaction-1}');
-- A procedure that commits as it goes: each part is final, and read, when the next begins.
CREATE PROCEDURE shop.import(parts integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR part IN 1 .. parts LOOP
        PERFORM es_append_streams(format('[{"stream": "part-%s", "events": [{"type": "T"}]},
                                           {"stream": "import-1", "events": [{"type": "Part"}]}]', part)::jsonb);
        IF part = 3 THEN
            ROLLBACK;
        ELSE
            COMMIT;
        END IF;
        RAISE NOTICE 'part %: % imported, line released: %', part,
            (SELECT count(*) FROM es_read_after(category => 'import')), es_safe_position() = es_head_position();
    END LOOP;
END
$$;
CALL shop.import(4);
-- Likewise a loop over the log, in a block of no name.
DO $$
DECLARE
    event record;
    copied bigint := 0;
BEGIN
    FOR event IN SELECT * FROM es_read_after(0, NULL, 'import') LOOP
        PERFORM es_append('copy-1', event.event_type, expected_version => CASE copied WHEN 0 THEN -1 ELSE copied END);
        copied := copied + 1;
        COMMIT;
    END LOOP;
    RAISE NOTICE '% copied', copied;
END
$$;
SELECT es_stream_version('copy-1');

-- Calls inside queries, functions in SQL, and prepared statements, also when their plan has become a generic one.
SELECT n, stream_id, last_version
FROM generate_series(1, 3) AS n
     CROSS JOIN LATERAL es_append_streams(format('[{"stream": "lateral-%s", "events": [{"type": "T"}]},
                                                   {"stream": "lateral-0", "events": [{"type": "T"}]}]', n)::jsonb);
WITH money AS (
    SELECT * FROM es_append_streams('[{"stream": "cte-1", "events": [{"type": "Withdrawn"}]},
                                      {"stream": "cte-2", "events": [{"type": "Deposited"}]}]')
), receipt AS (SELECT * FROM es_append('receipt-1', 'Written', (SELECT jsonb_agg(stream_id) FROM money)))
SELECT money.stream_id, money.last_version, receipt.last_position > money.last_position AS afterwards
FROM money, receipt;
SELECT data FROM es_read_stream('receipt-1');
CREATE FUNCTION shop.transfer(source text, target text) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(last_version) FROM es_append_streams(jsonb_build_array(
        jsonb_build_object('stream', source, 'events', '[{"type": "Withdrawn"}]'::jsonb),
        jsonb_build_object('stream', target, 'events', '[{"type": "Deposited"}]'::jsonb)))
$$;
SELECT shop.transfer('cte-1', 'cte-2'), shop.transfer('cte-2', 'cte-1');
PREPARE write (jsonb, text) AS SELECT stream_id, last_version FROM es_append_streams($1, $2);
PREPARE read (text[]) AS SELECT count(*), max(metadata ->> 'correlation_id') AS last FROM es_read_streams($1);
DO $$
BEGIN
    FOR n IN 1 .. 7 LOOP
        EXECUTE format('EXECUTE write (''[{"stream": "prepared-%s", "events": [{"type": "T"}]},
                                          {"stream": "prepared-0", "events": [{"type": "T"}]}]'', ''call-%s'')', n, n);
    END LOOP;
END
$$;
EXECUTE write ('[{"stream": "prepared-0", "expected": 7}, {"stream": "prepared-7", "expected": 1}]', NULL);
EXECUTE write ('[{"stream": "prepared-0", "expected": 6}, {"stream": "prepared-7", "expected": 1}]', NULL);
EXECUTE read ('{prepared-0,prepared-3,prepared-9}');
DEALLOCATE ALL;

-- Triggers of other tables append: per row, and once more when the transaction commits.
CREATE FUNCTION shop.record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es_append_streams(jsonb_build_array(
        jsonb_build_object('stream', 'item-' || NEW.sku, 'events', jsonb_build_array(
            jsonb_build_object('type', TG_NAME, 'data', NEW.left_over))),
        jsonb_build_object('stream', 'items-1', 'events', jsonb_build_array(jsonb_build_object('type', TG_NAME)),
                           'expected', CASE WHEN NEW.left_over = 99 THEN 99 ELSE -2 END)));
    RETURN NULL;
END
$$;
CREATE TRIGGER row AFTER INSERT OR UPDATE ON shop.stock FOR EACH ROW EXECUTE FUNCTION shop.record();
CREATE CONSTRAINT TRIGGER commit AFTER INSERT OR UPDATE ON shop.stock DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.sku = 'B') EXECUTE FUNCTION shop.record();
BEGIN;
INSERT INTO shop.stock VALUES ('B', 10), ('C', 20);
SELECT last_version FROM es_append('item-B', 'Checked', expected_version => 1);
COMMIT;
SELECT stream_id, version, event_type, data FROM es_read_streams('{item-B,item-C,items-1}');
-- One that fails at COMMIT takes all along, what was appended by others too.
ALTER TABLE shop.stock DISABLE TRIGGER row;
BEGIN;
SELECT last_version FROM es_append('item-C', 'Lost', expected_version => 1);
UPDATE shop.stock SET left_over = 99 WHERE sku = 'B';
COMMIT;
\echo :LAST_ERROR_SQLSTATE
SELECT es_stream_version('item-B'), es_stream_version('item-C'), left_over,
       es_safe_position() = es_head_position() AS released FROM shop.stock WHERE sku = 'B';
-- One that was deferred fires at PREPARE TRANSACTION; then all waits for the second phase.
SELECT es_head_position() AS head \gset
BEGIN;
SELECT last_version FROM es_append_streams('[{"stream": "item-C", "expected": 1, "events": [{"type": "Counted"}]},
                                             {"stream": "item-D", "expected": -1, "events": [{"type": "Counted"}]}]');
UPDATE shop.stock SET left_over = 5 WHERE sku = 'B';
SAVEPOINT one;
SELECT count(*) FROM es_append_streams('[{"stream": "item-D", "events": [{"type": "Undone"}]}]');
ROLLBACK TO one;
PREPARE TRANSACTION 'regress_tidemark_mixed';
SELECT last_version FROM es_append('elsewhere-1', 'Done');
SELECT count(*) FROM es_read_after(:head);
SELECT gid, first_position - :head AS first_position FROM es_blockers();
SELECT count(*) FROM es_read_streams('{item-C,item-D}');
COMMIT PREPARED 'regress_tidemark_mixed';
SELECT stream_id, version, event_type FROM es_read_after(:head);

-- At every level: what a transaction has read stands still, what it checks and appends to is what is there.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT last_version FROM es_append_streams('[{"stream": "level-1", "expected": "no stream", "events": [{"type": "A"}]},
                                             {"stream": "item-C", "expected": 2}]');
SELECT last_version FROM es_append_streams('[{"stream": "level-2", "events": [{"type": "A"}]},
                                             {"stream": "level-1", "expected": 1}]');
SELECT stream_id, version FROM es_read_streams('{level-1,level-2}');
COMMIT AND CHAIN;
SHOW transaction_isolation;
SELECT last_version FROM es_append_streams('[{"stream": "level-2", "expected": 1, "events": [{"type": "B"}]}]');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT stream_id, version FROM es_read_streams('{level-1,level-2}');
SELECT last_version FROM es_append_streams('[{"stream": "level-1", "expected": 1, "events": [{"type": "B"}]},
                                             {"stream": "level-2", "expected": 2}]');
SAVEPOINT one;
SELECT count(*) FROM es_append_streams('[{"stream": "level-1", "expected": 1}]');
ROLLBACK TO one;
SELECT last_version FROM es_append_streams('[{"stream": "level-1", "expected": 2, "events": [{"type": "C"}]}]');
COMMIT;
SELECT stream_id, version FROM shop.log WHERE stream_id ~ '^level';

-- Another database has a log of its own: neither knows of the other's streams, positions, ids, locks or transactions.
SELECT current_database() AS this \gset
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_tidemark_other;
RESET client_min_messages;
CREATE DATABASE regress_tidemark_other TEMPLATE template0;
\c regress_tidemark_other
CREATE EXTENSION tidemark;
BEGIN;
SELECT * FROM es_append_streams('[{"stream": "order-1", "expected": "no stream", "events": [
    {"type": "T", "id": "00000000-0000-0000-0000-00000000000a"}]}, {"stream": "level-1", "expected": -1}]');
PREPARE TRANSACTION 'regress_tidemark_other';
\c :this
SELECT es_head_position() AS head \gset
SELECT last_version FROM es_append_streams('[{"stream": "order-1", "expected": 5, "events": [{"type": "T"}]},
                                             {"stream": "level-1", "expected": 3, "events": [{"type": "D"}]}]');
SELECT es_safe_position() - :head AS safe, (SELECT count(*) FROM es_read_after(:head)) AS events,
       (SELECT count(*) FROM es_blockers()) AS blockers;
SELECT * FROM es_verify();
\c regress_tidemark_other
SELECT es_safe_position(), es_head_position(), (SELECT gid FROM es_blockers());
COMMIT PREPARED 'regress_tidemark_other';
SELECT position, stream_id FROM es_read_after();
SELECT * FROM es_verify();
\c :this
DROP DATABASE regress_tidemark_other;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
