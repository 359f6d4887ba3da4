-- Rebuilding: the tables of a projection become what its handler makes of the whole log, at one moment, and only the
-- rows that differ are touched; or nothing changes at all.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\set VERBOSITY terse
CREATE TABLE account (id text PRIMARY KEY, amount integer NOT NULL CHECK (amount >= 0), email text UNIQUE,
                      doubled integer GENERATED ALWAYS AS (2 * amount) STORED, note text DEFAULT 'none');
CREATE TABLE entry (n bigint GENERATED ALWAYS AS IDENTITY, account text NOT NULL REFERENCES account, amount integer);
CREATE VIEW total AS SELECT sum(amount) FROM account;
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS $$
    INSERT INTO account AS a (id, amount, email)
    VALUES (e.stream_id, (e.data ->> 'amount')::integer, e.data ->> 'email')
    ON CONFLICT (id) DO UPDATE SET amount = a.amount + excluded.amount;
    INSERT INTO entry (account, amount) VALUES (e.stream_id, (e.data ->> 'amount')::integer);
$$;
CREATE FUNCTION apply_batch(events es_events[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    event es_events;
BEGIN
    FOREACH event IN ARRAY events LOOP
        PERFORM shop.apply(event);
    END LOOP;
END
$$;
CREATE VIEW model AS
SELECT id, a.amount, doubled, email, note, string_agg(e.amount::text, ' ' ORDER BY n) AS entries
FROM account AS a LEFT JOIN entry AS e ON account = id GROUP BY id ORDER BY id;
SELECT count(*) FROM generate_series(1, 3) AS n,
    es_append('account-' || n, 'Opened', jsonb_build_object('amount', 10 * n, 'email', 'mail-' || n));
SELECT count(*) FROM generate_series(1, 3) AS n, es_append('account-' || n, 'Paid', jsonb_build_object('amount', n));
SELECT es_append('other-1', 'Paid', '{"amount": 1000}') IS NOT NULL AS other;
SELECT es_create_projection('accounts', 'apply', 'account', mode => 'sync', tables => '{account,entry}');
SELECT * FROM model;
CREATE TABLE rows_before AS SELECT id, xmin::text AS inserted FROM account;

-- Nothing is wrong: no row is touched.
CALL es_rebuild_projection('accounts');
SELECT count(*) FROM account JOIN rows_before USING (id) WHERE account.xmin::text = inserted;
-- What is wrong is mended: rows that are missing, too many, or changed, with references between them; the others are
-- not touched, and appends go on.
DELETE FROM entry WHERE account IN ('account-3', 'account-1');
DELETE FROM account WHERE id = 'account-3';
INSERT INTO account (id, amount, email) VALUES ('account-9', 9, 'mail-3');
INSERT INTO entry (account, amount) VALUES ('account-9', 9);
UPDATE account SET amount = 99 WHERE id = 'account-1';
SELECT * FROM model;
CALL es_rebuild_projection('accounts', 2);
SELECT * FROM model;
SELECT id, account.xmin::text = inserted AS untouched FROM account JOIN rows_before USING (id) ORDER BY id;
SELECT last_version FROM es_append('account-1', 'Paid', '{"amount": 5}');
SELECT * FROM model WHERE id = 'account-1';
SELECT * FROM total;
SELECT name, rebuild_started_at, rebuild_done, rebuild_total, rebuild_rate, rebuild_remaining
FROM es_projection_status;
-- The tables are those that they were, with all that they had.
SELECT conname FROM pg_constraint WHERE conrelid IN ('account'::regclass, 'entry'::regclass) ORDER BY 1;
INSERT INTO account VALUES ('account-8', -1);
INSERT INTO entry (account) VALUES ('account-8');
SELECT count(*) FROM pg_class WHERE relname IN ('account', 'entry') AND relpersistence = 't';

-- An error of the handler, or of the tables' constraints, ends it, and nothing has changed.
UPDATE account SET note = 'kept';
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.version = 3 THEN RAISE 'no third' USING ERRCODE = 'SHOP1'; END IF;
    INSERT INTO account (id, amount) VALUES (e.stream_id, 1) ON CONFLICT (id) DO NOTHING;
END
$$;
CALL es_rebuild_projection('accounts', 2);
\echo :SQLSTATE
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO account (id, amount) VALUES (e.stream_id, 1) $$;
CALL es_rebuild_projection('accounts');
\echo :SQLSTATE
-- Copies have no foreign keys; the tables have.
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO entry (account, amount) VALUES ('nobody', 1) $$;
CALL es_rebuild_projection('accounts');
\echo :SQLSTATE
-- So do those who write to the tables by a qualified name, or have bound it before.
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS
$$ UPDATE shop.account SET note = 'changed' $$;
CALL es_rebuild_projection('accounts', 1);
\echo :SQLSTATE
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql BEGIN ATOMIC
    UPDATE account SET note = 'changed';
END;
CALL es_rebuild_projection('accounts');
\echo :SQLSTATE
SELECT * FROM model;
SELECT count(*) FROM pg_class WHERE relname IN ('account', 'entry') AND relpersistence = 't';
-- Another handler of that name makes another model.
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS $$
    INSERT INTO account AS a (id, amount, note) VALUES (e.stream_id, 1, 'among ' || (SELECT count(*) FROM account))
    ON CONFLICT (id) DO UPDATE SET amount = a.amount + 1;
$$;
CALL es_rebuild_projection('accounts');
SELECT * FROM model;
SELECT es_drop_projection('accounts');

-- One that is run: it goes on from where the rebuilding has come to, and has not failed any more.
ALTER TABLE entry DROP CONSTRAINT entry_account_fkey;
DELETE FROM account;
CREATE TABLE broken AS SELECT first_position AS position FROM es_append('account-2', 'Paid', '{"amount": 7}');
SELECT first_position FROM es_append('account-3', 'Paid', '{"amount": 8}') \gset
CREATE OR REPLACE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM broken WHERE position = e.position) THEN RAISE 'broken'; END IF;
    INSERT INTO account AS a (id, amount) VALUES (e.stream_id, (e.data ->> 'amount')::integer)
    ON CONFLICT (id) DO UPDATE SET amount = a.amount + excluded.amount;
END
$$;
SELECT es_create_projection('accounts', 'apply_batch', 'account', tables => '{account}');
CALL es_run_projection('accounts');
SELECT checkpoint < :first_position AS is_behind, failed_position IS NOT NULL AS has_failed FROM es_projection_status;
SELECT id, amount FROM model;
CALL es_rebuild_projection('accounts');
\echo :SQLSTATE
SELECT failed_position IS NOT NULL AS has_failed FROM es_projection_status;
TRUNCATE broken;
CALL es_rebuild_projection('accounts', 3);
SELECT checkpoint = es_safe_position() AS done, failed_position, attempts, error FROM es_projection_status;
SELECT id, amount FROM model;
CALL es_run_projection('accounts');
SELECT last_version FROM es_append('account-2', 'Paid', '{"amount": 100}');
CALL es_run_projection('accounts');
SELECT id, amount FROM model;
-- What was set aside is in it, too.
SELECT es_drop_projection('accounts');
TRUNCATE account;
INSERT INTO broken VALUES (1);
SELECT es_create_projection('parks', 'apply_batch', 'account', on_error => 'park', tables => '{account}');
CALL es_run_projection('parks');
SELECT id, amount FROM model;
TRUNCATE broken;
CALL es_rebuild_projection('parks');
SELECT id, amount FROM model;
SELECT parked, backlog, (SELECT count(*) FROM es_parked()) AS events FROM es_projection_status;
-- It begins where the projection has begun; of no events nothing is made.
SELECT count(es_drop_projection(name)) FROM es_projections;
SELECT es_create_projection('late', 'apply', 'account', mode => 'sync', start => '8', tables => '{account}'),
       es_create_projection('empty', 'apply', 'nothing', mode => 'sync', tables => '{entry}');
CALL es_rebuild_projection('late');
SELECT id, amount FROM model;
INSERT INTO entry (account) VALUES ('account-1');
CALL es_rebuild_projection('empty');
SELECT count(*) FROM entry;
-- Rows that are to exchange unique values.
CREATE TABLE seat (stream_id text PRIMARY KEY, place text UNIQUE, EXCLUDE (lower(place) WITH =));
CREATE FUNCTION sit(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO seat VALUES (e.stream_id, 'Seat ' || e.stream_id) $$;
SELECT es_create_projection('seats', 'sit', 'account', '{Opened}', mode => 'sync', tables => '{seat}');
UPDATE seat SET place = NULL;
UPDATE seat SET place = 'Seat account-' || 1 + right(stream_id, 1)::integer % 3;
CALL es_rebuild_projection('seats');
SELECT * FROM seat ORDER BY stream_id;
SELECT * FROM es_verify();

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
