-- Bad input is refused with a clear error, of SQLSTATE 22023 unless it says otherwise, and changes nothing.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
DROP SCHEMA IF EXISTS shop, other CASCADE;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
CREATE SCHEMA shop;
CREATE SCHEMA other;
SET search_path = shop, public;
SELECT count(*) FROM generate_series(1, 10) AS n, es_append('order-' || n % 2, 'Placed');
CREATE TABLE model (position bigint);
CREATE TABLE other.model (position bigint);
CREATE VIEW a_view AS SELECT * FROM model;
CREATE TEMP TABLE temporary (position bigint);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE sql AS $$ INSERT INTO model VALUES (e.position) $$;
CREATE FUNCTION either(e es_events) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION either(e es_events[]) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION other.elsewhere(e es_events) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION returns(e es_events) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION returns_set(e es_events) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT e.position';
CREATE FUNCTION takes_json(e jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION takes_more(e es_events, n integer = 1) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION takes_none() RETURNS void LANGUAGE sql AS '';
CREATE PROCEDURE a_procedure(e es_events) LANGUAGE sql AS '';
CREATE FUNCTION fails(e es_events) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE 'no' USING ERRCODE = 'SHOP1'; END $$;
SELECT es_create_subscription('mails'), es_create_projection('sync', 'apply', mode => 'sync', tables => '{model}'),
       es_create_projection('async', 'apply', start => 'end'), es_create_projection('failing', 'fails');

CREATE TEMP TABLE attempts (n serial, statement text);
INSERT INTO attempts (statement)
-- Names: null, empty, blank, with a blank at an end, with control characters, 256 characters long.
SELECT format(statement, name)
FROM unnest(ARRAY['SELECT es_create_projection(%s, ''apply'')', 'SELECT es_drop_projection(%s)']) AS statement,
     unnest(ARRAY['NULL', '''''', ''' ''', ''' s''', '''s ''', 'E''a\tb''', 'repeat(''s'', 256)']) AS name
UNION ALL
-- What a projection cannot be.
SELECT format('SELECT es_create_projection(''new'', ''apply'', %s)', argument)
FROM unnest(ARRAY['category => ''''', 'category => '' c''', 'event_types => ''{}''', 'event_types => ''{NULL}''',
                  'event_types => ''{T,""}''', 'mode => NULL', 'mode => ''''', 'mode => ''Sync''',
                  'start => NULL', 'start => ''''', 'start => ''now''', 'start => ''-1''', 'start => ''11''',
                  'start => ''9223372036854775808''', 'on_error => NULL', 'on_error => ''''', 'on_error => ''stop''',
                  'retries => NULL', 'retries => -1', 'retry_delay => NULL', 'retry_delay => ''-1 second''',
                  'mode => ''sync'', on_error => ''park''', 'mode => ''sync'', on_error => ''retry''',
                  'mode => ''sync'', retries => 1', 'mode => ''sync'', retry_delay => ''2 seconds''',
                  'tables => ARRAY[NULL]::regclass[]', 'tables => ''{none}''', 'tables => ''{a_view}''',
                  'tables => ''{temporary}''', 'tables => ''{model,model}''', 'tables => ''{model,other.model}''',
                  'tables => ''{es_events}''', 'tables => ''{pg_class}''']) AS argument;
INSERT INTO attempts (statement) VALUES
    -- Handlers that are none: unknown, of other arguments or results, or that could be either of two.
    ('SELECT es_create_projection(''new'', NULL)'),
    ('SELECT es_create_projection(''new'', '''')'),
    ('SELECT es_create_projection(''new'', ''none'')'),
    ('SELECT es_create_projection(''new'', ''none(es_events)'')'),
    ('SELECT es_create_projection(''new'', ''elsewhere'')'),
    ('SELECT es_create_projection(''new'', ''other.none'')'),
    ('SELECT es_create_projection(''new'', ''none.apply'')'),
    ('SELECT es_create_projection(''new'', ''apply(jsonb)'')'),
    ('SELECT es_create_projection(''new'', ''apply(es_events[])'')'),
    ('SELECT es_create_projection(''new'', ''apply('')'),
    ('SELECT es_create_projection(''new'', ''apply(es_events); DROP TABLE model'')'),
    ('SELECT es_create_projection(''new'', ''either'')'),
    ('SELECT es_create_projection(''new'', ''returns'')'),
    ('SELECT es_create_projection(''new'', ''returns_set'')'),
    ('SELECT es_create_projection(''new'', ''takes_json'')'),
    ('SELECT es_create_projection(''new'', ''takes_more'')'),
    ('SELECT es_create_projection(''new'', ''takes_none'')'),
    ('SELECT es_create_projection(''new'', ''a_procedure'')'),
    ('SELECT es_create_projection(''new'', ''count'')'),
    -- Another definition, or a subscription of that name.
    ('SELECT es_create_projection(''mails'', ''apply'')'),
    ('SELECT es_create_projection(''mails'', ''apply'', mode => ''sync'')'),
    ('SELECT es_create_projection(''sync'', ''apply'')'),
    ('SELECT es_create_projection(''sync'', ''apply'', mode => ''sync'')'),
    ('SELECT es_create_projection(''async'', ''fails'')'),
    ('SELECT es_create_projection(''async'', ''either(es_events)'')'),
    ('SELECT es_create_projection(''async'', ''apply'', ''order'')'),
    ('SELECT es_create_projection(''async'', ''apply'', event_types => ''{T}'')'),
    ('SELECT es_create_projection(''async'', ''apply'', stream_prefix => ''order'')'),
    ('SELECT es_create_projection(''async'', ''apply'', ''order'', mode => ''sync'')'),
    ('SELECT es_create_projection(''sync'', ''apply'', tables => ''{model}'')'),
    ('SELECT es_create_projection(''async'', ''apply'', on_error => ''park'')'),
    ('SELECT es_create_projection(''async'', ''apply'', retries => 1)'),
    ('SELECT es_create_projection(''async'', ''apply'', retry_delay => ''2 seconds'')'),
    ('SELECT es_create_projection(''async'', ''apply'', tables => ''{model}'')'),
    ('SELECT es_create_subscription(''async'')'),
    ('SELECT es_create_subscription(''sync'')'),
    -- A history that cannot be done.
    ('SELECT es_create_projection(''new'', ''fails'', mode => ''sync'')'),
    -- The subscription behind a projection is not for consumers.
    ('SELECT * FROM es_fetch(''async'', ''ann'')'),
    ('SELECT * FROM es_claim(''async'', ''ann'')'),
    ('SELECT es_ack(''async'', 10, 1)'),
    ('SELECT es_fail(''async'', 10, 1, ''no'')'),
    ('SELECT es_park(''async'', 10, 1)'),
    ('SELECT es_release(''async'', ''ann'')'),
    ('SELECT es_set_partitions(''async'', 2)'),
    ('SELECT es_drop_subscription(''async'')'),
    -- A sync projection has none; a subscription is no projection.
    ('SELECT * FROM es_fetch(''sync'', ''ann'')'),
    ('SELECT es_reset_subscription(''sync'', 0)'),
    ('SELECT es_drop_subscription(''sync'')'),
    ('SELECT es_wait_for(''sync'', NULL)'),
    ('SELECT es_wait_for(''failing'', 11, ''2 minutes'')'),
    -- What cannot run in a transaction.
    ('CALL es_run_projection(''async'')'),
    ('CALL es_rebuild_projection(''sync'')');
CREATE FUNCTION pg_temp.everything() RETURNS text
RETURN (SELECT concat_ws('|', (SELECT string_agg(s::text, ';' ORDER BY s::text) FROM es_subscriptions AS s),
                         (SELECT string_agg(p::text, ';' ORDER BY p::text) FROM es_subscription_partitions AS p),
                         (SELECT string_agg(p::text, ';' ORDER BY p::text) FROM es_projections AS p),
                         (SELECT string_agg(concat(failed_at, attempts, error), ';' ORDER BY name)
                          FROM es_projection_status),
                         (SELECT string_agg(m::text, ';' ORDER BY m::text) FROM model AS m)));
SELECT pg_temp.everything() AS before \gset
CREATE TEMP TABLE refusals AS SELECT n, statement, a.* FROM attempts, pg_temp.attempt(statement) AS a;

-- Each of them is refused.
\pset format unaligned
SELECT statement, state, message FROM refusals ORDER BY n;
\pset format aligned
-- Each refusal of ours is short, lower case, without full stop, and has a sentence of detail and a hint.
SELECT DISTINCT state, message, detail, hint FROM refusals
WHERE state ~ '^(TM|22023|42|55)' AND message !~ '^(relation|function|invalid name syntax)'
  AND (message !~ '^[a-z].{0,60}[^.]$' OR detail !~ '^[A-Za-z].*\.$' OR hint !~ '^[A-Z].*\.$'
       OR coalesce(detail, '') = '' OR coalesce(hint, '') = '')
ORDER BY 1, 2, 3;
-- Those that run in transactions of their own are refused as well.
\set VERBOSITY terse
CALL es_run_projection('none');
\echo :SQLSTATE
CALL es_run_projection('');
\echo :SQLSTATE
CALL es_run_projection('sync');
\echo :SQLSTATE
CALL es_run_projection('mails');
\echo :SQLSTATE
CALL es_run_projection('async', 0);
\echo :SQLSTATE
CALL es_run_projection('async', -1);
\echo :SQLSTATE
CALL es_run_projection('async', duration => '-1 second');
\echo :SQLSTATE
CALL es_rebuild_projection(NULL);
\echo :SQLSTATE
CALL es_rebuild_projection('none');
\echo :SQLSTATE
CALL es_rebuild_projection('mails');
\echo :SQLSTATE
CALL es_rebuild_projection('async');
\echo :SQLSTATE
CALL es_rebuild_projection('sync', 0);
\echo :SQLSTATE
SET default_transaction_read_only = on;
SELECT es_create_projection('new', 'apply');
\echo :SQLSTATE
SELECT es_drop_projection('sync');
\echo :SQLSTATE
CALL es_run_projection('async');
\echo :SQLSTATE
CALL es_rebuild_projection('sync');
\echo :SQLSTATE
RESET default_transaction_read_only;
-- Nothing has changed.
SELECT pg_temp.everything() = :'before' AS as_it_was;
SELECT es_drop_projection('mails'), es_drop_projection('none'), count(*) FROM es_subscriptions WHERE name = 'mails';
-- What is just within the limits is accepted.
SELECT es_create_projection(repeat('é', 255), 'other.elsewhere', 'c d', '{T}', '', 'async', '10', 'retry', 2147483647,
                            '1 millisecond', '{}');
SELECT es_create_projection('quoted', '"shop" . "apply" ( public.es_events )', start => '10'),
       es_create_projection('one', 'either(es_events)', start => '10'),
       es_create_projection('many', 'either(es_events[])', start => '10'),
       es_create_projection('sync', 'shop.apply', mode => 'sync', tables => '{shop.model}');
CALL es_run_projection('one', 9223372036854775807);
SELECT left(name, 7) AS name, handler FROM es_projections ORDER BY es_projections.name;

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop, other CASCADE;
