-- Projections get events in their newest shape, as readers do, whoever appends or runs them and whatever he has set; an
-- event that cannot be brought into it is an error like one of the handler.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\set VERBOSITY terse
CREATE TABLE seen (stream_id text, version bigint, handler text, schema_version integer, data jsonb);
CREATE FUNCTION see(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO seen VALUES (e.stream_id, e.version, 'one', e.schema_version, e.data) $$;
CREATE FUNCTION see_batch(events es_events[]) RETURNS void LANGUAGE sql AS
$$ INSERT INTO seen SELECT stream_id, version, 'batch', schema_version, data FROM unnest(events) $$;
CREATE FUNCTION add_currency(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN data || jsonb_build_object('currency', 'EUR', 'cents', (data ->> 'amount')::integer * 100);
CREATE FUNCTION drop_amount(e es_events) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN e.data - 'amount';
SELECT es_create_upcaster('Paid', 1, 'add_currency'), es_create_upcaster('Paid', 2, 'drop_amount');
CREATE VIEW newest AS
SELECT stream_id, version, handler, schema_version, data FROM seen ORDER BY stream_id, version, handler;

-- In the appending transaction, as history, and when it is rebuilt.
SELECT es_create_projection('batch', 'see_batch', 'order', mode => 'sync'),
       es_create_projection('one', 'see', 'order', mode => 'sync', tables => '{seen}');
SELECT last_version FROM es_append('order-1', 'Paid', '{"amount": 1}');
SELECT last_version FROM es_append('order-1', 'Paid', '{"amount": 2, "currency": "USD", "cents": 200}',
                                   schema_version => 2);
SELECT last_version FROM es_append('order-1', 'Paid', '{"currency": "USD", "cents": 300}', schema_version => 3);
SELECT last_version FROM es_append('order-1', 'Placed', '{"amount": 1}');
SELECT * FROM newest;
SELECT schema_version, data FROM es_events ORDER BY position LIMIT 1;
SELECT es_drop_projection('batch');
TRUNCATE seen;
CALL es_rebuild_projection('one');
SELECT schema_version, data FROM newest;
SELECT es_drop_projection('one');
TRUNCATE seen;
SELECT es_create_projection('one', 'see', 'order', '{Paid}', mode => 'sync');
SELECT schema_version, data FROM newest;
-- What the appender has set to read events raw is not for handlers.
TRUNCATE seen;
SET tidemark.upcast = off;
SELECT last_version FROM es_append('order-2', 'Paid', '{"amount": 4}');
SELECT schema_version, data FROM newest;
SELECT es_create_projection('batch', 'see_batch', stream_prefix => 'order-2');
CALL es_run_projection('batch');
SELECT schema_version, data FROM newest;
RESET tidemark.upcast;

-- An event that has no newest shape.
SELECT last_version FROM es_append('order-2', 'Paid', '{"amount": "none"}');
\echo :SQLSTATE
SELECT es_drop_projection('one');
SELECT last_position FROM es_append('order-2', 'Paid', '{"amount": "none"}') \gset
SELECT last_version FROM es_append('order-2', 'Paid', '{"amount": 6}');
CALL es_run_projection('batch');
\echo :SQLSTATE
SELECT failed_position = :last_position AS there, error ~ 'TM007' AS told FROM es_projection_status;
SELECT es_drop_projection('batch');
SELECT es_create_projection('parks', 'see', 'order', on_error => 'park', start => (:last_position - 1)::text);
CALL es_run_projection('parks');
SELECT stream_id, position = :last_position AS there FROM es_parked();
TRUNCATE seen;
CREATE OR REPLACE FUNCTION add_currency(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN data || '{"mended": true}';
SELECT es_unpark('parks', :last_position);
CALL es_run_projection('parks');
SELECT schema_version, data FROM newest;

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
