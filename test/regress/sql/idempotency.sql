-- Event ids make a retry safe: the same append over again returns the first one's result and writes nothing; any other
-- use of an id that the log holds is an idempotency conflict (TM003) and writes nothing either.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.events(ids text, types text DEFAULT 'TTTTTTTT', data jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$
    -- One event for each letter of ids: a hexadecimal digit is the last one of its id, a blank stands for no id.
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('type', substr(types, n, 1), 'data', data, 'id',
               CASE WHEN substr(ids, n, 1) <> ' ' THEN '00000000-0000-0000-0000-00000000000' || substr(ids, n, 1) END))
           ORDER BY n)
    FROM generate_series(1, length(ids)) AS n
$$;
CREATE FUNCTION pg_temp.attempt(stream text, events jsonb, expected_version bigint DEFAULT -2) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result record;
    message text;
    written bigint := (SELECT count(*) FROM es_events);
BEGIN
    BEGIN
        SELECT * INTO result FROM es_append_events(stream, events, expected_version);
        message := format('versions %s-%s, positions %s-%s, duplicate %s', result.first_version, result.last_version,
                          result.first_position, result.last_position, result.is_duplicate);
    EXCEPTION WHEN OTHERS THEN
        message := SQLSTATE || ' ' || SQLERRM;
    END;
    RETURN message || format(', %s written', (SELECT count(*) FROM es_events) - written);
END
$$;

-- Three appends, with no stream, an exact version and any expectation, while another stream grows between them.
SELECT pg_temp.attempt('order-1', pg_temp.events('ab'), es_no_stream());
SELECT pg_temp.attempt('order-2', pg_temp.events('0'));
SELECT pg_temp.attempt('order-1', pg_temp.events('c'), 2);
SELECT pg_temp.attempt('order-2', pg_temp.events('1'));
SELECT pg_temp.attempt('order-1', pg_temp.events('de'));
SELECT pg_temp.attempt('order-1', pg_temp.events('f'), es_stream_exists());

-- Each of them over again returns its first result, though the stream has moved on since.
SELECT pg_temp.attempt('order-1', pg_temp.events('ab'), es_no_stream());
SELECT pg_temp.attempt('order-1', pg_temp.events('c'), 2);
SELECT pg_temp.attempt('order-1', pg_temp.events('de'));
SELECT pg_temp.attempt('order-1', pg_temp.events('f'), es_stream_exists());
-- And again, through es_append().
SELECT * FROM es_append('order-1', 'T', expected_version => 2, event_id => '00000000-0000-0000-0000-00000000000c');
-- Metadata is not compared, and what is stored stays.
SELECT * FROM es_append('order-1', 'T', '{}', '{"attempt": 2}', 2, '00000000-0000-0000-0000-00000000000c');
SELECT metadata FROM es_read_stream('order-1', 3, 1);
-- Data is compared as JSON, whatever its spelling.
SELECT pg_temp.attempt('order-3', pg_temp.events('2', data => '{"a": 1, "b": 2}'), es_no_stream());
SELECT pg_temp.attempt('order-3', pg_temp.events('2', data => '{"b":2.0,"a":1}'), es_no_stream());

