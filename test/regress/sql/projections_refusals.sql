-- The error of a handler is the error of the append, with its SQLSTATE and all other fields: so a read model's
-- constraints are rules for events.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
CREATE TABLE trace (n serial, handler text, events text);
CREATE FUNCTION one(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trace (handler, events) VALUES ('one', e.stream_id || '/' || e.version) $$;
CREATE VIEW traced AS SELECT handler, events FROM trace ORDER BY n;

-- The append is refused whole, with what other projections did.
CREATE TABLE account (stream_id text PRIMARY KEY, email text NOT NULL CONSTRAINT email_once UNIQUE);
CREATE FUNCTION register(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO shop.account VALUES (e.stream_id, e.data ->> 'email') $$;
CREATE FUNCTION veto(e es_events) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF e.event_type = 'Vetoed' THEN
        RAISE 'not today' USING ERRCODE = 'SHOP1', DETAIL = 'It rains.', HINT = 'Come tomorrow.', COLUMN = 'a column',
            CONSTRAINT = 'a constraint', DATATYPE = 'a type', TABLE = 'a table', SCHEMA = 'a schema';
    END IF;
END
$$;
CREATE TYPE diagnostics AS (state text, message text, detail text, hint text, schema_name text, table_name text,
                            column_name text, constraint_name text, datatype text, context text);
CREATE FUNCTION attempt(statement text) RETURNS diagnostics LANGUAGE plpgsql AS $$
DECLARE
    d diagnostics;
BEGIN
    EXECUTE statement;
    d.state := 'accepted';
    RETURN d;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d.state = RETURNED_SQLSTATE, d.message = MESSAGE_TEXT, d.detail = PG_EXCEPTION_DETAIL,
        d.hint = PG_EXCEPTION_HINT, d.schema_name = SCHEMA_NAME, d.table_name = TABLE_NAME,
        d.column_name = COLUMN_NAME, d.constraint_name = CONSTRAINT_NAME, d.datatype = PG_DATATYPE_NAME,
        d.context = PG_EXCEPTION_CONTEXT;
    RETURN d;
END
$$;
SELECT es_create_projection('a trace', 'one', 'user', mode => 'sync'),
       es_create_projection('emails', 'register', 'user', '{Registered}', mode => 'sync'),
       es_create_projection('rules', 'veto', 'user', mode => 'sync'),
       es_create_projection('z trace', 'one', 'user', mode => 'sync');
SELECT state FROM attempt($$SELECT es_append('user-1', 'Registered', '{"email": "a"}')$$);
\x
-- A second user with the same address; none at all; an error raised by hand.
SELECT state, message, detail, schema_name, table_name, constraint_name FROM attempt(
    $$SELECT es_append('user-2', 'Registered', '{"email": "a"}')$$);
SELECT state, message, schema_name, table_name, column_name FROM attempt(
    $$SELECT es_append('user-2', 'Registered')$$);
SELECT state, message, detail, hint, schema_name, table_name, column_name, constraint_name, datatype FROM attempt(
    $$SELECT es_append_events('user-2', '[{"type": "Noted"}, {"type": "Vetoed"}]')$$);
\x
-- The context tells which projection it was, and which event.
SELECT context ~ 'rules' AS projection, context ~ 'user-2' AS stream, context ~ '\m2\M' AS version
FROM attempt($$SELECT es_append_events('user-2', '[{"type": "Noted"}, {"type": "Vetoed"}]')$$);
SELECT state FROM attempt($$SELECT es_append('user-2', 'Registered', '{"email": "b"}')$$);
SELECT events FROM traced;
SELECT stream_id, version FROM es_streams WHERE category = 'user' ORDER BY 1;
-- What fails before the handlers runs none of them: not even what outlives a rollback is left.
CREATE SEQUENCE calls;
CREATE FUNCTION count_call(e es_events) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('calls'); END $$;
SELECT count(es_drop_projection(name)) FROM es_projections;
SELECT es_create_projection('calls', 'count_call', mode => 'sync', start => 'end');
ALTER TABLE es_events ADD CONSTRAINT no_nonsense CHECK (event_type <> 'Nonsense');
SELECT state, constraint_name FROM attempt($$SELECT es_append_events('x-1', '[{"type": "T"}, {"type": "Nonsense"}]')$$);
SELECT state FROM attempt($$SELECT es_append('x-1', 'T', expected_version => 1)$$);
SELECT is_called FROM calls;
SELECT state FROM attempt($$SELECT es_append('x-1', 'T')$$);
SELECT last_value FROM calls;
SELECT es_drop_projection('calls');

-- A course of two places: the third enrolment is refused whole, with the student's stream.
CREATE TABLE course (id text PRIMARY KEY, taken integer NOT NULL CONSTRAINT two_places CHECK (taken <= 2));
CREATE FUNCTION take_place(e es_events) RETURNS void LANGUAGE sql AS $$
    INSERT INTO shop.course AS c VALUES (e.stream_id, 1) ON CONFLICT (id) DO UPDATE SET taken = c.taken + 1
$$;
SELECT es_create_projection('places', 'take_place', event_types => '{Enrolled}', stream_prefix => 'course-',
                            mode => 'sync', tables => '{course}');
SELECT student, state, constraint_name
FROM unnest('{ann,bob,cy}'::text[]) AS student, attempt(format($$SELECT es_append_streams('[
    {"stream": "student-%1$s", "expected": "no stream", "events": [{"type": "Enrolled"}]},
    {"stream": "course-1", "events": [{"type": "Enrolled", "data": {"student": "%1$s"}}]}]')$$, student));
SELECT * FROM course;
SELECT stream_id, version FROM es_streams WHERE category IN ('student', 'course') ORDER BY 1;
SELECT es_safe_position() = es_head_position() AS released, count(*) AS problems FROM es_verify();
SELECT count(es_drop_projection(name)) FROM es_projections;

SELECT * FROM es_verify();

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
