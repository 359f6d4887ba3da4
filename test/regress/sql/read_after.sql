-- es_read_after() on a quiet log: pages and filters, checked against plain SQL. What it does while others append is the
-- business of the isolation and TAP tests.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
-- An empty log has nothing to read.
SELECT count(*) FROM es_read_after();

-- 30,000 events of 1,000 streams in a few categories and types, with a few rare ones between them.
SELECT count(*) FROM generate_series(1, 30000) AS n,
    es_append(CASE WHEN n IN (12345, 12346, 29999) THEN 'rare_%\' || n WHEN n % 7 = 0 THEN 'r' || n % 50
                   ELSE 'order_' || n % 3 || '-' || n * 7919 % 1000 END,
              CASE WHEN n = 20000 THEN 'Rare' ELSE 'T' || n % 13 END) AS append;
-- Gaps in the positions, by an append that is undone.
BEGIN;
SELECT count(*) FROM generate_series(1, 100), es_append('gap', 'Gap');
ROLLBACK;
SELECT last_version FROM es_append('after-gap', 'T1');

-- Without arguments come the first 1,000 events; null is no limit, 0 is none.
SELECT count(*), min(position), max(position) FROM es_read_after();
SELECT count(*) FROM es_read_after(max_count => NULL);
SELECT count(*) FROM es_read_after(0, 0);
-- The position itself is not part of the result; behind the last event and in a gap reading goes on with what is next.
SELECT position FROM es_read_after(500, 2);
SELECT stream_id FROM es_read_after(30000);
SELECT stream_id FROM es_read_after(30050);
SELECT count(*) FROM es_read_after((SELECT max(position) FROM es_events));
SELECT count(*) FROM es_read_after(9223372036854775807);
-- Pages of any size give exactly the log, in position order.
CREATE FUNCTION pg_temp.follow(page bigint, from_position bigint = 0) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    positions bigint[] := '{}';
    found bigint[];
BEGIN
    LOOP
        found := (SELECT array_agg(position) FROM es_read_after(from_position, page));
        EXIT WHEN found IS NULL;
        positions := positions || found;
        from_position := found[cardinality(found)];
    END LOOP;
    RETURN positions;
END
$$;
SELECT page, pg_temp.follow(page, start) = (SELECT array_agg(position ORDER BY position) FROM es_events
                                            WHERE position > start) AS whole_log
FROM (VALUES (1, 28000), (2, 27000), (3, 25000), (7, 20000), (1000, 0), (100000, 0)) AS v (page, start);

