-- The events that every system has before it is measured, in the order of the log: 10,000 streams in 20 categories that
-- grow 10 events at a time, one in `long` of them to 100, the others no further than that. Ids are in order, as
-- es_append makes them.
CREATE TEMPORARY VIEW load AS
SELECT chunk, stream, chunk * 10 + n AS version,
       lpad((chunk * 100000 + stream * 10 + n)::text, 32, '0')::uuid AS event_id,
       'category' || stream / 500 || '-' || stream AS stream_id, 'category' || stream / 500 AS category,
       'OrderPlaced' AS event_type, :'data'::jsonb AS data, :'metadata'::jsonb AS metadata
FROM generate_series(0, 9) AS chunk, generate_series(0, 9999) AS stream, generate_series(1, 10) AS n
WHERE chunk = 0 OR stream % :long = 0
ORDER BY chunk, stream, n;
