-- es_read_stream() and es_stream_version(): one stream in version order, forward or backward, whole or in pages.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
SELECT last_version FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}, {"type": "C"}]');
SELECT last_version FROM es_append('order-10', 'Other');
SELECT last_version FROM es_append_events('order-1', '[{"type": "D"}, {"type": "E"}]');

-- A stream that has no events is empty, forward and backward, and has version 0.
SELECT * FROM es_read_stream('order-2');
SELECT * FROM es_read_stream('order-2', 1, 10, true);
SELECT es_stream_version('order-2');
-- The name has to be the whole one: no prefix, no other case.
SELECT count(*), es_stream_version('order') FROM es_read_stream('order-');
SELECT count(*), es_stream_version('Order-1') FROM es_read_stream('Order-1');
-- Forward and backward, the events of this stream alone come in version order.
SELECT stream_id, version, event_type FROM es_read_stream('order-1');
SELECT stream_id, version, event_type FROM es_read_stream('order-1', backward => true);
SELECT es_stream_version('order-1'), es_stream_version('order-10');
-- Every column is that of the table.
SELECT count(*) FROM es_read_stream('order-1') AS read JOIN es_events ON es_events = read;

-- Reading starts at from_version, which is part of the result, either way; at most max_count events come.
SELECT array_agg(version) FROM es_read_stream('order-1', 4);
SELECT array_agg(version) FROM es_read_stream('order-1', 4, backward => true);
SELECT array_agg(version) FROM es_read_stream('order-1', 2, 2);
SELECT array_agg(version) FROM es_read_stream('order-1', 4, 2, true);
SELECT array_agg(version) FROM es_read_stream('order-1', max_count => 2);
SELECT array_agg(version) FROM es_read_stream('order-1', max_count => 2, backward => true);
SELECT array_agg(version) FROM es_read_stream('order-1', NULL, NULL, true);
-- From before the first version: forward everything, backward nothing.
SELECT array_agg(version) FROM es_read_stream('order-1', 0);
SELECT array_agg(version) FROM es_read_stream('order-1', 0, backward => true);
-- From beyond the end: forward nothing, backward everything.
SELECT array_agg(version) FROM es_read_stream('order-1', 6);
SELECT array_agg(version) FROM es_read_stream('order-1', 6, backward => true);
SELECT array_agg(version) FROM es_read_stream('order-1', 9223372036854775807, 9223372036854775807);
SELECT array_agg(version) FROM es_read_stream('order-1', 9223372036854775807, 9223372036854775807, true);
-- A max_count of 0 reads nothing; one beyond the end reads what there is.
SELECT count(*) FROM es_read_stream('order-1', 1, 0);
SELECT count(*) FROM es_read_stream('order-1', 5, 0, true);
SELECT array_agg(version) FROM es_read_stream('order-1', 4, 1000);

-- There is no silent limit: 5,000 events load.
SELECT last_version FROM es_append_events('long-1', (
    SELECT jsonb_agg(jsonb_build_object('type', 'T', 'data', n) ORDER BY n) FROM generate_series(1, 5000) AS n));
SELECT count(*), bool_and(version = data::bigint) AS right_events FROM es_read_stream('long-1');
SELECT count(*), bool_and(version = data::bigint) AS right_events FROM es_read_stream('long-1', backward => true);
SELECT bool_and(version = n) AS forward FROM es_read_stream('long-1') WITH ORDINALITY AS e
    (position, version, at, id, schema, stream, category, type, data, meta, n);
SELECT bool_and(version = 5001 - n) AS backward FROM es_read_stream('long-1', backward => true) WITH ORDINALITY AS e
    (position, version, at, id, schema, stream, category, type, data, meta, n);
-- Pages of any size walk the whole stream, both ways.
CREATE FUNCTION pg_temp.pages(stream text, page bigint, backward boolean) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    versions bigint[] := '{}';
    found bigint[];
    next bigint;
BEGIN
    LOOP
        found := (SELECT array_agg(version) FROM es_read_stream(stream, next, page, backward));
        EXIT WHEN found IS NULL;
        versions := versions || found;
        next := found[cardinality(found)] + CASE WHEN backward THEN -1 ELSE 1 END;
    END LOOP;
    RETURN versions;
END
$$;
SELECT page, pg_temp.pages('order-1', page, false), pg_temp.pages('order-1', page, true)
FROM unnest(ARRAY[1, 2, 3, 4, 5, 6]) AS page;
SELECT page, pg_temp.pages('long-1', page, false) = (SELECT array_agg(n) FROM generate_series(1, 5000::bigint) AS n)
             AS forward,
             pg_temp.pages('long-1', page, true) = (SELECT array_agg(n) FROM generate_series(5000, 1::bigint, -1) AS n)
             AS backward
FROM unnest(ARRAY[7, 1000, 4999, 5000]) AS page;

-- Inside the transaction that writes them its events are read by es_read_stream(), not by es_read_after().
BEGIN;
SELECT last_version FROM es_append('order-1', 'F');
SELECT array_agg(version) FROM es_read_stream('order-1', 5);
SELECT array_agg(version) FROM es_read_stream('order-1', max_count => 1, backward => true);
SELECT es_stream_version('order-1');
SELECT max(version) FROM es_read_after(stream_prefix => 'order-1');
ROLLBACK;
SELECT array_agg(version), es_stream_version('order-1') FROM es_read_stream('order-1', 5);

-- A prepared statement and a join read each stream afresh.
PREPARE read AS SELECT version, event_type FROM es_read_stream($1, $2, 1);
EXECUTE read ('order-1', 2);
EXECUTE read ('order-10', 1);
SELECT stream_id, event_type
FROM unnest(ARRAY['order-10', 'order-2', 'order-1']) AS id, es_read_stream(id, max_count => 2);