-- Prefixes are literal: `_`, `%` and `\` stand for themselves.
SELECT stream_id FROM es_read_after(stream_prefix => 'rare_');
SELECT stream_id FROM es_read_after(stream_prefix => 'rare_%');
SELECT stream_id FROM es_read_after(stream_prefix => 'rare_%\1');
SELECT count(*) FROM es_read_after(stream_prefix => 'rare__');
SELECT count(*) FROM es_read_after(stream_prefix => 'rare%');
SELECT count(*) FROM es_read_after(stream_prefix => '%');
SELECT count(*) FROM es_read_after(stream_prefix => 'order-');
-- An empty prefix is every stream's; a category, a type or a prefix that nothing has gives nothing.
SELECT count(*) FROM es_read_after(max_count => NULL, stream_prefix => '');
SELECT count(*) FROM es_read_after(category => 'none');
SELECT count(*) FROM es_read_after(event_types => '{None}');
SELECT count(*) FROM es_read_after(stream_prefix => 'none');
SELECT count(*) FROM es_read_after(event_types => '{}');
-- A type that is given twice gives each event once.
SELECT count(*) FROM es_read_after(event_types => '{Rare,Rare,None}');
-- Filters apply before the limit: 12,344 events that do not match come before the two that do.
SELECT stream_id FROM es_read_after(0, 2, stream_prefix => 'rare_');
SELECT stream_id FROM es_read_after(12346, 2, stream_prefix => 'rare_');
SELECT position FROM es_read_after(0, 10, event_types => '{Rare}');
SELECT count(*) FROM es_read_after(0, 10, category => 'rare_%\29999');

-- Any combination of arguments gives what plain SQL gives.
CREATE FUNCTION pg_temp.compare(rounds integer, OUT nonempty boolean, OUT same boolean) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    start bigint;
    page bigint;
    one_category text;
    types text[];
    prefix text;
    got bigint[];
    wanted bigint[];
BEGIN
    FOR round IN 1..rounds LOOP
        start := (ARRAY[0, random() * 31000])[1 + random()];
        page := (ARRAY[1, 2, 10, 100, 1000, NULL])[1 + floor(random() * 6)];
        one_category := (ARRAY['order_0', 'order_1', 'r5', 'rare_%\29999', 'none'])[1 + floor(random() * 15)];
        types := CASE WHEN round % 2 = 0
                 THEN (SELECT array_agg('T' || floor(random() * 15)) FROM generate_series(0, (random() * 4)::int)) END;
        prefix := (ARRAY['order_', 'order_1-1', 'o', 'r', 'rare_', 'r7', 'order_2-10', ''])[1 + floor(random() * 16)];
        got := (SELECT array_agg(position) FROM es_read_after(start, page, one_category, types, prefix));
        wanted := (SELECT array_agg(position ORDER BY position) FROM (
                       SELECT position FROM es_events
                       WHERE position > start AND (one_category IS NULL OR category = one_category)
                         AND (types IS NULL OR event_type = ANY (types))
                         AND (prefix IS NULL OR starts_with(stream_id, prefix))
                       ORDER BY position LIMIT page) AS _);
        nonempty := wanted IS NOT NULL;
        same := got IS NOT DISTINCT FROM wanted;
        IF NOT same THEN
            RAISE NOTICE 'differs: %, %, %, %, %', start, page, one_category, types, prefix;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT setseed(0.5);
SELECT same, count(*), count(*) FILTER (WHERE nonempty) > 100 AS often_not_empty
FROM pg_temp.compare(300) GROUP BY same;
-- Also with an index on the event types, before and after the planner has statistics.
CREATE INDEX ON es_events (event_type, position);
SELECT same, count(*) FROM pg_temp.compare(300) GROUP BY same;
SELECT position FROM es_read_after(0, 10, event_types => '{None,Rare}');
ANALYZE es_events;
SELECT same, count(*) FROM pg_temp.compare(300) GROUP BY same;
-- A filter reads by index: hardly a block for a category or a type, and by no means the whole log for a rare prefix.
CREATE FUNCTION pg_temp.blocks(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
    RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END
$$;
SELECT pg_temp.blocks('SELECT * FROM es_read_after(max_count => NULL)') AS whole_log \gset
SELECT filter, pg_temp.blocks(format('SELECT * FROM es_read_after(%s)', filter)) < :whole_log * share AS few_blocks
FROM (VALUES (0.1, $$0, 10$$),
             (0.1, $$29000, 10$$),
             (0.1, $$0, 10, 'rare_%\29999'$$),
             (0.1, $$0, 10, 'none'$$),
             (0.1, $$0, 10, event_types => '{None,Rare}'$$),
             (0.1, $$0, 10, stream_prefix => 'order_1-'$$),
             (0.5, $$0, 10, stream_prefix => 'rare_'$$),
             (0.5, $$12346, 10, stream_prefix => 'rare_'$$)) AS v (share, filter);
-- Indexes that look alike, and are not what it takes, do no harm.
CREATE INDEX ON es_events (event_type, position) WHERE schema_version = 2;
CREATE INDEX ON es_events (stream_id, position) WHERE schema_version = 2;
CREATE INDEX ON es_events (category, position) WHERE schema_version = 2;
CREATE INDEX ON es_events (event_type text_pattern_ops, position DESC);
CREATE INDEX ON es_events (lower(event_type), position);
DROP INDEX es_events_event_type_position_idx;
CREATE INDEX ON es_events (event_type COLLATE "und-x-icu", position);
CREATE INDEX ON es_events (category COLLATE "und-x-icu", position);
CREATE UNIQUE INDEX ON es_events (stream_id COLLATE "und-x-icu", version);
SELECT same, count(*) FROM pg_temp.compare(100) GROUP BY same;
