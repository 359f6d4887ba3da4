-- Leases: one consumer has a partition at a time, until it gives it back or its time is over; fences keep whoever had
-- it before from doing anything.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\getenv tests PG_ABS_SRCDIR
\i :tests/include/attempt.sql
SELECT count(*) FROM generate_series(1, 10) AS n, es_append('order-' || n % 3, 'Placed');
SELECT es_create_subscription('mails');
CREATE VIEW pg_temp.lease AS
SELECT checkpoint, consumer, is_leased, fence, lease_until, acked_at, failed_at, parked FROM es_subscription_status;
SELECT checkpoint, consumer, is_leased FROM pg_temp.lease;

-- The first one that fetches gets it; another one is told who has it, and until when.
SELECT fence AS ann FROM es_fetch('mails', 'ann', 1) \gset
-- A number that every language can hold.
SELECT :ann BETWEEN 1 AND 9007199254740991 AS holds;
SELECT consumer, is_leased, fence = :ann AS same_fence,
       lease_until - clock_timestamp() BETWEEN interval '20 seconds' AND interval '30 seconds' AS soon
FROM pg_temp.lease;
SELECT state, message, detail ~ 'ann' AS who, detail LIKE '%' || extract(year FROM now()) || '%' AS until_when
FROM pg_temp.attempt($$SELECT * FROM es_fetch('mails', 'ben')$$);
SELECT state FROM pg_temp.attempt($$SELECT * FROM es_fetch('mails', 'ben', wait => '50 milliseconds')$$);
SELECT count(*) FROM es_claim('mails', 'ben');
-- It keeps its fence until it acknowledges, also under the same name in another life.
SELECT min(fence) = :ann AS same_fence, count(*) FROM es_fetch('mails', 'ann', 3);
SELECT es_ack('mails', 1, :ann) AS ann \gset
SELECT min(fence) = :ann AS same_fence, min(position) FROM es_fetch('mails', 'ann', 3);

-- A fetch renews only what is half over; a claim, and an acknowledgement, always.
SELECT lease_until AS until FROM pg_temp.lease \gset
SELECT count(*) FROM es_fetch('mails', 'ann', 3);
SELECT lease_until = :'until' AS as_it_was FROM pg_temp.lease;
SELECT partition, fence = :ann AS same_fence, checkpoint, lease_until > :'until' AS renewed, retry_at
FROM es_claim('mails', 'ann');
SELECT lease_until AS until FROM pg_temp.lease \gset
SELECT es_ack('mails', 2, :ann) AS ann \gset
SELECT lease_until > :'until' AS renewed, acked_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS acked
FROM pg_temp.lease;
SELECT lease_until > clock_timestamp() + interval '1 hour' AS long FROM es_claim('mails', 'ann', '2 hours');
SELECT lease_until < clock_timestamp() + interval '1 minute' AS short FROM es_claim('mails', 'ann', '10 seconds');
SELECT count(*) FROM es_claim('mails', 'ben', rebalance => false);

-- Given back, it is the next one's, with a higher fence. What the first one held is worth nothing any more.
SELECT es_release('mails', 'ben'), es_release('mails', 'ann'), es_release('mails', 'ann');
SELECT consumer, is_leased FROM pg_temp.lease;
SELECT count(*) FROM es_claim('mails', 'ben', rebalance => false);
SELECT fence AS ben FROM es_fetch('mails', 'ben', 1) \gset
SELECT :ben > :ann AS higher;
SELECT call, state, message FROM unnest(ARRAY['es_ack(''mails'', 3, %s)', 'es_ack(''mails'', 3, %s + 1)',
    'es_park(''mails'', 3, %s)', 'es_fail(''mails'', 3, %s, ''no'')', 'es_ack(''mails'', 1, %s)']) AS call,
    pg_temp.attempt('SELECT ' || format(call, :ann));
SELECT checkpoint, consumer, fence = :ben AS same_fence, failed_at, parked FROM pg_temp.lease;
SELECT es_ack('mails', 3, :ben) AS ben \gset

-- Its time over, it is anybody's. Until somebody takes it, what its last holder does still counts.
SELECT count(*) FROM es_claim('mails', 'ben', '1 millisecond');
SELECT pg_sleep(0.01);
SELECT checkpoint, is_leased FROM pg_temp.lease;
SELECT es_ack('mails', 4, :ben) AS ben \gset
SELECT count(*) FROM es_claim('mails', 'ben', '1 millisecond');
SELECT pg_sleep(0.01);
SELECT fence AS cat FROM es_fetch('mails', 'cat', 1, lease => '1 millisecond') \gset
SELECT :cat > :ben AS higher;
SELECT state FROM pg_temp.attempt(format('SELECT es_ack(''mails'', 5, %s)', :ben));
SELECT pg_sleep(0.01);
-- Whoever takes it again when its time is over gets a new fence as well.
SELECT fence AS again FROM es_fetch('mails', 'cat', 1) \gset
SELECT :again > :cat AS higher;
SELECT state FROM pg_temp.attempt(format('SELECT es_ack(''mails'', 5, %s)', :cat));

-- A lease that was taken in a transaction that is rolled back has never been, nor its fence.
SELECT es_release('mails', 'cat');
BEGIN;
SELECT fence AS undone FROM es_fetch('mails', 'dan', 1) \gset
ROLLBACK;
SELECT consumer, is_leased FROM pg_temp.lease;
SELECT pg_sleep(0.002);
SELECT fence AS eve FROM es_fetch('mails', 'eve', 1) \gset
SELECT :undone <> :eve AS another, state FROM pg_temp.attempt(format('SELECT es_ack(''mails'', 5, %s)', :undone));
-- An acknowledgement renews by as much as the lease was for, and one that is rolled back does not.
SELECT lease_until AS until FROM pg_temp.lease \gset
BEGIN;
SELECT es_ack('mails', 5, :eve) > :eve AS higher;
ROLLBACK;
SELECT checkpoint, lease_until = :'until' AS as_it_was FROM pg_temp.lease;

-- Fences of a subscription rise for ever: whatever is reset, dropped and made again.
SELECT es_reset_subscription('mails', 0);
SELECT fence AS reset FROM es_fetch('mails', 'eve', 1) \gset
SELECT pg_sleep(0.002);
SELECT es_drop_subscription('mails'), es_create_subscription('mails');
SELECT fence AS new FROM es_fetch('mails', 'eve', 1) \gset
SELECT :reset > :eve AS higher_by_reset, :new > :reset AS higher_than_of_the_dropped;

-- A transaction that must not write can do none of it.
BEGIN READ ONLY;
SELECT state, message FROM unnest(ARRAY['es_fetch(''mails'', ''eve'')', 'es_claim(''mails'', ''eve'')',
    'es_release(''mails'', ''eve'')', 'es_ack(''mails'', 1, %s)', 'es_park(''mails'', 1, %s)',
    'es_fail(''mails'', 1, %s, ''no'')']) AS call, pg_temp.attempt('SELECT ' || format(call, :new));
COMMIT;
