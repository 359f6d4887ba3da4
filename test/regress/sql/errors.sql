-- The errors that programs depend on: their SQLSTATEs, and the DETAIL of TM001, which is a JSON array.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
SELECT last_version FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}, {"type": "C"}]');

-- Expected versions are numbers, and have names.
SELECT es_any(), es_no_stream(), es_stream_exists();
-- TM001: expected is a number, "no stream" or "stream exists"; actual is a number or "no stream".
SELECT call, state, message, detail
FROM unnest(ARRAY['es_append(''order-1'', ''D'', expected_version => 2)',
                  'es_append(''order-1'', ''D'', expected_version => es_no_stream())',
                  'es_append(''order-2'', ''D'', expected_version => 2)',
                  'es_append(''order-2'', ''D'', expected_version => es_stream_exists())',
                  'es_append(''order-2'', ''D'', expected_version => 0)',
                  'es_append_events(''order-1'', ''[{"type": "D"}]'', 9223372036854775807)',
                  'es_append_events(''order-1'', ''[]'', 7)']) AS call,
     pg_temp.attempt('SELECT ' || call);
-- The types within the JSON are those.
SELECT entry ->> 'stream' AS stream, jsonb_typeof(entry -> 'expected') AS expected,
       jsonb_typeof(entry -> 'actual') AS actual,
       (SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(entry) AS key) AS keys
FROM (VALUES ('order-1', '2'), ('order-1', 'es_no_stream()'), ('order-2', '2'), ('order-2', 'es_stream_exists()'))
         AS v (stream, expected),
     pg_temp.attempt(format('SELECT es_append(%L, ''D'', expected_version => %s)', stream, v.expected)) AS attempt,
     jsonb_array_elements(attempt.detail::jsonb) AS entry;
-- It is valid JSON whatever the stream is called.
SELECT attempt.detail, attempt.detail::jsonb -> 0 ->> 'stream' = stream AS same
FROM unnest(ARRAY['"', '\', '"quoted" \back\\slash/ ''single''', 'Straße 😀 é', '{"a": [1]}', '%s %I $1 {0}'])
         AS stream,
     pg_temp.attempt(format('SELECT es_append(%L, ''T'', expected_version => 1)', stream)) AS attempt;
SELECT octet_length(repeat('"', 255)), length(attempt.detail::jsonb -> 0 ->> 'stream')
FROM pg_temp.attempt(format('SELECT es_append(%L, ''T'', expected_version => 1)', repeat('"', 255))) AS attempt;
-- Every hint says what to do next.
SELECT expected, hint
FROM unnest(ARRAY[2, 0, -1]) AS expected,
     pg_temp.attempt(format('SELECT es_append(''order-1'', ''D'', expected_version => %s)', expected));

-- A program can catch it by its SQLSTATE and go on.
DO $$
DECLARE
    failures jsonb;
    text text;
BEGIN
    PERFORM es_append('order-1', 'D', expected_version => 1);
EXCEPTION WHEN SQLSTATE 'TM001' THEN
    GET STACKED DIAGNOSTICS text = PG_EXCEPTION_DETAIL;
    failures := text;
    PERFORM es_append('order-1', 'D', expected_version => (failures -> 0 ->> 'actual')::bigint);
END
$$;
SELECT version, event_type FROM es_read_stream('order-1', 3);

-- TM003: an event id that the log holds already.
SELECT last_version FROM es_append('order-1', 'E', event_id => '00000000-0000-0000-0000-00000000000a');
SELECT state, message
FROM pg_temp.attempt($$SELECT es_append('"order" 9', 'E', event_id => '00000000-0000-0000-0000-00000000000a')$$);
-- 22023: a bad argument. 55000: a change by hand. 25006: a read-only transaction.
SELECT state, message FROM pg_temp.attempt($$SELECT es_append('', 'E')$$);
SELECT state, message FROM pg_temp.attempt('DELETE FROM es_events');
BEGIN READ ONLY;
SELECT state, message FROM pg_temp.attempt($$SELECT es_append('order-1', 'F')$$);
ROLLBACK;

-- Thousands of caught errors leave the session and the log as they were.
SELECT state, count(*) FROM generate_series(1, 3000) AS n,
    pg_temp.attempt((ARRAY[$$SELECT es_append('order-1', 'F', expected_version => 1)$$, $$SELECT es_append('', 'F')$$,
                           $$SELECT es_append_events('order-1', '[{"type": "F"}, 3]')$$])[1 + n % 3])
GROUP BY state ORDER BY state;
SELECT last_version FROM es_append('order-1', 'F', expected_version => 5);
SELECT * FROM es_verify();
