-- A handler gets the event exactly as it is stored: with what defaults, triggers and columns of users add, of any size.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
CREATE TABLE seen (position bigint, event text, event_of_batch text, metadata jsonb);
CREATE FUNCTION see(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO shop.seen VALUES (e.position, e::text, NULL, e.metadata) $$;
CREATE FUNCTION see_batch(events es_events[]) RETURNS void LANGUAGE sql AS
$$ UPDATE shop.seen SET event_of_batch = e::text FROM unnest(events) AS e WHERE e.position = seen.position $$;
-- Whether each was given the last events as they are in the log.
PREPARE compare(integer) AS
SELECT event_type, length(data::text) AS bytes, metadata, event = e::text AS one, event_of_batch = e::text AS of_batch
FROM es_events AS e LEFT JOIN seen USING (position, metadata) ORDER BY position DESC LIMIT $1;

SELECT es_create_projection('1', 'see', mode => 'sync'), es_create_projection('2', 'see_batch', mode => 'sync');
SELECT last_version FROM es_append('e-1', 'Plain', '{"b": [1, "é", null], "a": 1.50}', '{"user": "ann"}');
EXECUTE compare(1);
-- What a trigger changes, the type that a filter goes by too.
CREATE FUNCTION note_type(e es_events) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE 'it is %', e.event_type; END $$;
CREATE FUNCTION sign() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    NEW.metadata := NEW.metadata || '{"signed": true}';
    IF NEW.event_type = 'Unsigned' THEN NEW.event_type := 'Signed'; END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER signed BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION sign();
SELECT es_create_projection('unsigned', 'note_type', event_types => '{Unsigned}', mode => 'sync'),
       es_create_projection('signed', 'note_type', event_types => '{Signed}', mode => 'sync');
SELECT last_version FROM es_append('e-1', 'Unsigned');
EXECUTE compare(1);
SELECT es_drop_projection('unsigned'), es_drop_projection('signed');
-- Columns that come and go; a session that has called the handlers goes on with them.
ALTER TABLE es_events ADD tenant text NOT NULL DEFAULT 'acme',
    ADD size integer GENERATED ALWAYS AS (length(data::text)) STORED;
SELECT last_version FROM es_append('e-1', 'Wide', '1', schema_version => 3);
EXECUTE compare(1);
ALTER TABLE es_events DROP tenant, ADD later text DEFAULT 'later';
SELECT last_version FROM es_append('e-1', 'Dropped', 'null');
EXECUTE compare(1);
CREATE FUNCTION see_columns(e es_events) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE 'size %, later %', e.size, e.later; END $$;
SELECT es_create_projection('3', 'see_columns', mode => 'sync', start => 'end');
SELECT last_version FROM es_append('e-1', 'Columns', '[1, 2]');
SELECT es_drop_projection('3');
-- A megabyte, compressed and not, alone and beside others.
SELECT last_version FROM es_append('e-1', 'Large', to_jsonb((SELECT string_agg(md5(n::text), '')
                                                             FROM generate_series(1, 32768) AS n)));
SELECT last_version FROM es_append_events('e-1', jsonb_build_array('{"type": "Small"}'::jsonb, jsonb_build_object(
    'type', 'Flat', 'data', repeat('x', 1048576))));
EXECUTE compare(3);
-- History is given the same way, in both modes.
SELECT count(es_drop_projection(name)) FROM es_projections;
TRUNCATE seen;
SELECT es_create_projection('1', 'see', mode => 'sync'), es_create_projection('2', 'see_batch', mode => 'sync');
SELECT count(*) AS events, count(*) FILTER (WHERE event = e::text) AS one,
       count(*) FILTER (WHERE event_of_batch = e::text) AS of_batch
FROM es_events AS e LEFT JOIN seen USING (position, metadata);
TRUNCATE seen;
SELECT count(es_drop_projection(name)) FROM es_projections;
SELECT es_create_projection('1', 'see'), es_create_projection('2', 'see_batch');
CALL es_run_projection('1');
CALL es_run_projection('2', 3);
SELECT count(*) AS events, count(*) FILTER (WHERE event = e::text) AS one,
       count(*) FILTER (WHERE event_of_batch = e::text) AS of_batch
FROM es_events AS e LEFT JOIN seen USING (position, metadata);
SELECT count(es_drop_projection(name)) FROM es_projections;
SELECT count(*) FROM es_verify();

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
