-- Parking: an event that cannot be handled is set aside with those that follow it in its stream, other streams go on,
-- and when it is delivered again its stream is still in order.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\set VERBOSITY terse
CREATE FUNCTION pg_temp.take(OUT events text) LANGUAGE plpgsql AS $$
DECLARE
    event record;
    fence bigint;
BEGIN
    FOR event IN SELECT * FROM es_fetch('mails', 'ann') LOOP
        events := concat_ws(' ', events, event.stream_id || '/' || event.version)
               || CASE WHEN event.redelivered THEN '*' ELSE '' END;
        fence := es_ack('mails', event.position, coalesce(fence, event.fence));
    END LOOP;
END
$$;
CREATE VIEW pg_temp.parked AS
SELECT stream_id, position, event_type, reason, times, held, redelivering FROM es_parked('mails');
-- Positions 1 to 9: a/1 b/1 c/1 a/2 b/2 c/2 a/3 b/3 c/3
SELECT count(*) FROM generate_series(0, 8) AS n, es_append(substr('abc', n % 3 + 1, 1), 'T' || n / 3);
SELECT es_create_subscription('mails'), es_create_subscription('other');

-- The events before the parked one are acknowledged with it, and the rest of the batch is void.
SELECT DISTINCT fence FROM es_fetch('mails', 'ann', 4) \gset
SELECT es_park('mails', 2, :fence, 'no address') AS parked_fence \gset
SELECT :parked_fence > :fence AS higher;
SELECT es_ack('mails', 4, :fence);
\echo :SQLSTATE
SELECT checkpoint, parked FROM es_subscription_status WHERE subscription = 'mails';
SELECT * FROM pg_temp.parked;
SELECT subscription, parked_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS now FROM es_parked();
SELECT count(*) FROM es_parked('other');
-- Other streams go on, without what is held; the new fence is the one of the next batch.
SELECT string_agg(stream_id || version, ' ') AS events, min(fence) = :parked_fence AS same_fence
FROM es_fetch('mails', 'ann');
SELECT pg_temp.take();
SELECT count(*) FROM es_fetch('mails', 'ann');
SELECT checkpoint FROM es_subscription_status WHERE subscription = 'mails';
SELECT * FROM pg_temp.parked;
SELECT last_version FROM es_append('b', 'T3');
SELECT last_version FROM es_append('c', 'T3');
SELECT pg_temp.take();
SELECT * FROM pg_temp.parked;
-- Whatever is held is handled, as far as waiting for it goes.
SELECT es_wait_for('mails', 11);
-- The lease given to another changes nothing about it.
SELECT es_release('mails', 'ann');
SELECT count(*) FROM es_fetch('mails', 'ben');
SELECT es_release('mails', 'ben');

-- Delivered again, in order, before others, marked; then the stream goes on as any.
SELECT es_unpark('mails', 4), es_unpark('mails', 3), es_unpark('other', 2);
SELECT es_unpark('mails', 2);
SELECT * FROM pg_temp.parked;
SELECT last_version FROM es_append('a', 'T4');
SELECT last_version FROM es_append('b', 'T4');
SELECT position, stream_id, version, redelivered FROM es_fetch('mails', 'ann', 3);
SELECT DISTINCT fence FROM es_fetch('mails', 'ann', 3) \gset
SELECT es_ack('mails', 2, :fence) AS fence \gset
SELECT stream_id, version, redelivered FROM es_fetch('mails', 'ann', 1);
SELECT es_ack('mails', 8, :fence) AS fence \gset
SELECT es_ack('mails', 5, :fence);
\echo :SQLSTATE
SELECT es_ack('mails', 10, :fence) > :fence AS higher;
SELECT count(*) FROM pg_temp.parked;
SELECT pg_temp.take(), pg_temp.take();

