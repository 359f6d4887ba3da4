-- Stretches of the log without events for a subscription are noted where they are long, and followed by the checkpoint;
-- but not where something else may come to lie in them.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.noise() RETURNS bigint LANGUAGE sql AS $$
    SELECT last_position
    FROM es_append_events('noise', (SELECT jsonb_agg('{"type": "X"}'::jsonb) FROM generate_series(1, 1100)))
$$;

-- A fetch notes the stretch behind what it returns, and an acknowledgement goes over it.
SELECT es_create_subscription('mails', event_types => '{T}'), es_create_subscription('held', event_types => '{T}');
SELECT first_position FROM es_append('a', 'T');
SELECT first_position FROM es_append('b', 'T');
SELECT pg_temp.noise();
SELECT max(position) AS position, max(fence) AS fence FROM es_fetch('mails', 'ann') \gset
SELECT :position AS last, es_ack('mails', :position, :fence) > :fence AS acknowledged;
SELECT checkpoint FROM es_subscription_status WHERE subscription = 'mails';

-- Events that are held back are not for anybody as long as they are; when their stream is free again before the
-- checkpoint has passed them, they come.
SELECT first_position FROM es_append('a', 'T');
SELECT max(fence) AS fence FROM es_fetch('held', 'ann') \gset
SELECT es_park('held', 1, :fence) > :fence AS parked;
SELECT position, stream_id FROM es_fetch('held', 'ann');
SELECT es_unpark('held', 1);
SELECT max(fence) AS fence, bool_and(redelivered) AS redelivered FROM es_fetch('held', 'ann') \gset
SELECT :'redelivered' AS redelivered, es_ack('held', 1, :fence) > :fence AS acknowledged;
SELECT count(*) FROM es_parked();
SELECT max(position) AS position, max(fence) AS fence FROM es_fetch('held', 'ann', 1) \gset
SELECT :position AS next, es_ack('held', :position, :fence) > :fence AS acknowledged;
SELECT position, stream_id FROM es_fetch('held', 'ann');

-- While the number of partitions changes, nothing leads beyond the barrier, and no pause holds it up.
SELECT es_partition_of('one', 2) AS one, es_partition_of('x-2', 2) AS other;
SELECT es_create_subscription('parts', event_types => '{T}', start => 'end', partitions => 2);
SELECT first_position - 1 AS before FROM es_append('one', 'T') \gset
SELECT first_position - :before FROM es_append('x-2', 'T');
SELECT pg_temp.noise() - :before;
SELECT first_position - :before FROM es_append('x-2', 'T');
SELECT max(position) AS position, max(fence) AS fence FROM es_fetch('parts', 'ann') \gset
SELECT :position - :before AS first, es_fail('parts', :position, :fence, 'not now', retry_after => '1 hour');
SELECT max(position) AS position, max(fence) AS fence FROM es_fetch('parts', 'ann', 1) \gset
SELECT :position - :before AS second, es_ack('parts', :position, :fence) > :fence AS acknowledged;
SELECT es_set_partitions('parts', 3);
SELECT max(position) AS position, max(fence) AS fence FROM es_fetch('parts', 'ann', 1) \gset
SELECT :position - :before AS first, es_ack('parts', :position, :fence) > :fence AS acknowledged;
SELECT checkpoint - :before AS checkpoint, next_partitions
FROM es_subscription_status WHERE subscription = 'parts' ORDER BY 1;
SELECT position - :before AS third FROM es_fetch('parts', 'ann');
SELECT position - :before AS third FROM es_fetch('parts', 'ann');
SELECT checkpoint - :before AS checkpoint, partitions, next_partitions
FROM es_subscription_status WHERE subscription = 'parts' ORDER BY partition;
