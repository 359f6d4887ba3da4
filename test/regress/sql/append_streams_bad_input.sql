-- Bad writes are refused with a clear error that names their place, of SQLSTATE 22023 unless PostgreSQL itself refuses
-- them first, and change nothing: no event is written, no position taken. Likewise bad lists of streams to read.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
CREATE TEMP TABLE attempts (n serial, input text, statement text);
-- Writes that are no array of writes.
INSERT INTO attempts (input)
VALUES
    (NULL), ('{}'), ('{"stream": "s"}'), ('null'), ('5'), ('"s"'), ('[1]'), ('[null]'), ('["s"]'), ('[[]]'), ('[{}]'),
    -- Keys that are missing, unknown, or of another type.
    ('[{"events": []}]'), ('[{"stream": null}]'), ('[{"stream": 5}]'), ('[{"stream": ["s"]}]'),
    ('[{"stream": "s", "colour": "red"}]'), ('[{"Stream": "s"}]'), ('[{"stream": "s", "event": []}]'),
    ('[{"stream": "s", "correlation_id": "c"}]'), ('[{"stream": "s", "events": {}}]'),
    ('[{"stream": "s", "events": 1}]'), ('[{"stream": "s", "events": "T"}]'),
    ('[{"stream": "s", "events": {"type": "T"}}]'),
    ('[{"stream": "s", "category": 5}]'), ('[{"stream": "s", "category": {}}]'),
    -- Names that are none.
    ('[{"stream": ""}]'), ('[{"stream": " "}]'), ('[{"stream": "s "}]'), ('[{"stream": "a\tb"}]'),
    ('[{"stream": "s", "category": ""}]'), ('[{"stream": "s", "category": " c"}]'),
    -- Expectations that mean nothing.
    ('[{"stream": "s", "expected": "Any"}]'), ('[{"stream": "s", "expected": "no_stream"}]'),
    ('[{"stream": "s", "expected": ""}]'), ('[{"stream": "s", "expected": "1"}]'),
    ('[{"stream": "s", "expected": 1.5}]'), ('[{"stream": "s", "expected": -3}]'),
    ('[{"stream": "s", "expected": -5}]'),
    ('[{"stream": "s", "expected": 9223372036854775808}]'), ('[{"stream": "s", "expected": -9223372036854775809}]'),
    ('[{"stream": "s", "expected": 1e400}]'), ('[{"stream": "s", "expected": true}]'),
    ('[{"stream": "s", "expected": [1]}]'), ('[{"stream": "s", "expected": {}}]'),
    -- The same stream twice, be it to be checked, written to, or both.
    ('[{"stream": "s"}, {"stream": "t"}, {"stream": "s"}]'),
    ('[{"stream": "s", "events": [{"type": "T"}]}, {"stream": "s", "events": [{"type": "T"}]}]'),
    ('[{"stream": "s", "events": [{"type": "T"}]}, {"stream": "s"}]'),
    -- A good write before a bad one, and an expectation that fails before what is bad.
    ('[{"stream": "s", "events": [{"type": "T"}]}, 3]'),
    ('[{"stream": "s", "expected": 7}, {"stream": "t", "expected": -3}]'),
    -- Bad events; more of them are in bad_input.sql.
    ('[{"stream": "s", "events": [3]}]'), ('[{"stream": "s", "events": [{"type": "T"}, {"data": 1}]}]'),
    ('[{"stream": "r"}, {"stream": "s", "events": [{"type": "T"}, {"type": "T", "id": "x"}]}]'),
    ('[{"stream": "s", "events": [{"type": "T", "metadata": []}]}]'),
    ('[{"stream": "s", "events": [{"type": "T", "schema_version": 0}]}]'),
    -- Another category than the stream's.
    ('[{"stream": "s", "events": [{"type": "T"}]}, {"stream": "order-1", "category": "invoice"}]'),
    ('[{"stream": "s"}, {"stream": "order-1", "category": "invoice", "events": [{"type": "T"}]}]'),
    -- No JSON, or JSON that PostgreSQL cannot store: its own errors.
    ('[{"stream": "s"}'), ('[{"stream": "s\u0000"}]'),
    ('[{"stream": "s", "events": [{"type": "T", "data": "\u0000"}]}]');
