-- es_append_streams(): events for many streams in one call, all or none; streams that are only checked; expectations,
-- positions, categories, the correlation id; retries; and more streams than there are locks.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.writes(shorthand text, data jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    -- A write for each word, stream:expected:ids. Each letter of ids is an event: a hexadecimal digit is the last one
    -- of its id, a dot stands for no id.
    SELECT jsonb_agg(jsonb_build_object('stream', split_part(word, ':', 1), 'expected', split_part(word, ':', 2)::int,
               'events', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('type', 'T', 'data', data, 'id',
                              CASE WHEN id <> '.' THEN '00000000-0000-0000-0000-00000000000' || id END)) ORDER BY m)
                          FROM regexp_split_to_table(nullif(split_part(word, ':', 3), ''), '') WITH ORDINALITY
                                   AS _ (id, m))) ORDER BY n)
    FROM regexp_split_to_table(shorthand, ' ') WITH ORDINALITY AS _ (word, n)
$$;
CREATE FUNCTION pg_temp.attempt(writes jsonb, correlation_id text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    explanation text;
    head bigint := es_head_position();
    events bigint := (SELECT count(*) FROM es_events);
BEGIN
    BEGIN
        SELECT string_agg(format('%s %s-%s @ %s-%s', stream_id, first_version, last_version, first_position,
                                 last_position) || CASE WHEN is_duplicate THEN ' again' ELSE '' END, ', ')
        INTO result FROM es_append_streams(writes, correlation_id);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS explanation = PG_EXCEPTION_DETAIL;
        result := SQLSTATE || CASE SQLSTATE WHEN 'TM003' THEN '' ELSE ' ' || explanation END;
    END;
    RETURN format('%s; %s written, %s positions', coalesce(result, 'nothing'),
                  (SELECT count(*) FROM es_events) - events, es_head_position() - head);
END
$$;

-- Money moves, and nobody ever sees half of it. A row comes back for each write, in their order.
SELECT * FROM es_append_streams('[
    {"stream": "account-1", "expected": "no stream", "events": [{"type": "Opened"}, {"type": "Withdrawn", "data": 70}]},
    {"stream": "rule-1"},
    {"stream": "account-2", "expected": "no stream", "events": [{"type": "Deposited", "data": 70}]}]');
SELECT position, stream_id, category, version, event_type, data, metadata FROM es_read_after();
-- Every key of an event is stored, and every column has the defaults of es_append().
SELECT last_version FROM es_append_streams('[{"stream": "full-1", "events": [
    {"type": "Placed", "data": {"total": 1.50}, "metadata": {"by": "me"}, "schema_version": 4,
     "id": "00000000-0000-0000-0000-0000000000FF"}, {"type": "Paid", "data": null, "id": null, "metadata": null}]}]');
SELECT event_type, data, metadata, schema_version, event_id = '00000000-0000-0000-0000-0000000000ff' AS own_id
FROM es_read_stream('full-1');
-- What comes back is what the next call expects, in any order of the writes.
SELECT jsonb_agg(jsonb_build_object('stream', stream_id, 'expected', last_version,
                                    'events', '[{"type": "Next"}]'::jsonb) ORDER BY stream_id DESC) AS next
FROM es_append_streams('[{"stream": "account-1", "events": [{"type": "Frozen"}]}, {"stream": "account-2"}]') \gset
SELECT pg_temp.attempt(:'next');
-- Appending to one leaves the version of the other as it was.
SELECT last_version FROM es_append('account-1', 'Closed', expected_version => 4);
SELECT pg_temp.attempt(pg_temp.writes('account-2:2:.'));

-- One expectation that fails among several refuses the call: nothing is written to any stream, no position used up.
SELECT * FROM es_append_streams(pg_temp.writes('account-1:5:. account-2:2:. new-1:-1:.'));
\echo :SQLSTATE
SELECT pg_temp.attempt(pg_temp.writes('account-1:5:. account-2:2:. new-1:-1:.'));
SELECT string_agg(stream_id || ' ' || version, ', ' ORDER BY stream_id) FROM es_streams;
-- All that fail are listed, and these alone, in the order of the writes, checked or written to.
SELECT pg_temp.attempt(pg_temp.writes('z-1:-4:. account-2:3:. rule-1:7 account-1:-1:. full-1:2:. b-1:0 c-1:-1:.'));
-- The detail is JSON, whatever the streams are called.
DO $$
DECLARE
    failures text;
    failure jsonb;
