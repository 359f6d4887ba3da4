-- Upcasters that cannot be registered, and events that cannot be upcast: each is refused with a clear error.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shapes CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
CREATE SCHEMA shapes;
CREATE FUNCTION shapes.good(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1;
CREATE FUNCTION shapes.other(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1;
CREATE FUNCTION shapes.stable(jsonb) RETURNS jsonb LANGUAGE sql STABLE RETURN $1;
CREATE FUNCTION shapes.volatile(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
CREATE FUNCTION shapes.json(json) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1::jsonb;
CREATE FUNCTION shapes.to_text(jsonb) RETURNS text LANGUAGE sql IMMUTABLE RETURN $1::text;
CREATE FUNCTION shapes.many(jsonb) RETURNS SETOF jsonb LANGUAGE sql IMMUTABLE RETURN $1;
CREATE FUNCTION shapes.two(jsonb, integer DEFAULT 1) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1;
CREATE FUNCTION shapes.both(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1;
CREATE FUNCTION shapes.both(event es_events) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT event.data';
SELECT es_create_upcaster('Chain', 3, 'shapes.good'), es_create_upcaster('Chain', 4, 'shapes.good'),
       es_create_upcaster('Chain', 5, 'shapes.good');

CREATE TEMP TABLE attempts (n serial, statement text);
INSERT INTO attempts (statement)
-- Names of types: null, empty, blank, with a blank at an end, with a control character, 256 characters long.
SELECT format(statement, name)
FROM unnest(ARRAY['es_create_upcaster(%s, 1, ''shapes.good'')', 'es_drop_upcaster(%s, 1)', 'es_upcast(%s, 1, ''{}'')'])
     AS statement,
     unnest(ARRAY['NULL', '''''', ''' ''', ''' t''', '''t ''', 'E''a\tb''', 'repeat(''t'', 256)']) AS name
UNION ALL
-- Schema versions that there cannot be.
SELECT format(statement, version)
FROM unnest(ARRAY['es_create_upcaster(''T'', %s, ''shapes.good'')', 'es_drop_upcaster(''T'', %s)',
                  'es_upcast(''T'', %s, ''{}'')']) AS statement,
     unnest(ARRAY['NULL', '0', '-1']) AS version
UNION ALL VALUES
    ('es_create_upcaster(''T'', 2147483647, ''shapes.good'')'),
    -- Functions that are none, or cannot be an upcaster.
    ('es_create_upcaster(''T'', 1, NULL)'), ('es_create_upcaster(''T'', 1, '''')'),
    ('es_create_upcaster(''T'', 1, ''good'')'), ('es_create_upcaster(''T'', 1, ''shapes.none'')'),
    ('es_create_upcaster(''T'', 1, ''nowhere.good'')'), ('es_create_upcaster(''T'', 1, ''shapes.good(json)'')'),
    ('es_create_upcaster(''T'', 1, ''shapes.good(es_events)'')'), ('es_create_upcaster(''T'', 1, ''a.b.c.d'')'),
    ('es_create_upcaster(''T'', 1, ''shapes.json'')'), ('es_create_upcaster(''T'', 1, ''shapes.json(json)'')'),
    ('es_create_upcaster(''T'', 1, ''shapes.to_text'')'), ('es_create_upcaster(''T'', 1, ''shapes.many'')'),
    ('es_create_upcaster(''T'', 1, ''shapes.two'')'), ('es_create_upcaster(''T'', 1, ''jsonb_agg'')'),
    ('es_create_upcaster(''T'', 1, ''shapes.both'')'),
    ('es_create_upcaster(''T'', 1, ''shapes.stable'')'), ('es_create_upcaster(''T'', 1, ''shapes.volatile'')'),
    -- Holes in a chain; another function than is registered; one in the midst.
    ('es_create_upcaster(''Chain'', 1, ''shapes.good'')'), ('es_create_upcaster(''Chain'', 7, ''shapes.good'')'),
    ('es_create_upcaster(''Chain'', 4, ''shapes.other'')'), ('es_drop_upcaster(''Chain'', 4)'),
    -- Data and examples that are none.
    ('es_upcast(''T'', 1, NULL)'),
    ('es_check_upcasters(NULL)'), ('es_check_upcasters(''{}'')'), ('es_check_upcasters(''[1]'')'),
    ('es_check_upcasters(''[{"type": "T", "data": {}}]'')'),
    ('es_check_upcasters(''[{"type": "T", "expected": {}}]'')'),
    ('es_check_upcasters(''[{"data": {}, "expected": {}}]'')'),
    ('es_check_upcasters(''[{"type": null, "data": {}, "expected": {}}]'')'),
    ('es_check_upcasters(''[{"type": "T", "data": 1, "expected": 1}, {"type": "", "data": {}, "expected": {}}]'')'),
    ('es_check_upcasters(''[{"type": "T", "data": {}, "expected": {}, "note": ""}]'')'),
    ('es_check_upcasters(''[{"type": "T", "schema_version": 0, "data": {}, "expected": {}}]'')'),
    ('es_check_upcasters(''[{"type": "T", "schema_version": 1.5, "data": {}, "expected": {}}]'')'),
    ('es_check_upcasters(''[{"type": "T", "schema_version": "one", "data": {}, "expected": {}}]'')');
SELECT string_agg(u::text, ';' ORDER BY u::text) AS before FROM es_upcasters AS u \gset
CREATE TEMP TABLE refusals AS SELECT n, statement, a.* FROM attempts, pg_temp.attempt('SELECT ' || statement) AS a;
\pset format unaligned
SELECT statement, state, message, detail FROM refusals ORDER BY n;
-- Each refusal of ours is short, lower case, without full stop, and has a sentence of detail and a hint.
SELECT DISTINCT state, message, detail, hint FROM refusals
WHERE state ~ '^(TM|22023|42710|42P17|42883|42725)'
  AND (message !~ '^[a-z].{0,60}[^.]$' OR detail !~ '^[A-Za-z].*\.$' OR hint !~ '^[A-Z].*\.$'
       OR coalesce(detail, '') = '' OR coalesce(hint, '') = '') ORDER BY 1, 2, 3;
SELECT string_agg(u::text, ';' ORDER BY u::text) = :'before' AS as_it_was FROM es_upcasters AS u;
BEGIN READ ONLY;
SELECT state, message FROM pg_temp.attempt($$SELECT es_create_upcaster('T', 1, 'shapes.good')$$);
SELECT state, message FROM pg_temp.attempt($$SELECT es_drop_upcaster('Chain', 5)$$);
ROLLBACK;
-- With its argument's type each of two functions of a name can be meant; so can the greatest schema version.
SELECT es_create_upcaster('T', 2147483645, 'shapes.both(es_events)'),
       es_create_upcaster('T', 2147483646, 'shapes.both(jsonb)');
SELECT * FROM es_upcast('T', 2147483645, '1');
SELECT * FROM es_upcast('T', 2147483647, '1');

-- An event that cannot be upcast stops whoever reads it: TM007, with the event, the upcaster, and why.
CREATE FUNCTION shapes.fails(jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN to_jsonb(1 / ($1 ->> 'by')::integer); END $$;
CREATE FUNCTION shapes.gives_null(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN NULL::jsonb;
SELECT es_create_upcaster('Fails', 1, 'shapes.good'), es_create_upcaster('Fails', 2, 'shapes.fails'),
       es_create_upcaster('Null', 1, 'shapes.gives_null'), es_create_upcaster('Dropped', 1, 'shapes.other'),
       es_create_subscription('failing');
SELECT last_version FROM es_append_events('a-1', '[{"type": "Fails", "data": {"by": 1}},
    {"type": "Fails", "data": {"by": 0}}, {"type": "Null"}, {"type": "Dropped"}, {"type": "Chain"},
    {"type": "Chain", "schema_version": 2}]');
CREATE FUNCTION pg_temp.read(at bigint) RETURNS TABLE (state text, message text, detail text) LANGUAGE sql AS
    $$ SELECT state, message, detail FROM pg_temp.attempt('SELECT es_read_stream(''a-1'', ' || at || ', 1)') $$;
SELECT state, message, detail, hint FROM pg_temp.attempt('SELECT es_read_stream(''a-1'')');
SELECT version, schema_version, data FROM es_read_stream('a-1', max_count => 1);
SELECT a.* FROM generate_series(3, 6) AS at, pg_temp.read(at) AS a;
SELECT left(statement, 16) AS statement, state, detail
FROM unnest(ARRAY['es_read_streams(''{a-1}'')', 'es_read_after(1)', 'es_fetch(''failing'', ''ann'')',
                  'es_load(''a-1'')', 'es_upcast(''Null'', 1, ''{}'')']) AS statement,
    pg_temp.attempt('SELECT ' || statement);
-- A consumer gets what comes before it, and can set it aside without having had it.
SELECT position FROM es_fetch('failing', 'ann', 1);
SELECT es_park('failing', 2, fence) > fence AS parked FROM es_claim('failing', 'ann');
SELECT position, event_type, held FROM es_parked('failing');
SELECT count(*) FROM es_fetch('failing', 'ann');
-- Whoever asks for events as they are stored has them.
SET tidemark.upcast = off;
SELECT count(*) FROM es_read_stream('a-1');
RESET tidemark.upcast;
-- Filters pass over them.
SELECT count(*) FROM es_read_after(0, event_types => '{Other}');
-- A function that is dropped, made anew as another kind of function, or as before.
DROP FUNCTION shapes.other;
SELECT * FROM pg_temp.read(4);
CREATE FUNCTION shapes.other(jsonb) RETURNS integer LANGUAGE sql IMMUTABLE RETURN 1;
SELECT * FROM pg_temp.read(4);
DROP FUNCTION shapes.other;
CREATE FUNCTION shapes.other(jsonb) RETURNS jsonb LANGUAGE sql RETURN '"anew"'::jsonb;
SELECT * FROM pg_temp.read(4);
ALTER FUNCTION shapes.other IMMUTABLE;
SELECT data FROM es_read_stream('a-1', 4, 1);
ALTER SCHEMA shapes RENAME TO forms;
SELECT * FROM pg_temp.read(4);
ALTER SCHEMA forms RENAME TO shapes;
SELECT data FROM es_read_stream('a-1', 4, 1);
-- A hole that somebody has made by hand.
BEGIN;
DELETE FROM es_upcasters WHERE event_type = 'Chain' AND from_schema_version = 4;
SELECT detail FROM pg_temp.attempt($$SELECT es_upcast('Chain', 3, '{}')$$);
ROLLBACK;
-- Cancelled is cancelled; and a handler of errors can go on.
CREATE FUNCTION shapes.sleeps(jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(60); END $$;
SELECT es_create_upcaster('Sleeps', 1, 'shapes.sleeps');
SET statement_timeout = 100;
\set SHOW_CONTEXT never
SELECT state, message FROM pg_temp.attempt($$SELECT es_upcast('Sleeps', 1, '{}')$$);
SELECT es_upcast('Sleeps', 1, '{}');
\echo :SQLSTATE
RESET statement_timeout;
SELECT data FROM es_upcast('Fails', 2, '{"by": 1}');

SET client_min_messages = warning;
DROP SCHEMA shapes CASCADE;
