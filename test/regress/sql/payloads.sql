-- What an event can carry: any JSON that jsonb can hold, up to tens of megabytes, exactly as jsonb keeps it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.round_trip(document jsonb, OUT data boolean, OUT metadata boolean, OUT in_array boolean)
LANGUAGE plpgsql AS $$
DECLARE
    one es_events;
    other es_events;
BEGIN
    PERFORM es_append('document', 'One', document, jsonb_build_object('copy', document));
    PERFORM es_append_events('document', jsonb_build_array(jsonb_build_object('type', 'Other', 'data', document)));
    SELECT * INTO other FROM es_read_stream('document', max_count => 1, backward => true);
    SELECT * INTO one FROM es_read_stream('document', other.version - 1, 1);
    -- As text: numbers that are equal can be spelled in several ways, and the spelling is kept as well.
    data := one.data::text = document::text;
    metadata := (one.metadata -> 'copy')::text = document::text;
    in_array := other.data::text = document::text;
END
$$;

-- Unicode comes back as it went in: beyond ASCII, beyond the basic plane, combining, right to left, controls, as keys.
SELECT * FROM pg_temp.round_trip('{"é": "Straße", "emoji": "😀 👩‍👩‍👧", "한글": "漢字", "שלום": "مرحبا", "": ""}');
SELECT * FROM pg_temp.round_trip('{"escaped": "\u00e9\ud83d\ude00\u0001\b\f\n\r\t\"\\\/", "\u0007": "\u2028\uffff"}');
SELECT last_version FROM es_append('unicode', 'T', '["\ud83d\ude00", "e\u0301", "\u00e9"]');
SELECT data ->> 0 = '😀' AS astral, data ->> 1 = data ->> 2 AS normalised, length(data ->> 1)
FROM es_read_stream('unicode');

-- Numbers keep every digit, far beyond what a double holds.
SELECT * FROM pg_temp.round_trip('[1234567890123456789012345678901234567890, 0.1234567890123456789012345678901234567890,
                                   1e400, 1e-400, -0.0, 1.10, 9007199254740993, 1E+2]');
SELECT last_version FROM es_append('numbers', 'T', '[1234567890123456789012345678901234567890, 1.10, 1e3]');
SELECT data, (data ->> 0)::numeric + 1 AS next FROM es_read_stream('numbers');

-- Data can be any JSON value, not only an object; the JSON null is a value.
SELECT value, result.*
FROM unnest(ARRAY['null', 'true', '0', '"text"', '""', '[]', '{}', '[null, [], {}]']::jsonb[]) AS value,
     pg_temp.round_trip(value) AS result;
-- Metadata is an object; null leaves it out.
SELECT last_version FROM es_append('metadata', 'T', 'null', NULL);
SELECT data, metadata FROM es_read_stream('metadata');

-- Of a key that is there twice the last one is kept, as jsonb does, and its own order of keys.
SELECT last_version FROM es_append('keys', 'T', '{"longer": 1, "b": 2, "a": 3, "b": 4}');
SELECT data FROM es_read_stream('keys');
-- Also among the keys of an event.
SELECT last_version FROM es_append_events('keys', '[{"type": "First", "data": 1, "data": 2, "type": "Last"}]');
SELECT event_type, data FROM es_read_stream('keys', 2);

-- A document nested 5,000 levels deep.
SELECT result.* FROM pg_temp.round_trip((repeat('[', 5000) || repeat(']', 5000))::jsonb) AS result;

-- A NUL escape and half a surrogate pair are refused by jsonb itself, and nothing is written.
SELECT count(*) FROM es_events \gset
\set VERBOSITY sqlstate
SELECT es_append('document', 'T', '"\u0000"');
SELECT es_append('document', 'T', '{"\u0000": 1}');
SELECT es_append('document', 'T', '{}', '{"by": "a\u0000b"}');
SELECT es_append_events('document', '[{"type": "T", "data": "\u0000"}]');
SELECT es_append('document', 'T', '"\ud83d"');
\set VERBOSITY default
SELECT count(*) = :count AS nothing_written FROM es_events;
-- A backslash before u0000 is text like any other.
SELECT * FROM pg_temp.round_trip('"\\u0000"');

-- A document of 1 MB, with 25,000 keys, that compresses badly.
SELECT length(document::text) > 1000000 AS big, result.*
FROM (SELECT jsonb_object_agg(n, md5(n::text)) AS document FROM generate_series(1, 25000) AS n) AS _,
     pg_temp.round_trip(document) AS result;
-- 1,000 events of 1 kB in one call.
SELECT last_version FROM es_append_events('many', (
    SELECT jsonb_agg(jsonb_build_object('type', 'T', 'data', repeat(md5(n::text), 32)) ORDER BY n)
    FROM generate_series(1, 1000) AS n));
SELECT count(*), bool_and(data #>> '{}' = repeat(md5(version::text), 32)) AS same FROM es_read_stream('many');
-- Events of all sizes in one call, to several streams: from 2 bytes to 200 kB that do not compress.
CREATE FUNCTION pg_temp.body(n bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(md5((n * 10000 + m)::text), '') FROM generate_series(1, 6250 >> (n % 16)::integer) AS m
$$;
SELECT count(*), sum(last_version) FROM es_append_streams((
    SELECT jsonb_agg(write) FROM (
        SELECT jsonb_build_object('stream', 'mixed-' || s, 'events', jsonb_agg(
                   jsonb_build_object('type', 'T', 'data', coalesce(pg_temp.body(n), '')) ORDER BY n)) AS write
        FROM generate_series(1, 3) AS s, generate_series(1, 150) AS n GROUP BY s) AS _));
SELECT stream_id, count(*), bool_and(data #>> '{}' = coalesce(pg_temp.body(version), '')) AS same,
       max(position) - min(position) AS distance
FROM es_read_after(0, 1000, 'mixed') GROUP BY stream_id ORDER BY stream_id;
-- A document of 50 MB.
SELECT last_version FROM es_append('big', 'T', jsonb_build_object('body', repeat('0123456789', 5000000)));
SELECT length(data ->> 'body'), data ->> 'body' = repeat('0123456789', 5000000) AS same FROM es_read_stream('big');
SELECT data ->> 'body' = repeat('0123456789', 5000000) AS same FROM es_read_after(0, 1, 'big');
SELECT * FROM es_verify();
-- A consumer gets all of them as they are stored.
SELECT es_create_subscription('payloads');
SELECT count(*) = (SELECT count(*) FROM es_events) AS complete,
       bool_and(ROW(e.version, e.recorded_at, e.event_id, e.schema_version, e.stream_id, e.category, e.event_type,
                    e.data, e.metadata, 0, false)
                = ROW(f.version, f.recorded_at, f.event_id, f.schema_version, f.stream_id, f.category, f.event_type,
                      f.data, f.metadata, f.partition, f.redelivered)) AS same
FROM es_fetch('payloads', 'ann', null) AS f JOIN es_events AS e USING (position);
