-- es_read_streams(): the events of several streams, in the order of the ids, of one moment; and the command that reads
-- streams, decides, and appends with the versions that it has read.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
SELECT stream_id, last_version FROM es_append_streams('[
    {"stream": "b-1", "events": [{"type": "A", "data": 1, "metadata": {"user": "ann"}}, {"type": "B"}]},
    {"stream": "a-1", "events": [{"type": "C"}], "category": "other"}, {"stream": "B-1", "events": [{"type": "D"}]},
    {"stream": "b-10", "events": [{"type": "E"}]}]');
SELECT last_version FROM es_append('b-1', 'F');

-- In the order of the ids, each stream in version order; the rows are those of es_events.
SELECT stream_id, version, event_type FROM es_read_streams('{b-1,a-1,B-1}');
SELECT stream_id, version, event_type FROM es_read_streams('{B-1,a-1,b-1}');
SELECT position, version, schema_version, stream_id, category, event_type, data, metadata
FROM es_read_streams('{b-1,a-1}');
SELECT count(*) AS differences
FROM (SELECT * FROM es_read_streams('{b-1}') EXCEPT SELECT * FROM es_events WHERE stream_id = 'b-1') AS _;
-- Ids are taken literally, and what has no events has no rows.
SELECT stream_id, version FROM es_read_streams('{b,b-,b-%,none-1,b-10,B-10}');
SELECT count(*) FROM es_read_streams('{}');
SELECT count(*) FROM es_read_streams('{none-1}');
-- An id that is given twice counts once, at its first place.
SELECT stream_id, version FROM es_read_streams('{a-1,b-10,a-1,none-1,b-10,none-1,B-1}');
-- The bounds of the array do not matter.
SELECT stream_id, version FROM es_read_streams('[7:8]={b-10,a-1}');

-- The transaction's own events are there, and gone after ROLLBACK TO; those of the same statement are not.
BEGIN;
SAVEPOINT one;
SELECT last_version FROM es_append('a-1', 'Own');
SELECT stream_id, version, event_type FROM es_read_streams('{a-1,own-1}');
ROLLBACK TO one;
SELECT stream_id, version, event_type FROM es_read_streams('{a-1,own-1}');
COMMIT;
WITH append AS MATERIALIZED (SELECT last_version FROM es_append('a-1', 'Same'))
SELECT last_version, (SELECT max(version) FROM es_read_streams('{a-1}')) AS read FROM append;
-- A cursor goes on from its own moment.
BEGIN;
DECLARE both_streams CURSOR FOR SELECT stream_id, version FROM es_read_streams('{B-1,b-10}');
FETCH 1 FROM both_streams;
SELECT last_version FROM es_append_streams('[{"stream": "B-1", "events": [{"type": "Late"}]},
                                             {"stream": "b-10", "events": [{"type": "Late"}]}]');
FETCH ALL FROM both_streams;
COMMIT;
-- It reads in every transaction, also one that may not write, and joins like a table.
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT sum(version) FROM es_read_streams('{B-1,b-10}');
COMMIT;
SELECT stream_id, first_position, event.event_type
FROM es_streams JOIN es_read_streams('{b-1,b-10}') AS event USING (stream_id, version) ORDER BY stream_id;

-- A command: read, decide, append with the versions read, checking what was only read; begin again on TM001. The
-- second one is told what has changed since it read.
SELECT es_append_events('account-1', '[{"type": "Opened"}, {"type": "Deposited", "data": 100}]'),
       es_append('limit-1', 'LimitSet', '80') \g /dev/null
CREATE FUNCTION pg_temp.transfer(amount integer, meanwhile text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    streams constant text[] := '{account-1,account-2,limit-1}';
    versions jsonb;
    balance integer;
    highest integer;
    report text := '';
    conflict text;
BEGIN
    LOOP
        SELECT jsonb_object_agg(stream_id, version ORDER BY version),
               sum(CASE event_type WHEN 'Deposited' THEN data::integer WHEN 'Withdrawn' THEN -data::integer END)
                   FILTER (WHERE stream_id = 'account-1'),
               (array_agg(data::integer ORDER BY version DESC) FILTER (WHERE stream_id = 'limit-1'))[1]
        INTO versions, balance, highest FROM es_read_streams(streams);
        EXECUTE coalesce(meanwhile, 'SELECT');
        meanwhile := NULL;
        IF amount > least(balance, highest) THEN
            RETURN report || 'refused';
        END IF;
        BEGIN
            PERFORM es_append_streams(jsonb_build_array(
                jsonb_build_object('stream', streams[1], 'expected', coalesce(versions -> streams[1], '"no stream"'),
                    'events', jsonb_build_array(jsonb_build_object('type', 'Withdrawn', 'data', amount))),
                jsonb_build_object('stream', streams[2], 'expected', coalesce(versions -> streams[2], '"no stream"'),
                    'events', jsonb_build_array(jsonb_build_object('type', 'Deposited', 'data', amount))),
                jsonb_build_object('stream', streams[3], 'expected', coalesce(versions -> streams[3], '"no stream"'))));
            RETURN report || 'done';
        EXCEPTION WHEN SQLSTATE 'TM001' THEN
            GET STACKED DIAGNOSTICS conflict = PG_EXCEPTION_DETAIL;
            report := report || conflict || ', again: ';
        END;
    END LOOP;
END
$$;
SELECT pg_temp.transfer(10);
SELECT pg_temp.transfer(60, $$SELECT es_append('limit-1', 'LimitSet', '70')$$);
SELECT pg_temp.transfer(20, $$SELECT es_append('account-1', 'Withdrawn', '15')$$);
SELECT pg_temp.transfer(10, $$SELECT es_append('limit-1', 'LimitSet', '5')$$);
SELECT stream_id, version, event_type, data FROM es_read_streams('{account-1,account-2,limit-1}');

-- A thousand streams at once, and their order.
SELECT count(*) FROM es_append_streams((SELECT jsonb_agg(jsonb_build_object('stream', 'many-' || n, 'events',
                                                  '[{"type": "T"}, {"type": "T"}]'::jsonb))
                                        FROM generate_series(1, 1000) AS n));
SELECT count(*), count(DISTINCT stream_id) AS streams,
       bool_and(n = 2 * (1000 - split_part(stream_id, '-', 2)::integer) + version) AS in_order
FROM es_read_streams((SELECT array_agg('many-' || n ORDER BY n DESC) FROM generate_series(1, 1000) AS n))
         WITH ORDINALITY AS _ (position, version, recorded_at, event_id, schema_version, stream_id, category,
                               event_type, data, metadata, n);
SELECT * FROM es_verify();
