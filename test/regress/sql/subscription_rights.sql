-- Rights: nobody has any unless given; a reader cannot touch subscriptions, a consumer needs nothing but functions, and
-- what changes a subscription for others is the administrator's.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
DROP ROLE IF EXISTS regress_public, regress_reader, regress_writer, regress_consumer, regress_admin;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE ROLE regress_public;
CREATE ROLE regress_reader IN ROLE tidemark_reader;
CREATE ROLE regress_writer IN ROLE tidemark_writer;
CREATE ROLE regress_consumer IN ROLE tidemark_consumer;
CREATE ROLE regress_admin IN ROLE tidemark_admin;
\set VERBOSITY sqlstate
SELECT proname, has_function_privilege('regress_public', p.oid, 'EXECUTE') AS public,
       has_function_privilege('regress_reader', p.oid, 'EXECUTE') AS reader,
       has_function_privilege('regress_writer', p.oid, 'EXECUTE') AS writer,
       has_function_privilege('regress_consumer', p.oid, 'EXECUTE') AS consumer,
       has_function_privilege('regress_admin', p.oid, 'EXECUTE') AS admin
FROM pg_proc AS p JOIN pg_depend ON objid = p.oid JOIN pg_extension AS e ON refobjid = e.oid
WHERE deptype = 'e' AND extname = 'tidemark' ORDER BY proname COLLATE "C";
SELECT relname, has_table_privilege('regress_public', c.oid, 'SELECT') AS public,
       has_table_privilege('regress_reader', c.oid, 'SELECT') AS reader,
       has_table_privilege('regress_writer', c.oid, 'SELECT') AS writer,
       has_table_privilege('regress_consumer', c.oid, 'SELECT') AS consumer,
       has_table_privilege('regress_admin', c.oid, 'SELECT') AS admin,
       has_table_privilege('regress_admin', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS admin_changes
FROM pg_class AS c WHERE relname LIKE 'es\_subscription%' AND relkind IN ('r', 'v') OR relname = 'es_parked_events'
ORDER BY relname COLLATE "C";

-- A consumer does all of its work by the functions.
SELECT count(*) FROM generate_series(1, 6) AS n, es_append('order-' || n % 2, 'Placed');
SET ROLE regress_consumer;
SELECT es_create_subscription('mails');
SELECT count(*) FROM es_claim('mails', 'ann');
SELECT fence FROM es_fetch('mails', 'ann') LIMIT 1 \gset
SELECT es_ack('mails', 1, :fence) AS fence \gset
SELECT es_fail('mails', 2, :fence, 'no');
SELECT es_park('mails', 2, :fence) > 0 AS parked;
SELECT stream_id FROM es_parked();
SELECT es_wait_for('mails', 2);
SELECT checkpoint, parked FROM es_subscription_status;
SELECT es_partition_of('order-1', 4), (SELECT count(*) FROM es_read_after());
SELECT es_release('mails', 'ann');
-- No more than that.
SELECT es_unpark('mails', 2);
SELECT es_reset_subscription('mails', 0);
SELECT es_set_partitions('mails', 2);
SELECT es_drop_subscription('mails');
CALL es_notify(duration => '0');
UPDATE es_subscription_partitions SET checkpoint = 0;
DELETE FROM es_subscriptions;
DELETE FROM es_parked_events;
SELECT last_version FROM es_append('order-1', 'Mine');
-- A writer is no consumer, and a reader neither.
SET ROLE regress_writer;
SELECT es_create_subscription('mine');
SELECT count(*) FROM es_fetch('mails', 'ann');
SET ROLE regress_reader;
SELECT count(*) FROM es_fetch('mails', 'ann');
SELECT es_ack('mails', 3, :fence);
SELECT count(*) FROM es_subscription_status;
SET ROLE regress_public;
SELECT count(*) FROM es_fetch('mails', 'ann');
SELECT count(*) FROM es_subscription_status;
SELECT es_partition_of('order-1', 4);
-- The administrator may do the rest.
SET ROLE regress_admin;
SELECT es_unpark('mails', 2), es_reset_subscription('mails', 0), es_set_partitions('mails', 2);
CALL es_notify(duration => '1 millisecond');
SELECT es_drop_subscription('mails');
DELETE FROM es_subscriptions;
RESET ROLE;
DROP ROLE regress_public, regress_reader, regress_writer, regress_consumer, regress_admin;