-- Another exact version is a conflict, be it too low or too high.
SELECT pg_temp.attempt('order-1', pg_temp.events('c'), 1);
SELECT pg_temp.attempt('order-1', pg_temp.events('c'), 3);
SELECT pg_temp.attempt('order-1', pg_temp.events('c'), 6);
-- No stream, for an append that was not the stream's first.
SELECT pg_temp.attempt('order-1', pg_temp.events('c'), es_no_stream());
-- Another stream, whatever it expects.
SELECT pg_temp.attempt('order-2', pg_temp.events('c'));
SELECT pg_temp.attempt('order-9', pg_temp.events('c'));
SELECT pg_temp.attempt('order-9', pg_temp.events('ab'), es_no_stream());
SELECT pg_temp.attempt('order-2', pg_temp.events('c'), 2);
-- Another order.
SELECT pg_temp.attempt('order-1', pg_temp.events('ba'), es_no_stream());
-- A partial overlap: with a new event at the end, at the beginning, in the middle.
SELECT pg_temp.attempt('order-1', pg_temp.events('ab9'), es_no_stream());
SELECT pg_temp.attempt('order-1', pg_temp.events('9f'));
SELECT pg_temp.attempt('order-1', pg_temp.events('9f'), 6);
SELECT pg_temp.attempt('order-1', pg_temp.events('a9b'));
-- Events of two streams.
SELECT pg_temp.attempt('order-1', pg_temp.events('b0'), 1);
-- Events of one stream that were not appended together: order-2 grew between them.
SELECT pg_temp.attempt('order-1', pg_temp.events('bc'), 1);
SELECT pg_temp.attempt('order-1', pg_temp.events('abcdef'), es_no_stream());
-- Some ids missing: whether the event is the same cannot be told.
SELECT pg_temp.attempt('order-1', pg_temp.events('a '), es_no_stream());
SELECT pg_temp.attempt('order-1', pg_temp.events(' b'), es_no_stream());
SELECT pg_temp.attempt('order-1', pg_temp.events(' e'));
SELECT pg_temp.attempt('order-1', pg_temp.events(' f'), 6);
-- Another type.
SELECT pg_temp.attempt('order-1', pg_temp.events('ab', 'TU'), es_no_stream());
-- Other data.
SELECT pg_temp.attempt('order-1', pg_temp.events('ab', data => '{"a": 1}'), es_no_stream());
-- Another schema version.
SELECT pg_temp.attempt('order-1', jsonb_set(pg_temp.events('c'), '{0,schema_version}', '2'), 2);
-- One id twice in a call, new or not.
SELECT pg_temp.attempt('order-1', pg_temp.events('99'));
SELECT pg_temp.attempt('order-9', pg_temp.events('99'), es_no_stream());
SELECT pg_temp.attempt('order-1', pg_temp.events('aa'), es_no_stream());

-- The conflict names the event and where the log holds it.
SELECT * FROM es_append('order-2', 'T', event_id => '00000000-0000-0000-0000-00000000000c');
\echo :SQLSTATE
-- New ids at a stale version are no idempotency conflict.
SELECT pg_temp.attempt('order-1', pg_temp.events('9'), 2);
-- The same events with other ids are other events.
SELECT last_version, is_duplicate FROM es_append_events('order-4', pg_temp.events('34'), es_no_stream());
SELECT last_version, is_duplicate FROM es_append_events('order-4', pg_temp.events('56'), 2);

-- Inside one transaction a retry finds its own first attempt; one that was rolled back is appended anew.
BEGIN;
SELECT last_version, is_duplicate FROM es_append_events('order-5', pg_temp.events('7'), es_no_stream());
SELECT last_version, is_duplicate FROM es_append_events('order-5', pg_temp.events('7'), es_no_stream());
SAVEPOINT first;
SELECT last_version, is_duplicate FROM es_append_events('order-5', pg_temp.events('8'), 1);
ROLLBACK TO first;
SELECT last_version, is_duplicate FROM es_append_events('order-5', pg_temp.events('8'), 1);
COMMIT;
SELECT last_version, is_duplicate FROM es_append_events('order-5', pg_temp.events('8'), 1);

-- A role that may append and nothing else gets the same error as anybody.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_tidemark_appender;
CREATE ROLE regress_tidemark_appender;
RESET client_min_messages;
GRANT EXECUTE ON FUNCTION es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer) TO regress_tidemark_appender;
SET ROLE regress_tidemark_appender;
SELECT es_append('order-5', 'T', expected_version => 2, event_id => '00000000-0000-0000-0000-00000000000a');
\echo :SQLSTATE
RESET ROLE;
-- A violation of another table's constraint is not taken for one of the log's, whatever its name.
CREATE SCHEMA other CREATE TABLE u (x integer CONSTRAINT es_events_event_id_key UNIQUE);
CREATE FUNCTION other.note() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO other.u VALUES (1); RETURN NULL; END';
CREATE TRIGGER note AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION other.note();
SELECT last_version FROM es_append('order-6', 'T');
SELECT es_append('order-6', 'T');
\echo :SQLSTATE
DROP TRIGGER note ON es_events;

-- Every id is in the log once.
SELECT stream_id, string_agg(right(event_id::text, 1), ' ' ORDER BY version) AS ids
FROM es_events WHERE stream_id < 'order-6' GROUP BY stream_id ORDER BY stream_id;
SELECT * FROM es_verify();

SET client_min_messages = warning;
DROP OWNED BY regress_tidemark_appender;
DROP ROLE regress_tidemark_appender;
DROP SCHEMA other CASCADE;
