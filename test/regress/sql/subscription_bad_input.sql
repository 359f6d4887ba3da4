-- Bad input is refused with a clear error, of SQLSTATE 22023 unless it says otherwise, and changes nothing.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
SELECT count(*) FROM generate_series(1, 10) AS n, es_append('order-' || n % 2, 'Placed');
SELECT es_create_subscription('mails'), es_create_subscription('shared', partitions => 2);
SELECT es_ack('mails', 1, fence) AS fence FROM es_fetch('mails', 'ann', 1) \gset

CREATE TEMP TABLE attempts (n serial, statement text);
INSERT INTO attempts (statement)
-- Names of subscriptions: null, empty, blank, with a blank at an end, with control characters, 256 characters long.
SELECT format(statement, name)
FROM unnest(ARRAY['es_create_subscription(%s)', 'es_fetch(%s, ''ann'')', 'es_claim(%s, ''ann'')',
                  'es_release(%s, ''ann'')', 'es_ack(%s, 2, %%1$s)', 'es_fail(%s, 2, %%1$s, ''no'')',
                  'es_park(%s, 2, %%1$s)', 'es_unpark(%s, 2)', 'es_reset_subscription(%s, 2)',
                  'es_set_partitions(%s, 2)', 'es_drop_subscription(%s)', 'es_wait_for(%s, 1)']) AS statement,
     unnest(ARRAY['NULL', '''''', ''' ''', ''' s''', '''s ''', 'E''a\tb''', 'repeat(''s'', 256)']) AS name
UNION ALL
-- Consumers: likewise.
SELECT format(statement, name)
FROM unnest(ARRAY['es_fetch(''mails'', %s)', 'es_claim(''mails'', %s)', 'es_release(''mails'', %s)']) AS statement,
     unnest(ARRAY['NULL', '''''', ''' ''', ''' s''', '''s ''', 'E''a\tb''', 'repeat(''s'', 256)']) AS name
UNION ALL
-- Subscriptions that there are none of.
SELECT format(statement, '''none''')
FROM unnest(ARRAY['es_fetch(%s, ''ann'')', 'es_claim(%s, ''ann'')', 'es_release(%s, ''ann'')', 'es_ack(%s, 2, %%1$s)',
                  'es_fail(%s, 2, %%1$s, ''no'')', 'es_park(%s, 2, %%1$s)', 'es_unpark(%s, 2)',
                  'es_reset_subscription(%s, 2)', 'es_set_partitions(%s, 2)', 'es_wait_for(%s, 1)']) AS statement;
