-- Subscriptions in one session: made, begun anywhere, filtered, fetched from, acknowledged, moved, dropped. Leases,
-- partitions, parking and the status have files of their own.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\set VERBOSITY terse
-- Gets a batch, acknowledges it, and tells its positions.
CREATE FUNCTION pg_temp.take(name text, max_count bigint = 100, OUT positions text) LANGUAGE plpgsql AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT * FROM es_fetch(name, 'taker', max_count) LOOP
        positions := concat_ws(' ', positions, event.position);
    END LOOP;
    IF positions IS NOT NULL THEN
        PERFORM es_ack(name, event.position, event.fence);
    END IF;
END
$$;
CREATE FUNCTION pg_temp.checkpoint(name text) RETURNS bigint
RETURN (SELECT checkpoint FROM es_subscription_status WHERE subscription = name);

-- Of an empty log there is nothing to get; what comes is got in position order.
SELECT es_create_subscription('all');
SELECT count(*) FROM es_fetch('all', 'taker');
SELECT count(*) FROM generate_series(1, 10) AS n,
    es_append(CASE WHEN n % 2 = 0 THEN 'order-' ELSE 'stock-' END || n % 3, 'T' || n % 4, to_jsonb(n), '{"by": "ann"}');
SELECT * FROM es_fetch('all', 'taker') WHERE false;
SELECT position, stream_id, version, event_type, data, partition, redelivered FROM es_fetch('all', 'taker', 3);
-- A batch is of the log, to the last column.
SELECT count(*), count(DISTINCT fence) FROM es_fetch('all', 'taker') AS f
JOIN es_events AS e USING (position, version, recorded_at, event_id, schema_version, stream_id, category, event_type,
                           data, metadata);

-- Events come again until they are acknowledged, up to the one that is, and never after that.
SELECT string_agg(position::text, ' '), min(fence) AS fence FROM es_fetch('all', 'taker', 4) \gset first_
\echo :first_string_agg
SELECT es_ack('all', 2, :first_fence) AS fence \gset
SELECT string_agg(position::text, ' '), min(fence) = :fence AS same_fence FROM es_fetch('all', 'taker', 4);
-- A delivery is acknowledged once; who does it in pieces goes on with the fence that the first piece returned.
SELECT es_ack('all', 4, :first_fence);
\echo :SQLSTATE
SELECT es_ack('all', 4, :fence) AS fence, :fence AS before \gset
SELECT :fence > :before AS higher;
SELECT pg_temp.take('all', 2);
SELECT pg_temp.checkpoint('all');
-- Acknowledgements only move forward: at or below the checkpoint they are refused, and beyond the safe position.
SELECT fence FROM es_claim('all', 'taker') \gset
SELECT es_ack('all', 6, :fence);
\echo :SQLSTATE
SELECT es_ack('all', 1, :fence);
\echo :SQLSTATE
SELECT es_ack('all', 11, :fence);
\echo :SQLSTATE
SELECT pg_temp.checkpoint('all');
SELECT pg_temp.take('all'), pg_temp.take('all');
SELECT pg_temp.checkpoint('all');

-- An acknowledgement that is rolled back, with the effect beside it, has not been made.
SELECT es_create_subscription('copy');
SELECT fence FROM es_fetch('copy', 'taker', 1) \gset
CREATE TEMP TABLE effects (position bigint);
BEGIN;
INSERT INTO effects VALUES (1);
SELECT es_ack('copy', 1, :fence) > :fence AS higher;
SELECT string_agg(position::text, ' ') FROM es_fetch('copy', 'taker', 2);
ROLLBACK;
SELECT string_agg(position::text, ' '), (SELECT count(*) FROM effects) AS effects FROM es_fetch('copy', 'taker', 2);
BEGIN;
INSERT INTO effects VALUES (1);
SELECT es_ack('copy', 1, :fence) AS fence \gset
SAVEPOINT a;
INSERT INTO effects VALUES (2);
SELECT es_ack('copy', 2, :fence) > :fence AS higher;
ROLLBACK TO a;
COMMIT;
SELECT string_agg(position::text, ' '), min(fence) = :fence AS same_fence, (SELECT count(*) FROM effects) AS effects
FROM es_fetch('copy', 'taker', 2);
-- At any isolation level.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.take('copy', 2), pg_temp.take('copy', 2);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_temp.take('copy', 2), pg_temp.take('copy', 2);
COMMIT;
SELECT pg_temp.take('copy');

-- One's own uncommitted events are not fetched and cannot be acknowledged, and nobody waits while he has some.
BEGIN;
SELECT first_position FROM es_append('order-0', 'Mine');
SELECT count(*) FROM es_fetch('all', 'taker');
SELECT fence FROM es_claim('all', 'taker') \gset
SAVEPOINT a;
SELECT es_ack('all', 11, :fence);
\echo :SQLSTATE
ROLLBACK TO a;
SELECT count(*) FROM es_fetch('all', 'taker', wait => '1 minute');
\echo :SQLSTATE
ROLLBACK TO a;
SELECT es_wait_for('all', 11, '1 minute');
\echo :SQLSTATE
ROLLBACK TO a;
SELECT count(*) FROM es_read_after(10, wait => '1 minute');
\echo :SQLSTATE
ROLLBACK TO a;
COMMIT;
SELECT pg_temp.checkpoint('all'), pg_temp.take('all'), pg_temp.checkpoint('all');