BEGIN
    PERFORM es_append_streams('[{"stream": "\"a\\b\" é😀", "expected": 1}, {"stream": "account-1", "expected": -1}]');
EXCEPTION WHEN SQLSTATE 'TM001' THEN
    GET STACKED DIAGNOSTICS failures = PG_EXCEPTION_DETAIL;
    FOR failure IN SELECT jsonb_array_elements(failures::jsonb) LOOP
        RAISE NOTICE '% expected % actual %', failure ->> 'stream', failure -> 'expected', failure -> 'actual';
    END LOOP;
END
$$;

-- Expectations have words and numbers; absent or null is any.
SELECT expected, pg_temp.attempt(format('[{"stream": "full-1", "expected": %s}]', expected)::jsonb),
       pg_temp.attempt(format('[{"stream": "none-1", "expected": %s}]', expected)::jsonb)
FROM unnest(ARRAY['"any"', '-2', 'null', '"no stream"', '-1', '"stream exists"', '-4', '2', '2.0', '3', '0'])
         AS expected;

-- A stream that is only checked: a stale expectation refuses the whole call, a true one passes and adds nothing.
SELECT pg_temp.attempt(pg_temp.writes('full-1:1 check-1:-1:.'));
SELECT pg_temp.attempt(pg_temp.writes('full-1:2 check-1:-1:. none-1:-1 account-1:-4'));
SELECT es_stream_version('full-1'), (SELECT count(*) FROM es_streams WHERE stream_id = 'none-1') AS created;
-- An empty array of events is none, and a call that only checks writes nothing.
SELECT pg_temp.attempt('[{"stream": "full-1", "expected": 2, "events": []}, {"stream": "check-1", "events": null}]');
SELECT pg_temp.attempt('[{"stream": "full-1", "expected": 3, "events": []}, {"stream": "check-1"}]');
-- Without writes there is nothing to do.
SELECT count(*) FROM es_append_streams('[]');
SELECT pg_temp.attempt('[]', 'call-1');

-- Positions are consecutive, in the order given, whatever the streams are called and in which order they are locked.
SELECT pg_temp.attempt(pg_temp.writes('zz-1:-1:... aa-1:-1:. rule-1:-1 ZZ-1:-1:. mm-1:-1:.. éé-1:-1:.'));
SELECT string_agg(stream_id || ' ' || version, ', ' ORDER BY position) FROM es_events
WHERE category IN ('zz', 'aa', 'ZZ', 'mm', 'éé');
-- Ids compare byte by byte: these are three streams.
SELECT pg_temp.attempt(pg_temp.writes('é-1:-1:. É-1:-1:. e-1:-1:.'));

-- A category is given with a stream's first events, and holds for good.
SELECT pg_temp.attempt('[{"stream": "1", "category": "number", "events": [{"type": "T"}]},
                         {"stream": "2", "events": [{"type": "T"}]}, {"stream": "3", "category": "number"}]');
SELECT pg_temp.attempt('[{"stream": "1", "category": "number", "events": [{"type": "T"}]}, {"stream": "2"}]');
SELECT pg_temp.attempt('[{"stream": "new-1", "events": [{"type": "T"}]},
                         {"stream": "1", "category": "1", "events": [{"type": "T"}]}]');
SELECT pg_temp.attempt('[{"stream": "new-1", "events": [{"type": "T"}]}, {"stream": "1", "category": "other"}]');
SELECT stream_id, category, version FROM es_streams WHERE stream_id IN ('1', '2', '3', 'new-1') ORDER BY stream_id;

-- The correlation id goes into the metadata of every event, beside what is there.
SELECT pg_temp.attempt('[{"stream": "order-1", "events": [{"type": "A"}, {"type": "B", "metadata": {"user": "ann"}}]},
                         {"stream": "full-1", "expected": 2},
                         {"stream": "order-2", "events": [{"type": "C", "metadata": {"correlation_id": "call-1"}},
                                                          {"type": "D", "metadata": null}]}]', 'call-1');
SELECT event_type, metadata FROM es_read_after(category => 'order');
SELECT metadata FROM es_read_stream('full-1', 2);
-- Another one in an event refuses the call, also one that is no text; without one of the call's all are kept.
SELECT pg_temp.attempt('[{"stream": "order-1", "events": [{"type": "A"}]}, {"stream": "order-2", "events": [
                         {"type": "C"}, {"type": "D", "metadata": {"correlation_id": "call-1"}}]}]', 'call-2');
