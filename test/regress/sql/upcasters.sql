-- Upcasters: whatever reads returns events with data of the newest schema version of their type, brought there step by
-- step, while the log keeps what was appended.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shapes CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
CREATE SCHEMA shapes;
-- From a name in one piece to two, to an object of its own, to one with the customer's number, which is the stream's.
CREATE FUNCTION shapes.split(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN data - 'name'
    || jsonb_build_object('first', split_part(data ->> 'name', ' ', 1), 'last', split_part(data ->> 'name', ' ', 2));
CREATE FUNCTION shapes.nest(old jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN jsonb_build_object('customer', old); END $$;
CREATE FUNCTION shapes.number(event es_events) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN event.data || jsonb_build_object('number', event.stream_id, 'was', event.schema_version); END $$;
SELECT count(*) FROM generate_series(1, 4) AS n,
    es_append('customer-' || n % 2, 'Named', CASE n WHEN 3 THEN '{"first": "Cy", "last": "Cole"}'
              WHEN 4 THEN '{"any": 4}' ELSE jsonb_build_object('name', 'Ann' || n || ' Ash') END,
              schema_version => CASE n WHEN 3 THEN 2 WHEN 4 THEN 5 ELSE 1 END);
SELECT last_position FROM es_append('customer-1', 'Moved', '{"to": "Rome"}', '{"user": "ann"}');

-- Registered one by one; what was registered before is in effect at once.
SELECT schema_version, data FROM es_read_stream('customer-1');
SELECT es_create_upcaster('Named', 1, 'shapes.split');
SELECT schema_version, data FROM es_read_stream('customer-1');
SET search_path = public, shapes;
SELECT es_create_upcaster('Named', 2, 'nest'), es_create_upcaster('Named', 3, 'number(es_events)');
RESET search_path;
SELECT event_type, from_schema_version, function, owner = current_user AS own, search_path,
       created_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS is_recent
FROM es_upcasters ORDER BY 1, 2;
-- Every event comes in the newest shape, whatever it was appended in; newer ones and other types as they are.
SELECT version, schema_version, event_type, data, metadata FROM es_read_stream('customer-1');
SELECT version, schema_version, data FROM es_read_stream('customer-1', 2, 1, backward => true);
SELECT stream_id, version, schema_version, data FROM es_read_streams('{customer-0,customer-1}');
SELECT position, schema_version, data FROM es_read_after(0, event_types => '{Named}');
SELECT snapshot_version, version, schema_version, data FROM es_load('customer-0');
SELECT es_create_subscription('mails');
SELECT position, version, schema_version, stream_id, category, event_type, data, metadata, partition, redelivered,
       recorded_at = (SELECT recorded_at FROM es_events AS e WHERE e.position = f.position) AS same
FROM es_fetch('mails', 'ann') AS f;
-- The log has what was appended; so has who asks for it.
SELECT position, schema_version, data FROM es_events WHERE stream_id = 'customer-1';
BEGIN;
SET LOCAL tidemark.upcast = off;
SELECT schema_version, data FROM es_read_stream('customer-1');
SELECT schema_version, data FROM es_read_after(3);
SELECT schema_version, data FROM es_fetch('mails', 'ann', 1);
SELECT schema_version, data FROM es_upcast('Named', 2, '{}');
COMMIT;
-- A retry is known by what was appended.
SELECT is_duplicate FROM es_append('retry-1', 'Named', '{"name": "Di Day"}',
                                   event_id => '00000000-0000-0000-0000-00000000000d');
SELECT is_duplicate FROM es_append('retry-1', 'Named', '{"name": "Di Day"}',
                                   event_id => '00000000-0000-0000-0000-00000000000d');
-- What reading would make of it.
SELECT * FROM es_upcast('Named', 1, '{"name": "Bo Bell"}');
SELECT * FROM es_upcast('Named', 4, '{"name": "Bo Bell"}');
SELECT * FROM es_upcast('Moved', 1, 'null');

-- Registered again: the same one is there; it is not to be replaced by another.
SELECT es_create_upcaster('Named', 1, 'shapes.split(jsonb)');
-- Only the ends of a chain are dropped, and none is dropped twice.
SELECT es_drop_upcaster('Named', 3), es_drop_upcaster('Named', 3), es_drop_upcaster('Moved', 1);
SELECT schema_version, data FROM es_read_stream('customer-0', max_count => 1);
-- A type of which old shapes have been given up: events from before the chain stop the reader.
SELECT es_drop_upcaster('Named', 1);
\pset format unaligned
SELECT a.* FROM pg_temp.attempt('SELECT es_read_stream(''customer-0'')') AS a;
SELECT schema_version, data FROM es_read_stream('customer-1', 2);
-- It grows at its beginning too.
SELECT es_create_upcaster('Named', 1, 'shapes.split');
SELECT schema_version, data FROM es_read_stream('customer-0', max_count => 1);
\pset format aligned

-- What a transaction registers is in effect in it, and nowhere when it is undone, as a whole or to a savepoint.
BEGIN;
SELECT es_create_upcaster('Named', 3, 'shapes.number');
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
SAVEPOINT a;
SELECT es_drop_upcaster('Named', 3);
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
SELECT es_drop_upcaster('Named', 2);
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
ROLLBACK TO a;
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
ROLLBACK;
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
-- So is what is changed by hand.
BEGIN;
DELETE FROM es_upcasters;
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
ROLLBACK;
SELECT schema_version FROM es_read_stream('customer-0', max_count => 1);
SELECT es_announce_change();
-- An upcaster that reads, though it should not, gets upcast events, and the reader the rest of its own.
CREATE FUNCTION shapes.peek(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_agg(data ORDER BY version) FROM es_read_stream('customer-0') $$;
BEGIN;
SELECT es_create_upcaster('Moved', 1, 'shapes.peek');
SELECT event_type, schema_version, data FROM es_read_stream('customer-1', 2);
ROLLBACK;

-- Large data, stored out of line, through a step that returns what it got and one that adds to it.
CREATE FUNCTION shapes.same(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN $1;
CREATE FUNCTION shapes.add(event es_events) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT event.data || '{"added": true}' || jsonb_build_object('note', length(event.metadata ->> 'note')) $$;
SELECT string_agg(md5(n::text), '') AS large FROM generate_series(1, 32768) AS n \gset
SELECT last_version FROM es_append('large-1', 'Imported', jsonb_build_object('text', :'large'),
                                   jsonb_build_object('note', :'large'));
SELECT es_create_upcaster('Imported', 1, 'shapes.same');
SELECT schema_version, length(data ->> 'text') AS length, data ->> 'text' = :'large' AS same
FROM es_read_stream('large-1');
SELECT es_create_upcaster('Imported', 2, 'shapes.add');
SELECT schema_version, length(data ->> 'text') AS length, data ->> 'text' = :'large' AS same, data - 'text' AS added,
       metadata ->> 'note' = :'large' AS same_metadata FROM es_read_after(0, event_types => '{Imported}');
-- Columns that are added to es_events come along, and an upcaster of the whole event sees them.
ALTER TABLE es_events ADD tenant text DEFAULT 'acme', ADD size integer GENERATED ALWAYS AS (length(data::text)) STORED;
CREATE FUNCTION shapes.tenant(event es_events) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN event.data || jsonb_build_object('tenant', event.tenant); END $$;
SELECT es_create_upcaster('Named', 3, 'shapes.tenant');
SELECT last_version FROM es_append('customer-0', 'Named', '{"name": "Ed East"}');
SELECT schema_version, data, tenant, size FROM es_read_stream('customer-0');
ALTER TABLE es_events DROP size;
SELECT schema_version, data, tenant FROM es_read_after() WHERE stream_id = 'customer-0';
SELECT schema_version, data FROM es_fetch('mails', 'ann') WHERE stream_id = 'customer-0';

-- In a parallel worker.
SELECT count(set_config(name, 'on', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
EXPLAIN (COSTS OFF) SELECT schema_version, data FROM es_read_stream('customer-0');
SELECT schema_version, data FROM es_read_stream('customer-0');
BEGIN;
SELECT es_drop_upcaster('Named', 3);
SELECT schema_version, data FROM es_read_streams('{customer-0}');
SET LOCAL tidemark.upcast = off;
SELECT schema_version, data FROM es_read_streams('{customer-0}');
ROLLBACK;
SELECT count(set_config(name, 'off', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
-- A session that first hears of upcasters in a statement that registers one, and fails, knows nothing of that one.
\c -
SELECT es_create_upcaster('Moved', 1, 'shapes.same'), (SELECT max(schema_version) FROM es_read_stream('customer-1', 3)),
       1 / es_stream_version('none');
SELECT schema_version FROM es_read_stream('customer-1', 3);
SELECT es_drop_upcaster('Named', 3), (SELECT max(schema_version) FROM es_read_stream('customer-1', 1, 1));

SET client_min_messages = warning;
DROP SCHEMA shapes CASCADE;
