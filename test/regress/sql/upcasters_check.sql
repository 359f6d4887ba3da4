-- Examples of each shape that events ever had tell whether the upcasters are right.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP SCHEMA IF EXISTS shapes CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE SCHEMA shapes;
CREATE FUNCTION shapes.split(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN data - 'name'
    || jsonb_build_object('first', split_part(data ->> 'name', ' ', 1), 'last', split_part(data ->> 'name', ' ', 2));
CREATE FUNCTION shapes.whole(event es_events) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN event.data || jsonb_build_object('stream', event.stream_id, 'note', event.metadata); END $$;
CREATE FUNCTION shapes.half(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN to_jsonb(1 / (data ->> 'by')::integer);
SELECT es_create_upcaster('Named', 1, 'shapes.split'), es_create_upcaster('Named', 2, 'shapes.whole'),
       es_create_upcaster('Halved', 1, 'shapes.half');

-- All is well: none, and each as it should be; numbers are compared as numbers.
SELECT * FROM es_check_upcasters('[]');
SELECT * FROM es_check_upcasters('[
    {"type": "Named", "data": {"name": "Al Arc"},
     "expected": {"first": "Al", "last": "Arc", "stream": null, "note": {}}},
    {"type": "Named", "schema_version": 3, "data": 1.0, "expected": 1},
    {"type": "Other", "data": [], "expected": []}]');
-- Other data; not of the newest version, though as expected; a failure; of a type without upcasters.
\pset format unaligned
SELECT * FROM es_check_upcasters('[
    {"type": "Named", "schema_version": 2, "data": {"first": "Al"}, "expected": {"first": "Al"}},
    {"type": "Named", "schema_version": 4, "data": {}, "expected": {}},
    {"type": "Halved", "schema_version": 1, "data": {"by": 1}, "expected": 1},
    {"type": "Halved", "schema_version": 1, "data": {"by": 0}, "expected": 0},
    {"type": "Other", "data": null, "expected": {}}]');
-- A shape that has been given up.
BEGIN;
SELECT es_drop_upcaster('Named', 1);
SELECT * FROM es_check_upcasters('[{"type": "Named", "data": {}, "expected": {}}]');
ROLLBACK;
-- It tries the upcasters also where events are read as they are stored, and where nothing can be written.
BEGIN READ ONLY;
SET LOCAL tidemark.upcast = off;
SELECT place, problem FROM es_check_upcasters('[{"type": "Halved", "data": {"by": 0}, "expected": 0}]');
ROLLBACK;
SET client_min_messages = warning;
DROP SCHEMA shapes CASCADE;