-- It begins at the beginning, at the end, or behind a position.
SELECT es_create_subscription('from the end', start => 'end'), es_create_subscription('from 8', start => '8'),
       es_create_subscription('from 0', start => '0'), es_create_subscription('from 11', start => '11');
SELECT pg_temp.take('from the end'), pg_temp.take('from 8'), pg_temp.take('from 0'), pg_temp.take('from 11');
SELECT first_position FROM es_append('order-0', 'Later');
SELECT pg_temp.take('from the end'), pg_temp.take('from 8'), pg_temp.take('from 0'), pg_temp.take('from 11');

-- It is made once. To make it again with its filter does nothing, wherever it were to begin and however divided; with
-- another filter it is refused.
SELECT es_create_subscription('some', 'order', '{T0,T2}', 'order-', '3', 2);
SELECT es_create_subscription('some', 'order', '{T0,T2}', 'order-', '3', 2),
       es_create_subscription('some', 'order', '{T0,T2}', 'order-', 'end', 1);
SELECT checkpoint, partitions FROM es_subscription_status WHERE subscription = 'some';
CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT arguments, pg_temp.state_of(format('SELECT es_create_subscription(''some'', %s)', arguments))
FROM unnest(ARRAY[$$'stock', '{T0,T2}', 'order-', '3', 2$$, $$NULL, '{T0,T2}', 'order-', '3', 2$$,
                  $$'order', '{T0}', 'order-', '3', 2$$, $$'order', NULL, 'order-', '3', 2$$,
                  $$'order', '{T0,T2}', 'order', '3', 2$$, $$'order', '{T0,T2}', NULL, '3', 2$$]) AS arguments;

-- A filtered one gets exactly what es_read_after() gives with the same filters, in batches of any size.
SELECT category, types, prefix, size, got = wanted AS same, cardinality(string_to_array(got, ' ')) AS events
FROM unnest('{NULL,order,none}'::text[]) AS category, (VALUES (NULL), ('{T1,T2,None}')) AS t (types),
     unnest('{NULL,order-1,"",s}'::text[]) AS prefix, unnest(ARRAY[1, 3, NULL]) AS size,
     LATERAL (SELECT concat_ws('/', 'filtered', category, types, prefix, size) AS name) AS named,
     LATERAL (SELECT es_create_subscription(name, category, types::text[], prefix) AS made OFFSET 0) AS made,
     LATERAL (SELECT string_agg(positions, ' ' ORDER BY n) AS got
              FROM (SELECT n, pg_temp.take(name, size) AS positions FROM generate_series(1, 13) AS n WHERE made) AS t
             ) AS got,
     LATERAL (SELECT string_agg(position::text, ' ' ORDER BY position) AS wanted
              FROM es_read_after(0, NULL, category, types::text[], prefix)) AS wanted
WHERE got IS DISTINCT FROM wanted OR size = 3 AND got IS NOT NULL;

-- A reset moves the checkpoint to anywhere, and makes fences void; events come again.
SELECT fence FROM es_fetch('copy', 'taker', 1) \gset
SELECT es_reset_subscription('copy', 4);
SELECT es_ack('copy', 5, :fence);
\echo :SQLSTATE
SELECT pg_temp.checkpoint('copy'), pg_temp.take('copy', 3), pg_temp.take('copy', 3);
SELECT es_reset_subscription('copy', 0);
SELECT pg_temp.take('copy', 3), es_reset_subscription('copy', 10), pg_temp.take('copy');
BEGIN;
SELECT es_reset_subscription('copy', 0);
ROLLBACK;
SELECT pg_temp.take('copy'), pg_temp.checkpoint('copy');

-- Dropped, it is gone with all that it knew; the events stay.
SELECT es_drop_subscription('copy'), es_drop_subscription('copy');
SELECT count(*) FROM es_fetch('copy', 'taker');
\echo :SQLSTATE
SELECT count(*) FROM es_subscription_status WHERE subscription = 'copy';
SELECT es_create_subscription('copy');
SELECT pg_temp.take('copy');
SELECT count(es_drop_subscription(subscription)) > 10 AS many
FROM (SELECT DISTINCT subscription FROM es_subscription_status) AS all_of_them;
SELECT (SELECT count(*) FROM es_subscriptions) AS subscriptions,
       (SELECT count(*) FROM es_subscription_partitions) AS partitions,
       (SELECT count(*) FROM es_subscription_consumers) AS consumers, (SELECT count(*) FROM es_events) AS events;
SELECT * FROM es_verify();
