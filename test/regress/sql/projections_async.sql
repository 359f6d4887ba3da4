-- Projections that are run apart from appends: by name or all of them, batch by batch, each with its effect and its
-- checkpoint in one transaction; and what tells how far they are.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\set VERBOSITY terse
CREATE TABLE trace (n serial, handler text, position bigint, events bigint DEFAULT 1,
                    transaction xid8 DEFAULT pg_current_xact_id());
CREATE FUNCTION one(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trace (handler, position) VALUES ('one', e.position) $$;
CREATE FUNCTION two(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trace (handler, position) VALUES ('two', e.position) $$;
CREATE FUNCTION batch(events es_events[]) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trace (handler, position, events) VALUES ('batch', (events[1]).position, cardinality(events)) $$;
-- The positions of each handler, in the order of the calls; of a batch, the first, and how many.
CREATE VIEW traced AS
SELECT handler, string_agg(concat(position, CASE WHEN handler = 'batch' THEN '+' || events - 1 END), ' ' ORDER BY n)
           AS positions, count(DISTINCT transaction) AS transactions
FROM trace GROUP BY handler ORDER BY handler;
CREATE VIEW status AS
SELECT name, mode, checkpoint, backlog, backlog_is_exact AS exact, failed_position AS failed, error, parked
FROM es_projection_status ORDER BY name;
SELECT count(*) FROM generate_series(1, 10) AS n, es_append(CASE n % 2 WHEN 0 THEN 'order-' ELSE 'stock-' END || n % 3,
                                                            'T' || n % 4);

-- It is made once; where it begins is not compared. It does nothing before it is run.
SELECT es_create_projection('ones', 'one') AS made, es_create_projection('ones', 'one', start => 'end') AS made_again;
SELECT * FROM traced;
SELECT * FROM status;
SELECT name, handler, mode, owner = current_user AS mine, on_error, retries, retry_milliseconds, tables
FROM es_projections;
SELECT subscription, partition, partitions, checkpoint, backlog FROM es_subscription_status;
SELECT attname FROM pg_attribute WHERE attrelid = 'es_projection_status'::regclass ORDER BY attnum;
-- A batch is a transaction, which also moves the checkpoint.
CALL es_run_projection('ones', 4);
SELECT * FROM traced;
SELECT * FROM status;
SELECT p.xmin::text = max(transaction)::text AS together
FROM es_subscription_partitions AS p, trace WHERE subscription = 'ones' GROUP BY p.xmin;
-- What is done is not done again, in a new session either; what is new is.
CALL es_run_projection('ones');
SELECT count(*) FROM trace;
\c
SET search_path = shop, public;
\set VERBOSITY terse
CALL es_run_projection('ones');
SELECT first_position FROM es_append('order-1', 'T0');
SELECT backlog FROM status;
SELECT es_wait_for('ones', 11, '0');
\echo :SQLSTATE
CALL es_run_projection('ones');
SELECT * FROM traced;
SELECT es_wait_for('ones', 11, '0');
-- It goes no further than the safe position.
BEGIN;
SELECT first_position FROM es_append('order-2', 'Held');
PREPARE TRANSACTION 'projections';
SELECT first_position FROM es_append('order-1', 'Behind');
CALL es_run_projection('ones');
SELECT max(position) FROM trace;
ROLLBACK PREPARED 'projections';
CALL es_run_projection('ones');
SELECT max(position) FROM trace;

-- A batch handler gets what fits into a batch, in one call.
SELECT es_create_projection('batches', 'batch');
CALL es_run_projection('batches', 5);
SELECT * FROM traced WHERE handler = 'batch';
SELECT es_reset_subscription('batches', 0);
TRUNCATE trace;
CALL es_run_projection('batches', max_count => 100);
SELECT * FROM traced;
SELECT es_drop_projection('batches'), es_drop_projection('ones'), es_drop_projection('ones');
SELECT count(*) FROM es_subscriptions;

-- Each gets what its filters let pass, from where it begins; without a name all are run, and none that is sync.
TRUNCATE trace;
SELECT es_create_projection('category', 'one', category => 'order'),
       es_create_projection('types', 'two', event_types => '{T1,T2}', stream_prefix => 'order'),
       es_create_projection('late', 'batch', start => '8'), es_create_projection('end', 'batch', start => 'end'),
       es_create_projection('sync', 'batch', start => 'end', mode => 'sync');
CALL es_run_projection();
SELECT * FROM traced;
SELECT * FROM status;
SELECT first_position FROM es_append('order-1', 'T1');
CALL es_run_projection(max_count => 1);
SELECT * FROM traced;
-- A filter that passes nothing comes to the end all the same.
SELECT es_create_projection('nothing', 'one', category => 'nothing');
CALL es_run_projection('nothing');
SELECT es_wait_for('nothing', 14, '0'), es_wait_for('sync', 14, '0');
SELECT name, backlog, oldest_undelivered_at, oldest_undelivered_age FROM es_projection_status WHERE name = 'nothing';

-- Set back, it does everything again; set forward, it leaves some out.
TRUNCATE trace;
SELECT es_reset_subscription('category', 8), es_reset_subscription('types', 14);
CALL es_run_projection('category');
CALL es_run_projection('types');
SELECT * FROM traced;
-- With a duration it follows the log so long.
TRUNCATE trace;
SELECT first_position FROM es_append('order-1', 'T1');
SELECT clock_timestamp() AS start \gset
CALL es_run_projection('category', duration => '50 milliseconds');
SELECT clock_timestamp() - :'start' BETWEEN '45 milliseconds' AND '10 seconds' AS lasted;
CALL es_run_projection(duration => '50 milliseconds');
SELECT * FROM traced;
-- Not within a transaction, or a function that is called in one.
BEGIN;
CALL es_run_projection('category');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
DO $$ BEGIN CALL es_run_projection('category'); END $$;
\echo :SQLSTATE
ROLLBACK;
-- To drop one leaves its tables alone, and can be undone.
BEGIN;
SELECT es_drop_projection('category');
ROLLBACK;
SELECT count(es_drop_projection(name)) FROM es_projections;
SELECT count(*) > 0 AS left FROM trace;
SELECT (SELECT count(*) FROM es_subscriptions) AS subscriptions, (SELECT count(*) FROM status) AS status,
       (SELECT count(*) FROM es_verify()) AS problems;

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
