-- What is known about a subscription: how far behind it is, who has it, what has failed, and waiting for it. Needs
-- max_prepared_transactions > 0.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
\set VERBOSITY terse
CREATE VIEW pg_temp.lag AS
SELECT subscription, partition, checkpoint, backlog, backlog_is_exact AS exact,
       oldest_undelivered_at = (SELECT min(recorded_at) FROM es_events
                                WHERE position > checkpoint AND category = 'order'
                                  AND es_partition_of(stream_id, partitions) = partition) AS oldest,
       oldest_undelivered_age BETWEEN clock_timestamp() - oldest_undelivered_at - interval '1 minute'
                                  AND clock_timestamp() - oldest_undelivered_at AS age
FROM es_subscription_status ORDER BY subscription, partition;
CREATE VIEW pg_temp.failures AS
SELECT subscription, checkpoint, failed_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS failed,
       failed_position, attempts, retry_at > clock_timestamp() AS waits, error
FROM es_subscription_status WHERE failed_at IS NOT NULL ORDER BY subscription, partition;

-- The columns, and what they are before anything has happened.
SELECT es_create_subscription('all', 'order'), es_create_subscription('shared', 'order', partitions => 2);
\x on
SELECT subscription, partition, checkpoint, backlog, backlog_is_exact, oldest_undelivered_at, oldest_undelivered_age,
       consumer, lease_until, fence > 0 AS fence, is_leased, acked_at, failed_at, failed_position, attempts, retry_at,
       error, parked, partitions, next_partitions
FROM es_subscription_status WHERE subscription = 'all';
\x off
-- The backlog is what matches and is not acknowledged, counted up to 1,000; the age is that of its oldest event.
SELECT count(*) FROM generate_series(1, 3) AS n, es_append('order-' || n, 'Placed');
SELECT last_position FROM es_append('stock-1', 'Counted');
SELECT * FROM pg_temp.lag;
SELECT fence FROM es_fetch('all', 'ann') LIMIT 1 \gset
SELECT es_ack('all', 2, :fence) AS fence \gset
SELECT * FROM pg_temp.lag WHERE subscription = 'all';
SELECT es_ack('all', 3, :fence) > :fence AS higher;
SELECT * FROM pg_temp.lag WHERE subscription = 'all';
SELECT count(*) FROM generate_series(1, 1000) AS n, es_append('order-' || n, 'Paid');
SELECT backlog, exact, oldest, age FROM pg_temp.lag WHERE subscription = 'all';
SELECT last_version FROM es_append('order-1', 'Sent');
SELECT backlog, exact, oldest, age FROM pg_temp.lag WHERE subscription = 'all';
SELECT es_reset_subscription('all', 1000), es_reset_subscription('shared', 1000);
SELECT * FROM pg_temp.lag;

-- What lies behind an appender that is not through yet is no backlog: nobody could get it. es_blockers() tells why.
BEGIN;
SELECT first_position FROM es_append('order-2', 'Held');
PREPARE TRANSACTION 'status';
SELECT last_version FROM es_append('order-1', 'Behind');
SELECT backlog FROM pg_temp.lag WHERE subscription = 'all';
SELECT gid, first_position FROM es_blockers();
SELECT count(*) FROM es_fetch('all', 'ann');
COMMIT PREPARED 'status';
SELECT backlog FROM pg_temp.lag WHERE subscription = 'all';
SELECT count(*) FROM es_fetch('all', 'ann');

-- Who has it.
SELECT subscription, partition, consumer, is_leased, lease_until > now() AS until, fence IS NOT NULL AS fence,
       acked_at IS NOT NULL AS acked
FROM es_subscription_status ORDER BY 1, 2;

-- A failure is recorded with its position and how often in a row, and shown until an acknowledgement, a park or a
-- reset.
SELECT fence FROM es_fetch('all', 'ann') LIMIT 1 \gset
SELECT es_fail('all', 1001, :fence, 'no address'), es_fail('all', 1001, :fence, 'still none');
SELECT * FROM pg_temp.failures;
SELECT es_fail('all', 1002, :fence, 'another one');
SELECT * FROM pg_temp.failures;
SELECT min(position) FROM es_fetch('all', 'ann');
SELECT es_wait_for('all', 1002, '1 minute');
\echo :SQLSTATE
SELECT es_fail('all', 1002, :fence + 1, 'not mine');
\echo :SQLSTATE
SELECT es_ack('all', 1002, :fence) AS fence \gset
SELECT * FROM pg_temp.failures;
SELECT es_wait_for('all', 1002, '1 minute');
SELECT es_fail('all', 1003, :fence, 'once');
SELECT es_fail('all', 1003, :fence, 'twice');
SELECT es_park('all', 1003, :fence) AS fence \gset
SELECT (SELECT count(*) FROM pg_temp.failures) AS failures, parked
FROM es_subscription_status WHERE subscription = 'all';
-- Of what is said as many whole characters are kept as have 2,000 bytes.
SELECT es_fail('all', 1005, :fence, '.' || repeat('ü', 1500));
SELECT octet_length(error), length(error) FROM es_subscription_status WHERE subscription = 'all';
SELECT es_fail('all', 1005, :fence, 'reset');
SELECT es_reset_subscription('all', 1002);
SELECT count(*) FROM pg_temp.failures;
-- Until it is to be tried again, a fetch passes over it.
SELECT fence FROM es_fetch('all', 'ann', 1) \gset
SELECT es_fail('all', 1003, :fence, 'wait', '1 hour');
SELECT * FROM pg_temp.failures;
SELECT count(*) FROM es_fetch('all', 'ann');
SELECT retry_at > now() AS later FROM es_claim('all', 'ann');
SELECT es_fail('all', 1003, :fence, 'go on', '1 millisecond');
SELECT pg_sleep(0.01);
SELECT count(*) > 0 AS goes_on FROM es_fetch('all', 'ann');
-- Other partitions go on meanwhile.
SELECT partition AS failed, position, fence FROM es_fetch('shared', 'ann', 1) \gset
SELECT es_fail('shared', :position, :fence, 'wait', '1 hour');
SELECT DISTINCT partition <> :failed AS other FROM es_fetch('shared', 'ann');
-- What is to be tried again does not count as failed, so far as waiting goes; what is not does.
SELECT es_wait_for('shared', es_safe_position(), '0');
\echo :SQLSTATE
SELECT es_fail('shared', :position, :fence, 'gone');
SELECT es_wait_for('shared', es_safe_position(), '1 minute');
\echo :SQLSTATE

-- Waiting ends when what matches is acknowledged, whatever else the log has, or with the time.
SELECT es_reset_subscription('all', es_safe_position());
SELECT es_wait_for('all', es_safe_position());
SELECT last_position FROM es_append('stock-1', 'Counted') \gset
SELECT es_wait_for('all', :last_position);
SELECT last_position FROM es_append('order-1', 'Sent') \gset
SELECT es_wait_for('all', :last_position - 1);
SELECT es_wait_for('all', :last_position, '10 milliseconds');
\echo :SQLSTATE
SELECT es_wait_for('all', :last_position, '0');
\echo :SQLSTATE
SELECT es_ack('all', position, fence) > fence AS higher FROM es_fetch('all', 'ann');
SELECT es_wait_for('all', :last_position, '0');
SELECT es_wait_for('none', 1);
\echo :SQLSTATE
