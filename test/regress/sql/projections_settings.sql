-- A handler works the same whoever appends: settings, schemas and owners are those of the registration.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP TABLE IF EXISTS model;
RESET client_min_messages;
CREATE EXTENSION tidemark;
\pset format unaligned
CREATE ROLE "regress Keeper";
CREATE ROLE regress_builder;
CREATE SCHEMA "regress Keeper";
CREATE TABLE model (zone text, path text, setting text);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO model VALUES (current_setting('TimeZone'), current_setting('search_path'),
                              current_setting('my.setting', true));
    SET my.setting = 'changed';
    SET search_path = nowhere;
    SET TIME ZONE 'Asia/Tokyo';
END $$;
SET TIME ZONE 'Europe/Berlin';
SET search_path = "$user", public, "Odd one", pg_temp;
SELECT es_create_projection('model', 'apply', mode => 'sync');
SET TIME ZONE 'Pacific/Kiritimati';
SET search_path = public;
SET my.setting = 'mine';
SELECT es_append('a-1', 'A') IS NOT NULL AS appended FROM generate_series(1, 2);
SELECT * FROM model;
SHOW my.setting; SHOW search_path; SHOW TIME ZONE;
SELECT time_zone, search_path FROM es_projections;
SELECT es_drop_projection('model');
-- "$user" is the schema that it meant, where there was one.
GRANT tidemark_admin TO "regress Keeper";
GRANT USAGE ON SCHEMA public, "regress Keeper" TO "regress Keeper";
SET search_path = "$user", public;
SET ROLE "regress Keeper";
SELECT es_create_projection('kept', 'apply', category => 'none', mode => 'sync');
RESET ROLE;
RESET search_path;
SELECT search_path FROM es_projections;
SELECT es_drop_projection('kept');
-- A function of that name which is another role's now is not called: not by a handler, nor by an upcaster.
CREATE SCHEMA shop;
GRANT ALL ON SCHEMA shop TO regress_builder;
CREATE FUNCTION shop.apply(e es_events) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION shop.up(data jsonb) RETURNS jsonb IMMUTABLE LANGUAGE sql AS 'SELECT data';
SELECT es_create_projection('shop', 'shop.apply', mode => 'sync', category => 'shop');
SELECT es_create_upcaster('Sold', 1, 'shop.up');
DROP FUNCTION shop.apply(es_events);
DROP FUNCTION shop.up(jsonb);
SELECT es_append('shop-1', 'Sold');
SET ROLE regress_builder;
CREATE FUNCTION shop.apply(e es_events) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION shop.up(data jsonb) RETURNS jsonb IMMUTABLE LANGUAGE sql AS 'SELECT data';
RESET ROLE;
\set VERBOSITY terse
SELECT es_append('shop-1', 'Other');
SELECT es_append('other-1', 'Sold') IS NOT NULL AS appended;
SELECT * FROM es_read_stream('other-1');
\set VERBOSITY default
-- Until it is given back.
ALTER FUNCTION shop.apply(es_events) OWNER TO CURRENT_USER;
ALTER FUNCTION shop.up(jsonb) OWNER TO CURRENT_USER;
SELECT es_append('shop-1', 'Sold') IS NOT NULL AS appended;
SELECT schema_version FROM es_read_stream('other-1');
SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP TABLE model;
DROP SCHEMA shop, "regress Keeper" CASCADE;
DROP OWNED BY "regress Keeper", regress_builder;
DROP ROLE "regress Keeper", regress_builder;
