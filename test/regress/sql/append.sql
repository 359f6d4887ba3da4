-- es_append() and the expected versions: what each of them demands of a stream, what a refusal says, and that a refused
-- append writes nothing and takes no position.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;

-- Any expectation creates a stream, whose first event has version 1; a new log begins at position 1.
SELECT * FROM es_append('order-1', 'OrderPlaced', '{"total": 3}');
-- Any expectation also appends to a stream that exists; it is the default.
SELECT * FROM es_append('order-1', 'OrderPaid', expected_version => es_any());
-- No stream creates a stream.
SELECT * FROM es_append('order-2', 'OrderPlaced', expected_version => es_no_stream());
-- An exact version appends at that version.
SELECT * FROM es_append('order-2', 'OrderPaid', expected_version => 1);
-- Stream exists appends at any version.
SELECT * FROM es_append('order-2', 'OrderShipped', expected_version => es_stream_exists());
SELECT * FROM es_append('order-2', 'OrderReceived', expected_version => es_stream_exists());

-- No stream is refused where the stream has events.
SELECT * FROM es_append('order-2', 'OrderPlaced', expected_version => es_no_stream());
\echo :SQLSTATE
-- An exact version that is too low is refused.
SELECT * FROM es_append('order-2', 'OrderClosed', expected_version => 3);
\echo :SQLSTATE
-- An exact version that is too high is refused.
SELECT * FROM es_append('order-2', 'OrderClosed', expected_version => 5);
\echo :SQLSTATE
-- The highest bigint is a version like any other.
SELECT * FROM es_append('order-2', 'OrderClosed', expected_version => 9223372036854775807);
\echo :SQLSTATE
-- An exact version of a missing stream is refused.
SELECT * FROM es_append('order-3', 'OrderPlaced', expected_version => 1);
\echo :SQLSTATE
-- Version 0 never matches: a missing stream is es_no_stream().
SELECT * FROM es_append('order-3', 'OrderPlaced', expected_version => 0);
\echo :SQLSTATE
-- Version 0 does not match a stream with events either.
SELECT * FROM es_append('order-2', 'OrderPlaced', expected_version => 0);
\echo :SQLSTATE
-- Stream exists is refused where the stream has no events.
SELECT * FROM es_append('order-3', 'OrderPlaced', expected_version => es_stream_exists());
\echo :SQLSTATE

-- The refused appends have written nothing and taken no position.
SELECT count(*) AS events, es_head_position() FROM es_events;
SELECT es_stream_version('order-2'), es_stream_version('order-3');
-- After a conflict, reading the version and appending at it succeeds, at the next position.
SELECT * FROM es_append('order-2', 'OrderClosed', expected_version => es_stream_version('order-2'));

-- What is not given: an empty object for data and metadata, schema version 1, the stream's category, a unique UUID of
-- version 7, and the time of the append.
BEGIN;
SELECT last_version FROM es_append('order-4', 'OrderPlaced');
SELECT data, metadata, schema_version, category, substr(event_id::text, 15, 1) AS uuid_version,
       recorded_at BETWEEN now() AND clock_timestamp() AS recorded_now
FROM es_read_stream('order-4');
COMMIT;
SELECT count(DISTINCT event_id) AS ids, count(*) AS events FROM es_events;
-- What is given is stored.
SELECT last_version FROM es_append('order-5', 'OrderPlaced', '[1, 2]', '{"by": "me"}', es_no_stream(),
                                   '00000000-0000-0000-0000-00000000000a', 'special', 3);
SELECT event_type, event_id, category, schema_version, data, metadata FROM es_read_stream('order-5');

-- Several appends in one statement each see the ones before.
SELECT n, last_version FROM generate_series(1, 3) AS n, es_append('counter', 'Counted', to_jsonb(n)) AS append;
SELECT version, data FROM es_read_stream('counter');

-- Of 1,000 rapid appends to one stream, each is followed by one at a stale version that is refused.
DO $$
DECLARE
    refused integer := 0;
BEGIN
    FOR version IN 0..999 LOOP
        PERFORM es_append('rapid', 'Tick', expected_version => coalesce(nullif(version, 0), es_no_stream()));
        BEGIN
            PERFORM es_append('rapid', 'Stale', expected_version => version);
        EXCEPTION WHEN SQLSTATE 'TM001' THEN
            refused := refused + 1;
        END;
    END LOOP;
    RAISE NOTICE '% stale appends refused', refused;
END
$$;
SELECT count(*), min(version), max(version), max(position) - min(position) AS distance
FROM es_read_stream('rapid') WHERE event_type = 'Tick';
SELECT last_version FROM es_append('rapid', 'Tick', expected_version => 1000);
SELECT * FROM es_verify();

-- One column of the result may be asked for without FROM; for all of them the function is called once each.
SELECT (es_append('column-1', 'One')).last_version;
SELECT (es_append('column-1', 'Many')).*;
SELECT es_stream_version('column-1');
