-- Projections in the appending transaction: what a handler does is committed or undone with the events. What it
-- refuses, and what exactly it is given, have files of their own.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
-- What handlers were called with, in order: the events, as versions of streams; of a batch, together.
CREATE TABLE trace (n serial, handler text, events text);
CREATE FUNCTION one(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trace (handler, events) VALUES ('one', e.stream_id || '/' || e.version) $$;
CREATE FUNCTION two(e es_events) RETURNS void LANGUAGE sql BEGIN ATOMIC
    INSERT INTO trace (handler, events) VALUES ('two', e.stream_id || '/' || e.version);
END;
CREATE FUNCTION batch(events es_events[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    event es_events;
    names text;
BEGIN
    FOREACH event IN ARRAY events LOOP
        names := concat_ws(' ', names, event.stream_id || '/' || event.version);
    END LOOP;
    INSERT INTO trace (handler, events) VALUES ('batch', names);
END
$$;
CREATE VIEW traced AS SELECT handler, events FROM trace ORDER BY n;

-- A projection is made once. What it does is there with the events, before the transaction ends, and goes with them.
SELECT es_create_projection('first', 'one', mode => 'sync');
SELECT es_create_projection('first', 'one', mode => 'sync') AS made,
       es_create_projection('first', 'one(es_events)', mode => 'sync', start => 'end') AS made_again;
BEGIN;
SELECT last_version FROM es_append('a-1', 'T');
SELECT * FROM traced;
ROLLBACK;
SELECT * FROM traced;
BEGIN;
SELECT last_version FROM es_append('a-1', 'T');
SAVEPOINT s;
SELECT last_version FROM es_append('a-1', 'T');
ROLLBACK TO s;
SELECT last_version FROM es_append('b-1', 'T');
COMMIT;
SELECT * FROM traced;
-- A retry projects nothing; nor does a write that only checks.
SELECT is_duplicate FROM es_append('a-1', 'T', event_id => '00000000-0000-4000-8000-000000000001');
SELECT is_duplicate FROM es_append('a-1', 'T', event_id => '00000000-0000-4000-8000-000000000001');
SELECT last_version FROM es_append_events('a-1', '[]');
SELECT last_version FROM es_append_streams('[{"stream": "a-1", "expected": 2}, {"stream": "c-1", "events": []}]');
SELECT string_agg(events, ' ' ORDER BY n) FROM trace;

-- Projections are called in the order of their names, byte by byte, each with all events of the call, in order.
TRUNCATE trace;
SELECT es_create_projection('Z', 'two', mode => 'sync', start => 'end'),
       es_create_projection('é', 'batch', mode => 'sync', start => 'end'),
       es_create_projection('g', 'two', mode => 'sync', start => 'end');
SELECT last_version FROM es_append_streams('[{"stream": "o-1", "events": [{"type": "A"}, {"type": "B"}]},
                                             {"stream": "a-9", "events": [{"type": "C"}]}]');
SELECT * FROM traced;
SELECT es_drop_projection('Z'), es_drop_projection('g'), es_drop_projection('first'), es_drop_projection('first');
TRUNCATE trace;
SELECT last_version FROM es_append('o-1', 'D');
SELECT * FROM traced;
-- A batch handler gets at most 1,000 events at a time.
TRUNCATE trace;
SELECT last_version FROM es_append_events('many', (SELECT jsonb_agg('{"type": "T"}'::jsonb)
                                                   FROM generate_series(1, 2500)));
SELECT cardinality(string_to_array(events, ' ')) AS events, events ~ '^many/(1|1001|2001) ' AS in_order FROM traced;
SELECT es_drop_projection('é');

-- Each gets what its filters let pass.
TRUNCATE trace;
SELECT es_create_projection(name, handler, category, types::text[], prefix, 'sync', 'end')
FROM (VALUES ('1', 'one', 'order', NULL, NULL), ('2', 'two', NULL, '{Paid,Sent}', NULL),
             ('3', 'batch', NULL, NULL, 'order-1'), ('4', 'one', 'order', '{Paid}', 'order-2'))
    AS p (name, handler, category, types, prefix);
SELECT count(*) FROM es_append_streams('[
    {"stream": "order-1", "events": [{"type": "Placed"}, {"type": "Paid"}]},
    {"stream": "stock-1", "events": [{"type": "Sent"}, {"type": "Paid"}]},
    {"stream": "order-2", "events": [{"type": "Paid"}, {"type": "Sent"}]},
    {"stream": "order-12", "category": "other", "events": [{"type": "Placed"}]}]');
SELECT * FROM traced;
SELECT last_version FROM es_append('nothing-1', 'Matches');
SELECT count(*) FROM traced;
SELECT count(es_drop_projection(name)) FROM es_projections;

-- A new one is given the history from where it is to start.
TRUNCATE trace;
SELECT es_create_projection('all', 'batch', 'order', mode => 'sync'),
       es_create_projection('late', 'one', 'order', mode => 'sync',
                            start => (SELECT max(position) - 1 FROM es_read_stream('order-2'))::text);
SELECT * FROM traced;
SELECT name, mode, on_error FROM es_projections ORDER BY name;
SELECT last_version FROM es_append('order-3', 'Placed');
SELECT handler, events FROM trace ORDER BY n DESC LIMIT 2;
-- To wait for one is to wait for the line. What is prepared has been projected.
BEGIN;
SELECT last_version FROM es_append('order-3', 'Prepared');
PREPARE TRANSACTION 'projections';
SELECT last_position FROM es_append('order-4', 'Placed') \gset
SELECT es_wait_for('all', :last_position - 2, '0');
\set VERBOSITY sqlstate
SELECT es_wait_for('all', :last_position, '10 milliseconds');
\set VERBOSITY default
COMMIT PREPARED 'projections';
SELECT es_wait_for('all', :last_position);
SELECT handler, events FROM trace ORDER BY n DESC LIMIT 4;
SELECT count(es_drop_projection(name)) FROM es_projections;
-- Also with what its own transaction has appended before; rolled back, it has never been there.
TRUNCATE trace;
BEGIN;
SELECT last_version FROM es_append('own-1', 'T');
SAVEPOINT s;
SELECT es_create_projection('own', 'one', 'own', mode => 'sync');
SELECT last_version FROM es_append('own-1', 'T');
SELECT * FROM traced;
ROLLBACK TO s;
SELECT last_version FROM es_append('own-1', 'T');
SELECT * FROM traced;
SELECT es_create_projection('own', 'one', 'own', mode => 'sync');
SELECT last_version FROM es_append('own-1', 'T');
SELECT * FROM traced;
ROLLBACK;
SELECT last_version FROM es_append('own-1', 'T');
SELECT * FROM traced;

-- A handler reads its own events and what it did before; an error that it catches does not matter.
CREATE FUNCTION remember(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trace (handler, events)
    VALUES ('remember', format('%s of %s, after %s', e.version, es_stream_version(e.stream_id),
                               (SELECT count(*) FROM trace)));
    BEGIN
        INSERT INTO trace (n) VALUES (1 / 0);
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
END
$$;
TRUNCATE trace;
SELECT es_create_projection('memory', 'remember', 'm', mode => 'sync');
SELECT last_version FROM es_append_events('m-1', '[{"type": "T"}, {"type": "T"}]');
SELECT events FROM traced;
-- It may be replaced.
CREATE OR REPLACE FUNCTION remember(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO shop.trace (handler, events) VALUES ('new', e.stream_id) $$;
SELECT last_version FROM es_append('m-1', 'T');
SELECT handler FROM traced;
SELECT es_drop_projection('memory');

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
