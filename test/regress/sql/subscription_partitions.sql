-- Partitions: which stream belongs to which, for ever; how consumers that come and go share them; how their number
-- changes without an event being lost, doubled or out of order in its stream.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
-- FNV-1a of 64 bits over the bytes of UTF-8, as its authors describe it.
CREATE FUNCTION pg_temp.fnv(id text, OUT hash numeric) LANGUAGE plpgsql AS $$
DECLARE
    bytes bytea := convert_to(id, 'UTF8');
    low integer;
BEGIN
    hash := 14695981039346656037;
    FOR n IN 0 .. octet_length(bytes) - 1 LOOP
        low := hash % 256;
        hash := (hash - low + (low # get_byte(bytes, n))) * 1099511628211 % 18446744073709551616;
    END LOOP;
END
$$;
-- The authors' own example.
SELECT pg_temp.fnv('foobar') = x'85944171'::bigint::numeric * 4294967296 + x'f73967e8'::bigint AS as_published;
SELECT left(id, 8) AS id, es_partition_of(id, 1) AS of_1, es_partition_of(id, 2) AS of_2,
       es_partition_of(id, 7) AS of_7, es_partition_of(id, 1024) AS of_1024
FROM unnest(ARRAY['a', 'foobar', 'order-1', 'order-2', 'Straße 1', '😀', repeat('é', 255)]) AS id;
SELECT count(*) FILTER (WHERE es_partition_of(id, n) IS DISTINCT FROM pg_temp.fnv(id) % n) AS others,
       count(*) > 1000 AS many
FROM (SELECT 'order-' || n AS id FROM generate_series(1, 300) AS n
      UNION ALL SELECT repeat('ö', n) FROM generate_series(1, 100) AS n) AS ids,
     unnest('{1,2,3,7,64,1024}'::int[]) AS n;
-- It spreads streams evenly, and is the same wherever it is used.
SELECT min(streams) > 900 AND max(streams) < 1100 AS even
FROM (SELECT count(*) AS streams FROM generate_series(1, 8000) AS n
      GROUP BY es_partition_of('order-' || n, 8)) AS share;
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE proname = 'es_partition_of';

-- What each consumer did is written down: an event twice would show, as would one missing, or one out of order.
CREATE TEMP TABLE effects (n serial, subscription text, position bigint, stream_id text, version bigint,
                           partition integer, consumer text);
CREATE FUNCTION pg_temp.take(subscription text, consumer text, max_count bigint = 100, OUT events bigint)
LANGUAGE plpgsql AS $$
BEGIN
    WITH batch AS MATERIALIZED (SELECT * FROM es_fetch(take.subscription, take.consumer, max_count)), effect AS (
        INSERT INTO effects (subscription, position, stream_id, version, partition, consumer)
        SELECT take.subscription, position, stream_id, version, partition, take.consumer FROM batch ORDER BY position
    )
    SELECT count(*), es_ack(take.subscription, max(position), max(fence)) FROM batch HAVING count(*) > 0 INTO events;
END
$$;
CREATE VIEW pg_temp.wrong AS
SELECT subscription, e.stream_id, e.version, count(f.position) AS times
FROM (SELECT DISTINCT subscription FROM es_subscription_status) AS s CROSS JOIN es_events AS e
LEFT JOIN effects AS f USING (subscription, position)
GROUP BY 1, 2, 3 HAVING count(f.position) <> 1
UNION ALL
SELECT subscription, stream_id, version, 0
FROM (SELECT *, lag(version) OVER (PARTITION BY subscription, stream_id ORDER BY n) AS before FROM effects) AS f
WHERE version <> before + 1;
SELECT count(*) FROM generate_series(1, 400) AS n, es_append('order-' || n % 20, 'Placed');

-- One consumer has all partitions, and gets a batch of one at a time, of the one with the oldest event.
SELECT es_create_subscription('shared', partitions => 4);
SELECT string_agg(partition::text, ',') AS partitions, count(DISTINCT fence) AS fences FROM es_claim('shared', 'ann');
SELECT count(DISTINCT partition) AS partitions, count(DISTINCT fence) AS fences, min(position),
       bool_and(partition = es_partition_of(stream_id, 4)) AS of_it
FROM es_fetch('shared', 'ann', 20);
SELECT pg_temp.take('shared', 'ann', 20) AS events FROM generate_series(1, 3);
SELECT min(position) = (SELECT min(position) FROM es_events AS e
                        WHERE NOT EXISTS (SELECT FROM effects AS f WHERE f.position = e.position)) AS oldest
FROM es_fetch('shared', 'ann', 20);

-- Those that come, and have called again, are given some at the owners' next fetch, shared out evenly.
CREATE FUNCTION pg_temp.shares() RETURNS text
RETURN (SELECT string_agg(consumer || ' ' || partitions, ', ' ORDER BY consumer)
        FROM (SELECT consumer, count(*) AS partitions FROM es_subscription_status
              WHERE subscription = 'shared' AND is_leased GROUP BY consumer) AS s);
SELECT count(*) FROM es_claim('shared', 'ben');
SELECT count(*) FROM es_claim('shared', 'ann');
SELECT count(*) FROM es_claim('shared', 'ben');
SELECT pg_temp.shares();
SELECT count(*) FROM es_claim('shared', 'ann', rebalance => false);
SELECT count(*) FROM es_claim('shared', 'ann');
SELECT count(*) FROM es_claim('shared', 'ben');
SELECT pg_temp.shares();
SELECT pg_temp.take('shared', 'ann', 20) > 0 AS ann, pg_temp.take('shared', 'ben', 20) > 0 AS ben;
-- Five of them for four partitions: one has none, gets nothing, and stands in line.
SELECT sum((SELECT count(*) FROM es_claim('shared', consumer))) > 0 AS claimed
FROM generate_series(1, 5) AS n, unnest('{ann,ben,cat,dan,eve}'::text[]) AS consumer;
SELECT count(DISTINCT consumer), count(*) FROM es_subscription_status WHERE is_leased;
SELECT consumer AS last FROM es_subscription_consumers
WHERE consumer NOT IN (SELECT consumer FROM es_subscription_status WHERE is_leased) \gset
SELECT count(*) FROM es_fetch('shared', :'last');
SELECT count(*) FROM es_subscription_consumers;
-- What one gives back, the others take.
SELECT consumer AS owner FROM es_subscription_status WHERE partition = 2 \gset
SELECT es_release('shared', :'owner');
SELECT partition FROM es_claim('shared', :'last');
SELECT string_agg(es_release('shared', consumer)::text, ',') FROM unnest('{ann,ben,cat,dan,eve}'::text[]) AS consumer
WHERE consumer <> 'ann' AND consumer <> :'owner';
SELECT count(*) FROM es_claim('shared', 'ann');
SELECT pg_temp.shares(), count(*) AS in_line FROM es_subscription_consumers;
-- Leases whose time is over are anybody's.
SELECT count(*) FROM es_claim('shared', 'ann', '1 millisecond');
SELECT pg_sleep(0.01);
SELECT count(*) FROM es_claim('shared', 'ben');
-- Whoever shares, every event has its effect once, in the order of its stream.
SELECT es_release('shared', 'ben');
SELECT sum(pg_temp.take('shared', (ARRAY['ann', 'ben', 'cat'])[1 + n % 3], 7)) > 0 AS went_on
FROM generate_series(1, 300) AS n;
SELECT count(*) AS events, count(DISTINCT partition) AS partitions, count(DISTINCT consumer) > 2 AS shared FROM effects;
SELECT * FROM pg_temp.wrong;

-- The number of partitions changes at once where all have come equally far.
SELECT es_create_subscription('changed', partitions => 4);
SELECT es_set_partitions('changed', 2);
SELECT partitions, next_partitions, count(*) FROM es_subscription_status WHERE subscription = 'changed' GROUP BY 1, 2;
-- Otherwise when all have come as far as the furthest one; what was under way is void.
SELECT pg_temp.take('changed', 'ann', 10);
SELECT position, fence FROM es_fetch('changed', 'ann', 1) \gset
SELECT es_set_partitions('changed', 5);
SELECT partitions, next_partitions, count(*) FROM es_subscription_status WHERE subscription = 'changed' GROUP BY 1, 2;
\set VERBOSITY sqlstate
SELECT es_ack('changed', :position, :fence);
SELECT sum(pg_temp.take('changed', 'ann', 3)) > 0 AS went_on FROM generate_series(1, 20) AS n;
SELECT partitions, next_partitions, count(*) FROM es_subscription_status WHERE subscription = 'changed' GROUP BY 1, 2;
-- To and fro, also before the last change is through, shared by two all the while.
DO $$
BEGIN
    FOR n IN 1 .. 60 LOOP
        PERFORM pg_temp.take('changed', 'ann', 3), pg_temp.take('changed', 'ben', 4);
        IF n % 7 = 0 THEN PERFORM es_set_partitions('changed', (ARRAY[2, 8, 3, 5])[1 + n / 7 % 4]); END IF;
    END LOOP;
    FOR n IN 1 .. 300 LOOP
        PERFORM pg_temp.take('changed', (ARRAY['ann', 'ben', 'cat'])[1 + n % 3], 10);
    END LOOP;
END
$$;
SELECT partitions, next_partitions, count(*) FROM es_subscription_status WHERE subscription = 'changed' GROUP BY 1, 2;
SELECT count(*) FROM effects WHERE subscription = 'changed';
SELECT * FROM pg_temp.wrong;
BEGIN;
SELECT es_set_partitions('changed', 6);
ROLLBACK;
SELECT count(*) <> 6 AS as_it_was FROM es_subscription_status WHERE subscription = 'changed';
-- To one partition and back; a change that is under way is called off by asking for the present number.
SELECT es_set_partitions('changed', 1);
SELECT sum(es_release('changed', consumer)) > 0 AS changed, sum(es_release('shared', consumer)) > 0 AS shared
FROM unnest('{ann,ben,cat}'::text[]) AS consumer;
SELECT count(pg_temp.take('changed', 'ann')) FROM generate_series(1, 3);
SELECT partitions, next_partitions FROM es_subscription_status WHERE subscription = 'changed';
SELECT es_set_partitions('changed', 3);
SELECT count(*) FROM generate_series(401, 440) AS n, es_append('order-' || n % 20, 'Sent');
SELECT sum(pg_temp.take('changed', 'ann', 4)) FROM generate_series(1, 2);
SELECT es_set_partitions('changed', 7);
SELECT partitions, next_partitions FROM es_subscription_status WHERE subscription = 'changed' AND partition = 0;
SELECT es_set_partitions('changed', 3);
SELECT partitions, next_partitions FROM es_subscription_status WHERE subscription = 'changed' AND partition = 0;
SELECT sum(pg_temp.take('changed', 'ann')) + sum(pg_temp.take('shared', 'ann')) AS events
FROM generate_series(1, 10) AS n;
SELECT * FROM pg_temp.wrong;