UPDATE attempts SET statement = format('es_append_streams(%L)', input);
INSERT INTO attempts (input, statement)
SELECT coalesce(id, 'null'), format('es_append_streams(''[{"stream": "s", "events": [{"type": "T"}]}]'', %L)', id)
FROM unnest(ARRAY['', ' ', ' c', 'c ', E'a\tb', repeat('é', 256)]) AS id;
-- Lists of streams to read.
INSERT INTO attempts (input, statement)
SELECT coalesce(ids::text, 'null'), format('es_read_streams(%L)', ids)
FROM unnest(ARRAY[NULL, '{NULL}', '{order-1,NULL}', '{""}', '{order-1," "}', '{" order-1"}', E'{"a\tb"}']) AS ids;

SELECT last_version FROM es_append('order-1', 'Placed');
CREATE TEMP TABLE refusals AS SELECT n, input, a.* FROM attempts, pg_temp.attempt('SELECT ' || statement) AS a;

-- Each of them is refused, and the detail says where and why.
\pset format unaligned
\pset tuples_only
SELECT input, state, message, detail FROM refusals ORDER BY n;
\pset tuples_only
\pset format aligned
-- Each refusal of ours is short, lower case, without full stop, and has a sentence of detail and a hint.
SELECT DISTINCT message, detail, hint FROM refusals
WHERE state = '22023' AND (message !~ '^[a-z].{0,60}[^.]$' OR detail !~ '^(writes\[\d+\]|[A-Z]).*\.$'
                           OR hint !~ '^[A-Z].*\.$' OR coalesce(detail, '') = '' OR coalesce(hint, '') = '')
ORDER BY 1, 2;
-- A bad write or event is named by its place, after hundreds of good ones too.
SELECT bad, detail
FROM (SELECT jsonb_agg(jsonb_build_object('stream', 'good-' || n)) FROM generate_series(1, 300) AS n) AS _ (good),
     unnest(ARRAY['3', '{}', '{"stream": "good-1"}', '{"stream": " "}', '{"stream": "s", "x": 1}',
                  '{"stream": "s", "expected": -3}', '{"stream": "s", "events": [7]}',
                  '{"stream": "s", "category": " "}']::jsonb[]) AS bad,
     pg_temp.attempt(format('SELECT es_append_streams(%L)', good || bad));
-- Whoever may not write may not check either: in a read-only transaction, and without the right.
BEGIN READ ONLY;
SELECT * FROM es_append_streams('[{"stream": "order-1", "events": [{"type": "T"}]}]');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM es_append_streams('[{"stream": "order-1"}]');
\echo :SQLSTATE
ROLLBACK;
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_tidemark_reader, regress_tidemark_writer;
CREATE ROLE regress_tidemark_reader IN ROLE tidemark_reader;
CREATE ROLE regress_tidemark_writer IN ROLE tidemark_writer;
RESET client_min_messages;
SET ROLE regress_tidemark_reader;
SELECT count(*) FROM es_read_streams('{order-1}');
SELECT * FROM es_append_streams('[{"stream": "order-1"}]');
\echo :SQLSTATE
SET ROLE regress_tidemark_writer;
SELECT count(*) FROM es_read_streams('{order-1}');
SELECT last_version FROM es_append_streams('[{"stream": "order-1"}]');
RESET ROLE;
DROP ROLE regress_tidemark_reader, regress_tidemark_writer;
-- Nothing has been written, and no position taken.
SELECT count(*), max(position), es_head_position() FROM es_events;
SELECT * FROM es_verify();

-- What is just within the limits is accepted.
SELECT length(stream_id), octet_length(stream_id), first_version
FROM es_append_streams(jsonb_build_array(jsonb_build_object('stream', repeat('é😀x', 85), 'category', repeat('é', 255),
                           'events', jsonb_build_array(jsonb_build_object('type', repeat('T', 255))))),
                       repeat('c', 255));
SELECT length(metadata ->> 'correlation_id') FROM es_read_streams(ARRAY[repeat('é😀x', 85)]);
SELECT stream_id, last_version FROM es_append_streams('[{"stream": "Straße 1 / \"A\" \\ {b} %_''", "expected": -1e0}]');