INSERT INTO attempts (statement) VALUES
    -- Filters that are none, starts that are no position, partitions that there cannot be.
    ('es_create_subscription(''new'', category => '''')'),
    ('es_create_subscription(''new'', category => '' c'')'),
    ('es_create_subscription(''new'', event_types => ''{}'')'),
    ('es_create_subscription(''new'', event_types => ''{NULL}'')'),
    ('es_create_subscription(''new'', event_types => ''{T,""}'')'),
    ('es_create_subscription(''new'', start => NULL)'),
    ('es_create_subscription(''new'', start => '''')'),
    ('es_create_subscription(''new'', start => ''End'')'),
    ('es_create_subscription(''new'', start => ''now'')'),
    ('es_create_subscription(''new'', start => ''-1'')'),
    ('es_create_subscription(''new'', start => ''+1'')'),
    ('es_create_subscription(''new'', start => ''1.5'')'),
    ('es_create_subscription(''new'', start => '' 1'')'),
    ('es_create_subscription(''new'', start => ''1e1'')'),
    ('es_create_subscription(''new'', start => ''11'')'),
    ('es_create_subscription(''new'', start => ''9223372036854775808'')'),
    ('es_create_subscription(''new'', partitions => NULL)'),
    ('es_create_subscription(''new'', partitions => 0)'),
    ('es_create_subscription(''new'', partitions => -1)'),
    ('es_create_subscription(''new'', partitions => 1025)'),
    ('es_set_partitions(''mails'', NULL)'),
    ('es_set_partitions(''mails'', 0)'),
    ('es_set_partitions(''mails'', 1025)'),
    ('es_partition_of(''s'', 0)'),
    ('es_partition_of(''s'', -1)'),
    ('es_partition_of(''s'', 1025)'),
    -- Limits and times that cannot be.
    ('es_fetch(''mails'', ''ann'', 0)'),
    ('es_fetch(''mails'', ''ann'', -1)'),
    ('es_fetch(''mails'', ''ann'', wait => NULL)'),
    ('es_fetch(''mails'', ''ann'', wait => ''-1 second'')'),
    ('es_fetch(''mails'', ''ann'', wait => ''61 seconds'')'),
    ('es_fetch(''mails'', ''ann'', wait => ''1 month'')'),
    ('es_fetch(''mails'', ''ann'', lease => NULL)'),
    ('es_fetch(''mails'', ''ann'', lease => ''0'')'),
    ('es_fetch(''mails'', ''ann'', lease => ''-1 second'')'),
    ('es_fetch(''mails'', ''ann'', lease => ''1 day 1 second'')'),
    ('es_fetch(''mails'', ''ann'', lease => ''1 month'')'),
    ('es_claim(''mails'', ''ann'', NULL)'),
    ('es_claim(''mails'', ''ann'', ''0'')'),
    ('es_claim(''mails'', ''ann'', ''2 days'')'),
    ('es_claim(''mails'', ''ann'', rebalance => NULL)'),
    ('es_read_after(10, wait => NULL)'),
    ('es_read_after(10, wait => ''-1 second'')'),
    ('es_read_after(10, wait => ''2 minutes'')'),
    ('es_wait_for(''mails'', 1, NULL)'),
    ('es_wait_for(''mails'', 1, ''-1 second'')'),
    ('es_wait_for(''mails'', NULL)'),
    -- Positions that are none, or beyond the safe position.
    ('es_ack(''mails'', NULL, %1$s)'),
    ('es_ack(''mails'', -1, %1$s)'),
    ('es_ack(''mails'', 0, %1$s)'),
    ('es_ack(''mails'', 11, %1$s)'),
    ('es_ack(''mails'', 9223372036854775807, %1$s)'),
    ('es_fail(''mails'', NULL, %1$s, ''no'')'),
    ('es_fail(''mails'', 2, %1$s, NULL)'),
    ('es_fail(''mails'', 2, %1$s, ''no'', ''-1 second'')'),
    ('es_park(''mails'', NULL, %1$s)'),
    ('es_park(''mails'', -1, %1$s)'),
    ('es_park(''mails'', 11, %1$s)'),
    ('es_unpark(''mails'', NULL)'),
    ('es_unpark(''mails'', 2, NULL)'),
    ('es_reset_subscription(''mails'', NULL)'),
    ('es_reset_subscription(''mails'', -1)'),
    ('es_reset_subscription(''mails'', 11)'),
    -- Fences that are none: nobody has such a lease.
    ('es_ack(''mails'', 2, NULL)'),
    ('es_ack(''mails'', 2, 0)'),
    ('es_ack(''mails'', 2, -1)'),
    ('es_ack(''mails'', 2, %1$s + 1)'),
    ('es_ack(''shared'', 2, %1$s)'),
    ('es_fail(''mails'', 2, NULL, ''no'')'),
    ('es_park(''mails'', 2, NULL)'),
    -- Acknowledged already.
    ('es_ack(''mails'', 1, %1$s)'),
    ('es_park(''mails'', 1, %1$s)'),
    -- Another definition.
    ('es_create_subscription(''mails'', event_types => ''{T}'')'),
    ('es_create_subscription(''shared'', category => ''order'', partitions => 2)');
CREATE FUNCTION pg_temp.everything() RETURNS text
RETURN (SELECT concat_ws('|', (SELECT string_agg(s::text, ';' ORDER BY s::text) FROM es_subscriptions AS s),
                         (SELECT string_agg(p::text, ';' ORDER BY p::text) FROM es_subscription_partitions AS p),
                         (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM es_subscription_consumers AS c),
                         (SELECT string_agg(p::text, ';' ORDER BY p::text) FROM es_parked_events AS p)));
SELECT pg_temp.everything() AS before \gset
CREATE TEMP TABLE refusals AS
SELECT n, statement, a.* FROM attempts, pg_temp.attempt('SELECT ' || format(statement, :fence)) AS a;

-- Each of them is refused.
\pset format unaligned
SELECT replace(statement, '%1$s', 'FENCE') AS statement, state, message FROM refusals ORDER BY n;
\pset format aligned
-- Each refusal of ours is short, lower case, without full stop, and has a sentence of detail and a hint.
SELECT DISTINCT state, message, detail, hint FROM refusals
WHERE state ~ '^(TM|22023|42710)'
  AND (message !~ '^[a-z].{0,60}[^.]$' OR detail !~ '^[A-Za-z].*\.$' OR hint !~ '^[A-Z].*\.$'
       OR coalesce(detail, '') = '' OR coalesce(hint, '') = '')
ORDER BY 1, 2, 3;
-- Nothing has changed.
SELECT pg_temp.everything() = :'before' AS as_it_was;
-- What is just within the limits is accepted.
SELECT es_create_subscription(repeat('é', 255), 'c d', '{T}', '', '10', 1024);
SELECT count(*) FROM es_fetch('mails', repeat('é', 255), 9223372036854775807, '0', '1 day') WHERE false;
SELECT count(*) FROM es_fetch('mails', 'ann', NULL, '1 minute', '1 day');
SELECT es_reset_subscription('mails', 10), es_wait_for('mails', 10, '0'), es_wait_for('mails', 0);
