-- A stream whose order in the log is broken is not delivered: the fetch says that the log is damaged.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
SELECT count(*) FROM generate_series(1, 20) AS n, es_append('order-' || n % 2, 'Placed');
SELECT es_create_subscription('all'), es_create_subscription('odd', stream_prefix => 'order-1'),
       es_create_subscription('even', stream_prefix => 'order-0');
-- Versions 3 and 4 of order-1 change places.
ALTER TABLE es_events DISABLE TRIGGER es_events_immutable;
UPDATE es_events SET position = -position WHERE position IN (5, 7);
UPDATE es_events SET position = 12 + position WHERE position IN (-5, -7);
ALTER TABLE es_events ENABLE ALWAYS TRIGGER es_events_immutable;
SELECT problem, stream_id FROM es_verify();
SELECT position FROM es_fetch('all', 'ann');
\echo :SQLSTATE
SELECT position FROM es_fetch('odd', 'ann');
\echo :SQLSTATE
SELECT count(*) FROM es_fetch('even', 'ann');
-- Nothing moves past it.
SELECT subscription, checkpoint FROM es_subscription_status WHERE subscription <> 'even' ORDER BY 1;
SELECT string_agg(position::text, ' ') FROM es_fetch('all', 'ann', 2);
-- In batches of any size, no event is delivered before the one that comes before it in its stream.
CREATE FUNCTION pg_temp.follow(max_count bigint, OUT versions text) LANGUAGE plpgsql AS $$
DECLARE
    event record;
BEGIN
    PERFORM es_reset_subscription('odd', 0);
    LOOP
        FOR event IN SELECT * FROM es_fetch('odd', 'ann', max_count) LOOP
            versions := concat_ws(' ', versions, event.version);
        END LOOP;
        PERFORM es_ack('odd', event.position, event.fence);
    END LOOP;
EXCEPTION WHEN SQLSTATE 'TM002' THEN
    NULL;
END
$$;
SELECT max_count, pg_temp.follow(max_count) FROM generate_series(1, 4) AS max_count;
