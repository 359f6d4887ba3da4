-- es_append_events(): several events in one call, in the caller's order, at consecutive versions and positions; the
-- keys of an event; and calls without events.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;

-- The events of one call get consecutive versions and positions in the order of the array.
SELECT * FROM es_append_events('order-1', '[{"type": "Placed"}, {"type": "Paid"}, {"type": "Sent"}]', es_no_stream());
SELECT * FROM es_append('order-2', 'Placed');
SELECT * FROM es_append_events('order-1', '[{"type": "Returned"}, {"type": "Refunded"}]', 3);
SELECT position, stream_id, version, event_type FROM es_read_after();

-- Every key of an event is stored; what is left out has the defaults of es_append().
SELECT * FROM es_append_events('order-3', '[
    {"type": "Placed", "data": {"total": 1.50}, "metadata": {"by": "me"}, "schema_version": 4,
     "id": "00000000-0000-0000-0000-00000000000A"},
    {"metadata": {}, "data": [], "type": "Paid"},
    {"type": "Shipped"}]', category => 'special');
SELECT version, category, event_type, data, metadata, schema_version FROM es_read_stream('order-3');
SELECT event_id FROM es_read_stream('order-3', 1, 1);
SELECT count(DISTINCT event_id) AS ids FROM es_read_stream('order-3');

-- Null as data is the JSON null; null for any other key that may be left out leaves it out.
SELECT last_version FROM es_append_events('order-4',
    '[{"type": "Placed", "data": null, "metadata": null, "schema_version": null, "id": null}]');
SELECT data, jsonb_typeof(data), metadata, schema_version, event_id IS NOT NULL AS has_id
FROM es_read_stream('order-4');

-- The expectation is that of the whole call: it is refused whole, and no position is taken.
SELECT es_head_position() AS head \gset
SELECT * FROM es_append_events('order-1', '[{"type": "Closed"}, {"type": "Archived"}]', 4);
\echo :SQLSTATE
SELECT * FROM es_append_events('order-1', '[{"type": "Closed"}, {"type": "Archived"}]', es_no_stream());
\echo :SQLSTATE
SELECT es_stream_version('order-1'), es_head_position() = :head AS no_gap;
-- One bad event refuses the whole call, wherever it stands.
SELECT * FROM es_append_events('order-1', '[{"type": "Closed"}, {"type": "Archived", "colour": "red"}]');
\echo :SQLSTATE
SELECT es_stream_version('order-1'), es_head_position() = :head AS no_gap;

-- Without events the current version comes back, and nothing is written or created.
SELECT * FROM es_append_events('order-1', '[]');
SELECT * FROM es_append_events('order-1', '[]', 5);
SELECT * FROM es_append_events('order-1', '[]', es_stream_exists());
SELECT * FROM es_append_events('order-9', '[]');
SELECT * FROM es_append_events('order-9', '[]', es_no_stream());
-- Without events the expectation is checked all the same.
SELECT * FROM es_append_events('order-1', '[]', 4);
\echo :SQLSTATE
SELECT * FROM es_append_events('order-1', '[]', es_no_stream());
\echo :SQLSTATE
SELECT * FROM es_append_events('order-9', '[]', es_stream_exists());
\echo :SQLSTATE
SELECT * FROM es_append_events('order-9', '[]', 0);
\echo :SQLSTATE
SELECT es_head_position() = :head AS nothing_written, count(*) FILTER (WHERE stream_id = 'order-9') AS streams_created
FROM es_streams;

-- 1,200 events in one call have no gap, in the caller's order.
SELECT first_version, last_version, last_position - first_position AS distance, is_duplicate
FROM es_append_events('long-1', (SELECT jsonb_agg(jsonb_build_object('type', 'T', 'data', n) ORDER BY n DESC)
                                 FROM generate_series(1, 1200) AS n), es_no_stream());
SELECT count(*), count(DISTINCT event_id) AS ids, min(version), max(version), max(position) - min(position) AS distance,
       bool_and(data = to_jsonb(1201 - version)) AS in_order
FROM es_read_stream('long-1');
-- 1,200 more go on from there.
SELECT first_version, last_version, last_position - first_position AS distance
FROM es_append_events('long-1', (SELECT jsonb_agg('{"type": "T"}'::jsonb) FROM generate_series(1, 1200)), 1200);
SELECT * FROM es_verify();