SELECT pg_temp.attempt(format('[{"stream": "order-1", "events": [{"type": "A", "metadata": {"correlation_id": %s}}]}]',
                              other)::jsonb, '7')
FROM unnest(ARRAY['7', '{}', '""', '"7 "']) AS other;
SELECT pg_temp.attempt('[{"stream": "order-3", "events": [{"type": "A", "metadata": {"correlation_id": 7}},
                                                          {"type": "B"}]}]');
SELECT event_type, metadata FROM es_read_stream('order-3');
-- It is a name like others: what is blank, too long or odd is refused, also where there is no event to take it.
SELECT length(id), pg_temp.attempt('[{"stream": "order-3"}]', id)
FROM unnest(ARRAY['', ' ', ' x', 'x ', E'a\nb', repeat('x', 256), repeat('é', 255)]) AS id;

-- Events with ids make the call safe to repeat. The first result comes back as it was, though all streams have moved
-- on.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c price-1:-1 pay-3:-2:d rule-2:-2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:2:. price-1:-1:.. pay-3:1:. rule-2:-1:.'));
SELECT pg_temp.attempt(pg_temp.writes('pay-2:1:e price-1:2 pay-1:-4:f rule-2:-4 full-1:-2'), 'call-3');
SELECT pg_temp.attempt(pg_temp.writes('pay-1:4:. price-1:2:. rule-2:1:. full-1:2:. pay-2:2:.'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c price-1:-1 pay-3:-2:d rule-2:-2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-2:1:e price-1:2 pay-1:-4:f rule-2:-4 full-1:-2'), 'call-3');
-- Metadata may differ, and so the correlation id; what is stored stays.
SELECT pg_temp.attempt(pg_temp.writes('pay-2:1:e price-1:2 pay-1:-4:f rule-2:-4 full-1:-2'), 'call-4');
SELECT metadata FROM es_read_stream('pay-2', 2, 1);
-- A repeated call may be repeated by es_append_events() where it wrote to one stream.
SELECT pg_temp.attempt(pg_temp.writes('alone-1:-1:01'));
SELECT stream_id, last_version, last_position, is_duplicate
FROM es_append_events('alone-1', pg_temp.writes('alone-1:-1:01') -> 0 -> 'events', es_no_stream());

-- What counts is that the log holds all of it together, in place: so also without the first write or the last, and with
-- another check that would have held.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c'));
SELECT pg_temp.attempt(pg_temp.writes('pay-2:-1:c full-1:2 pay-3:-1:d'));

-- All else is an idempotency conflict. Some events old, some new: one more write, one more event.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c pay-3:-2:d pay-4:-1:2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-4:-1:2 pay-1:-1:ab pay-2:-1:c pay-3:-2:d'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c2 pay-3:-2:d'));
-- Old events beside events without an id.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c pay-3:-2:.'));
-- A write or an event fewer, so that the rest does not stand together in the log.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-3:-2:d'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:a pay-2:-1:c'));
-- Another order of the writes, or of a write's events.
SELECT pg_temp.attempt(pg_temp.writes('pay-2:-1:c pay-1:-1:ab pay-3:-2:d'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ba pay-2:-1:c pay-3:-2:d'));
-- Events that have moved from one stream to another.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:abc pay-2:-1:d'));
SELECT pg_temp.attempt(pg_temp.writes('pay-2:-1:ab pay-1:-1:c pay-3:-2:d'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c pay-9:-2:d'));
-- Another expectation, of a stream that is written to and of one that is only checked.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:2:c price-1:-1 pay-3:-2:d rule-2:-2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c price-1:2 pay-3:-2:d rule-2:-2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c price-1:-4 pay-3:-2:d rule-2:-2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-2:1:e price-1:3 pay-1:-4:f rule-2:-4 full-1:-2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-2:1:e price-1:-1 pay-1:-4:f rule-2:-4 full-1:-2'));
-- Other data.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:c pay-3:-2:d', '1'));
-- Events of two calls, though each is there.
SELECT pg_temp.attempt(pg_temp.writes('pay-3:-2:d pay-2:1:e'));
-- One id twice in a call.
SELECT pg_temp.attempt(pg_temp.writes('new-1:-1:2 new-2:-1:2'));
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:ab pay-2:-1:a'));
-- New ids on what is stale are no idempotency conflict.
SELECT pg_temp.attempt(pg_temp.writes('pay-1:-1:23 pay-2:-1:4 price-1:-1'));
-- Events without ids are never known again.
SELECT pg_temp.attempt(pg_temp.writes('new-1:-2:. new-2:-2:.'));
SELECT pg_temp.attempt(pg_temp.writes('new-1:-2:. new-2:-2:.'));
-- Inside a transaction a retry finds its own first attempt; one that was rolled back is written anew.
BEGIN;
SELECT last_version, is_duplicate FROM es_append_streams(pg_temp.writes('tx-1:-1:5 tx-2:-1:6'));
SAVEPOINT one;
SELECT last_version, is_duplicate FROM es_append_streams(pg_temp.writes('tx-1:-1:5 tx-2:-1:6'));
SELECT last_version, is_duplicate FROM es_append_streams(pg_temp.writes('tx-1:1:7 tx-2:1:8'));
ROLLBACK TO one;
SELECT last_version, is_duplicate FROM es_append_streams(pg_temp.writes('tx-1:1:7 tx-2:1:8'));
COMMIT;
SELECT last_version, is_duplicate FROM es_append_streams(pg_temp.writes('tx-1:1:7 tx-2:1:8'));

-- More streams than there are locks: 1,500 and 100,000 in one call, every tenth of them only checked.
CREATE FUNCTION pg_temp.many(name text, count integer, expected bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('stream', format('%s-%s', name, n), 'expected', expected, 'events',
               CASE WHEN n % 10 > 0 THEN jsonb_build_array(jsonb_build_object('type', 'T', 'data', n)) END) ORDER BY n)
    FROM generate_series(1, count) AS n
$$;
SELECT count(*), count(first_version) AS written, sum(last_version) AS versions,
       max(last_position) - min(first_position) AS distance
FROM es_append_streams(pg_temp.many('some', 1500, es_no_stream()), 'import-1');
BEGIN;
SELECT count(*), count(first_version) AS written, sum(last_version) AS versions,
       max(last_position) - min(first_position) AS distance
FROM es_append_streams(pg_temp.many('many', 100000, es_no_stream()));
SELECT count(*) < 1100 AS bounded FROM pg_locks WHERE pid = pg_backend_pid();
-- Further calls go on in the transaction.
SELECT pg_temp.attempt(pg_temp.writes('many-1:1:. many-10:-1 some-2:1:.')) ~ '; 2 written, 2 positions$' AS accepted;
COMMIT;
SELECT count(*), bool_and(stream_id = format('many-%s', data)) AS right_streams,
       count(*) FILTER (WHERE data::integer < previous) AS out_of_order
FROM (SELECT stream_id, data, lag(data::integer) OVER (ORDER BY position) AS previous
      FROM es_events WHERE category = 'many' AND version = 1) AS event;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype NOT IN ('relation', 'virtualxid');
-- All that fail among many are listed.
DO $$
DECLARE
    failures text;
BEGIN
    PERFORM es_append_streams(pg_temp.many('some', 1500, es_no_stream()));
EXCEPTION WHEN SQLSTATE 'TM001' THEN
    GET STACKED DIAGNOSTICS failures = PG_EXCEPTION_DETAIL;
    RAISE NOTICE '% failures, the second %', jsonb_array_length(failures::jsonb), failures::jsonb -> 1;
END
$$;
-- 5,000 that are only checked; and rolled back, as many leave nothing but a gap.
SELECT count(*), sum(last_version), count(first_version) AS written
FROM es_append_streams((SELECT jsonb_agg(jsonb_build_object('stream', 'many-' || n))
                        FROM generate_series(1, 5000) AS n));
BEGIN;
SAVEPOINT one;
SELECT count(*) FROM es_append_streams(pg_temp.many('gone', 2000, es_no_stream()));
ROLLBACK TO one;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
SELECT last_version FROM es_append('some-1', 'T', expected_version => 1);
COMMIT;
SELECT count(*) FROM es_streams WHERE category = 'gone';
SELECT es_safe_position() = es_head_position() AS released;
SELECT * FROM es_verify();

-- A check alone asks for no category.
SELECT stream_id, last_version FROM es_append_streams('[{"stream": "-5", "expected": "no stream"}]');
SELECT stream_id, last_version FROM es_append_events('-5', '[]', es_no_stream());
SELECT stream_id FROM es_append_streams('[{"stream": "-5", "events": [{"type": "A"}]}]');
