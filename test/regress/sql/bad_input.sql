-- Bad input is refused with a clear error, of SQLSTATE 22023 unless PostgreSQL itself refuses it first, and changes
-- nothing: no event is written, no position taken.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
CREATE TEMP TABLE attempts (n serial, statement text);
INSERT INTO attempts (statement)
-- Stream ids: null, empty, blank, with a blank at an end, with control characters, 256 characters long.
SELECT format(statement, stream_id)
FROM unnest(ARRAY['es_append(%s, ''T'')', 'es_append_events(%s, ''[{"type": "T"}]'')', 'es_append_events(%s, ''[]'')',
                  'es_read_stream(%s)', 'es_stream_version(%s)', 'es_lock_stream(%s)']) AS statement,
     unnest(ARRAY['NULL', '''''', ''' ''', ''' s''', '''s ''', 'E''a\tb''', 'E''a\n''', 'E''\u0001''', 'E''a\u007fb''',
                  'E''a\u0085b''', 'repeat(''s'', 256)', 'repeat(''é'', 256)']) AS stream_id
UNION ALL
-- Event types and categories: likewise.
SELECT format(statement, name)
FROM unnest(ARRAY['es_append(''s'', %s)', 'es_append(''s'', ''T'', category => %s)',
                  'es_append_events(''s'', jsonb_build_array(jsonb_build_object(''type'', %s)))']) AS statement,
     unnest(ARRAY['''''', ''' ''', ''' T''', '''T ''', 'E''a\tb''', 'repeat(''T'', 256)']) AS name;
INSERT INTO attempts (statement) VALUES
    ('es_append(''s'', NULL)'),
    -- Expected versions that mean nothing.
    ('es_append(''s'', ''T'', expected_version => NULL)'),
    ('es_append(''s'', ''T'', expected_version => -3)'),
    ('es_append(''s'', ''T'', expected_version => -5)'),
    ('es_append(''s'', ''T'', expected_version => -9223372036854775808)'),
    ('es_append_events(''s'', ''[]'', -3)'),
    ('es_append_events(''s'', ''[]'', NULL)'),
    -- Data that is missing, metadata that is no object, schema versions that are none.
    ('es_append(''s'', ''T'', NULL)'),
    ('es_append(''s'', ''T'', ''{}'', ''[]'')'),
    ('es_append(''s'', ''T'', ''{}'', ''"me"'')'),
    ('es_append(''s'', ''T'', schema_version => NULL)'),
    ('es_append(''s'', ''T'', schema_version => 0)'),
    ('es_append(''s'', ''T'', schema_version => -1)'),
    -- Another category than the stream's, whatever is expected.
    ('es_append(''order-1'', ''T'', category => ''invoice'')'),
    ('es_append(''order-1'', ''T'', category => ''invoice'', expected_version => 1)'),
    ('es_append_events(''order-1'', ''[{"type": "T"}]'', category => ''invoice'')'),
    -- Data that is no JSON, and an id that is no UUID: PostgreSQL's own errors.
    ('es_append(''s'', ''T'', ''{'')'),
    ('es_append(''s'', ''T'', event_id => ''no-uuid'')'),
    ('es_append_events(''s'', ''[{"type": "T"}'')'),
    -- Limits that cannot be.
    ('es_read_stream(''order-1'', max_count => -1)'),
    ('es_read_stream(''order-1'', -1)'),
    ('es_read_after(max_count => -1)'),
    ('es_read_after(-1)'),
    ('es_read_after(NULL)'),
    ('es_read_after(event_types => ''{NULL}'')'),
    ('es_read_after(event_types => ''{T,NULL}'')');
-- Events that are no array of events.
INSERT INTO attempts (statement)
SELECT format('es_append_events(''s'', %L)', events)
FROM unnest(ARRAY[NULL, '{}', '{"type": "T"}', 'null', '5', '"T"', '[1]', '[null]', '["T"]', '[[]]', '[{}]',
                  '[{"type": null}]', '[{"type": 5}]', '[{"type": "T", "colour": "red"}]', '[{"type": "T", "Data": 1}]',
                  '[{"type": "T", "id": "no-uuid"}]', '[{"type": "T", "id": 5}]', '[{"type": "T", "metadata": []}]',
                  '[{"type": "T", "metadata": "me"}]', '[{"type": "T", "schema_version": 0}]',
                  '[{"type": "T", "schema_version": -1}]', '[{"type": "T", "schema_version": 1.5}]',
                  '[{"type": "T", "schema_version": "1"}]', '[{"type": "T", "schema_version": 2147483648}]',
                  '[{"type": "T", "schema_version": 1e1000}]', '[{"type": "T"}, {"type": "T"}, 3]']) AS events;

SELECT last_version FROM es_append('order-1', 'Placed');
CREATE TEMP TABLE refusals AS SELECT n, statement, a.* FROM attempts, pg_temp.attempt('SELECT ' || statement) AS a;

-- Each of them is refused.
\pset format unaligned
SELECT statement, state, message FROM refusals ORDER BY n;
\pset format aligned
-- Each refusal of ours is short, lower case, without full stop, and has a sentence of detail and a hint.
SELECT DISTINCT message, detail, hint FROM refusals
WHERE state = '22023' AND (message !~ '^[a-z].{0,60}[^.]$' OR detail !~ '^[A-Za-z].*\.$' OR hint !~ '^[A-Z].*\.$'
                           OR coalesce(detail, '') = '' OR coalesce(hint, '') = '')
ORDER BY 1, 2;
-- A bad event is named by its place in the array.
SELECT DISTINCT pg_temp.attempt(format('SELECT es_append_events(''s'', ''[{"type": "T"}, %s]'')', event))::text
       ~ 'events\[1\]' AS named
FROM unnest(ARRAY['3', '{}', '{"type": " "}', '{"type": "T", "x": 1}', '{"type": "T", "id": "x"}',
                  '{"type": "T", "metadata": 3}', '{"type": "T", "schema_version": 0}']) AS event;
-- Nothing has been written, and no position taken.
SELECT count(*), max(position), es_head_position() FROM es_events;
SELECT * FROM es_verify();

-- What is just within the limits is accepted: 255 characters, of any length in bytes, blanks and signs inside.
SELECT length(stream_id), octet_length(stream_id)
FROM es_append(repeat('é😀x', 85), repeat('T', 255), category => repeat('é', 255));
SELECT stream_id FROM es_append('Straße 1 / "A" \ {b} %_''', 'a b', category => 'c d');