-- Parked again while it is delivered again: those behind it stay held, and it is counted.
SELECT stream, a.first_position FROM unnest('{a,a,b}'::text[]) AS stream, es_append(stream, 'T5') AS a;
SELECT fence FROM es_fetch('mails', 'ann', 1) \gset
SELECT es_park('mails', 14, :fence) > :fence AS higher;
SELECT pg_temp.take();
SELECT es_unpark('mails', 14);
SELECT fence FROM es_fetch('mails', 'ann', 1) \gset
SELECT es_park('mails', 14, :fence, 'still not') > :fence AS higher;
SELECT * FROM pg_temp.parked;
SELECT pg_temp.take();
-- Or one behind it.
SELECT es_unpark('mails', 14);
SELECT DISTINCT fence FROM es_fetch('mails', 'ann', 2) \gset
SELECT es_ack('mails', 14, :fence) AS fence \gset
SELECT es_park('mails', 15, :fence, 'nor this') > :fence AS higher;
SELECT * FROM pg_temp.parked;
-- Given up, the event itself is passed over; those held behind it are delivered.
SELECT stream, a.last_version FROM unnest('{a,c}'::text[]) AS stream, es_append(stream, 'T7') AS a;
SELECT pg_temp.take();
SELECT es_unpark('mails', 15, redeliver => false);
SELECT pg_temp.take(), pg_temp.take();
SELECT count(*) FROM pg_temp.parked;
-- With nothing behind it, giving it up is all there is to do.
SELECT last_version FROM es_append('c', 'T4');
SELECT fence FROM es_fetch('mails', 'ann') \gset
SELECT es_park('mails', es_head_position(), :fence) > 0 AS parked;
SELECT es_unpark('mails', es_head_position(), redeliver => false);
SELECT count(*) FROM pg_temp.parked;
SELECT last_version FROM es_append('c', 'T5');
SELECT pg_temp.take();

-- However its partitions change, what is held stays with its stream.
SELECT stream, a.last_version FROM unnest('{a,a,b}'::text[]) AS stream, es_append(stream, 'T8') AS a;
SELECT es_park('mails', position, fence) > 0 AS parked FROM es_fetch('mails', 'ann', 1);
SELECT pg_temp.take();
SELECT es_set_partitions('mails', 5);
SELECT stream_id, held FROM pg_temp.parked;
SELECT count(es_unpark('mails', position)) FROM pg_temp.parked;
SELECT pg_temp.take() AS events FROM generate_series(1, 2);
SELECT es_set_partitions('mails', 1);
SELECT count(pg_temp.take()) FROM generate_series(1, 4);

-- Two streams at once: each is delivered again by itself, in its order.
SELECT es_reset_subscription('mails', 0);
SELECT DISTINCT fence FROM es_fetch('mails', 'ann') \gset
SELECT es_park('mails', 1, :fence) AS fence \gset
SELECT es_park('mails', 2, :fence) AS fence \gset
SELECT pg_temp.take();
SELECT stream_id, held FROM pg_temp.parked ORDER BY position;
SELECT es_unpark('mails', 2), es_unpark('mails', 1);
SELECT pg_temp.take() AS events FROM generate_series(1, 3);
SELECT count(*) FROM pg_temp.parked;

-- A park that is rolled back has not been made; a reset forgets what is parked above it, because it comes again.
SELECT es_reset_subscription('mails', 6);
SELECT fence FROM es_fetch('mails', 'ann', 1) \gset
BEGIN;
SELECT es_park('mails', 7, :fence) > :fence AS higher;
ROLLBACK;
SELECT count(*), (SELECT min(position) FROM es_fetch('mails', 'ann', 1)) FROM pg_temp.parked;
SELECT es_park('mails', 7, :fence) AS fence \gset
SELECT es_park('mails', 9, :fence) AS fence \gset
SELECT es_reset_subscription('mails', 8);
SELECT position FROM pg_temp.parked;
SELECT pg_temp.take();
SELECT es_reset_subscription('mails', 0);
SELECT count(*) FROM pg_temp.parked;
-- What does not match, or is no event, cannot be parked; nor can what is acknowledged.
SELECT es_create_subscription('a alone', stream_prefix => 'a');
SELECT fence FROM es_fetch('a alone', 'ann', 1) \gset
SELECT es_park('a alone', 2, :fence);
\echo :SQLSTATE
SELECT es_park('a alone', 1000, :fence);
\echo :SQLSTATE
SELECT es_ack('a alone', 1, :fence) AS fence \gset
SELECT es_park('a alone', 1, :fence);
\echo :SQLSTATE
SELECT count(*) FROM es_parked();
-- What is parked goes with its subscription.
SELECT es_park('a alone', 4, :fence) > 0 AS parked, es_drop_subscription('a alone');
SELECT count(*) FROM es_parked_events;
