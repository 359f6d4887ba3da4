-- What a rebuild cannot work with is refused, with nothing changed; and what is unusual in tables is kept.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\pset format unaligned
SELECT count(es_append('account-' || n % 2, 'Deposited')) FROM generate_series(1, 4) AS n;
-- Temporary objects of the session could be taken for the tables that the handler means.
CREATE TABLE model (id text PRIMARY KEY, n integer);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO model VALUES (e.stream_id, 1) ON CONFLICT (id) DO UPDATE SET n = model.n + 1 $$;
SELECT es_create_projection('model', 'apply', tables => '{model}');
CALL es_run_projection('model');
CREATE TEMPORARY VIEW price AS SELECT 3 AS amount;
CALL es_rebuild_projection('model');
DISCARD TEMP;
-- What another projection has written is not in the copy.
CREATE FUNCTION other(e es_events) RETURNS void LANGUAGE sql AS '';
SELECT es_create_projection('other', 'other', tables => '{model}');
CALL es_rebuild_projection('model');
SELECT es_drop_projection('other');
-- Triggers that make rows what they are; rows that others refer to and that have no key.
CREATE FUNCTION trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := 7; RETURN NEW; END';
CREATE TRIGGER before BEFORE INSERT ON model FOR EACH ROW EXECUTE FUNCTION trigger();
CALL es_rebuild_projection('model');
DROP TRIGGER before ON model;
CREATE TABLE unkeyed (id text UNIQUE NOT NULL);
CREATE TABLE note (id text REFERENCES unkeyed (id) ON DELETE CASCADE);
SELECT es_create_projection('unkeyed', 'other', tables => '{unkeyed}');
CALL es_rebuild_projection('unkeyed');
-- The real table, changed otherwise than by rows.
CREATE FUNCTION truncates(e es_events) RETURNS void LANGUAGE sql AS 'TRUNCATE shop.model';
SELECT es_drop_projection('model'), es_create_projection('model', 'truncates', tables => '{model}');
CALL es_rebuild_projection('model', 1);
SELECT * FROM model ORDER BY id;
SELECT count(*) AS rebuilds, (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) AS copies
FROM es_projection_rebuilds;
-- Tables that no rebuild could work with.
CREATE UNLOGGED TABLE unlogged (id text);
CREATE TEMPORARY TABLE temporary (id text);
CREATE TABLE parted (id text) PARTITION BY LIST (id);
DROP SCHEMA IF EXISTS elsewhere CASCADE;
CREATE SCHEMA elsewhere CREATE TABLE model (id text);
\i :tests/include/attempt.sql
SELECT state, detail
FROM unnest(ARRAY['{unlogged}', '{temporary}', '{parted}', '{es_events}', '{pg_class}', '{model,model}',
                  '{model,elsewhere.model}']) AS tables,
     pg_temp.attempt(format('SELECT es_create_projection(''new'', ''apply'', tables => %L)', tables));
DISCARD TEMP;
-- Names that the statements use, children, numbers given by the table, keys that are equal but not the same.
CREATE TABLE odd (id numeric PRIMARY KEY, new_row integer, old_row text, number bigint GENERATED ALWAYS AS IDENTITY,
                  twice integer GENERATED ALWAYS AS (new_row * 2) STORED);
CREATE TABLE child () INHERITS (odd);
CREATE FUNCTION apply_odd(e es_events) RETURNS void LANGUAGE sql AS $$
    INSERT INTO odd (id, new_row, old_row) VALUES (e.version::numeric(9, 2), e.position, e.stream_id)
    ON CONFLICT (id) DO UPDATE SET new_row = odd.new_row + excluded.new_row
$$;
SELECT es_create_projection('odd', 'apply_odd', tables => '{odd}');
CALL es_run_projection('odd');
INSERT INTO child (id, new_row, number) VALUES (1, 77, 1);
UPDATE ONLY odd SET id = 1, new_row = 5 WHERE id = 1;
CALL es_rebuild_projection('odd');
SELECT tableoid::regclass, id, new_row, old_row, twice FROM odd ORDER BY 1, 2;
SELECT count(DISTINCT number) AS numbers FROM ONLY odd;
INSERT INTO odd (id) VALUES (99);
SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop, elsewhere CASCADE;
