-- The log cannot be changed by hand: not by its owner, not by a superuser, not under session_replication_role =
-- replica. Rows may be inserted, as a restore does, only until the first append.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS rows = ROW_COUNT;
    RETURN format('%s rows', rows);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE TEMP TABLE attempts (n serial, statement text);
GRANT SELECT ON attempts TO PUBLIC;
INSERT INTO attempts (statement) VALUES
    ('UPDATE es_events SET data = ''{}'''),
    ('UPDATE es_events SET metadata = metadata WHERE version = 1'),
    ('UPDATE es_events SET data = ''{}'' WHERE false'),
    ('DELETE FROM es_events'),
    ('DELETE FROM es_events WHERE false'),
    ('TRUNCATE es_events'),
    ('TRUNCATE es_events, es_log_head CASCADE'),
    ('INSERT INTO es_events SELECT position + 10, version + 10, recorded_at, gen_random_uuid(), 1, stream_id, category,
                                   event_type, data, metadata FROM es_events'),
    ('INSERT INTO es_events SELECT * FROM es_events ON CONFLICT DO NOTHING'),
    ('INSERT INTO es_events SELECT * FROM es_events ON CONFLICT (position) DO UPDATE SET data = ''{}'''),
    ('MERGE INTO es_events USING (VALUES (1)) AS v (n) ON position = n WHEN MATCHED THEN UPDATE SET data = ''{}'''),
    ('MERGE INTO es_events USING (VALUES (1)) AS v (n) ON position = n WHEN MATCHED THEN DELETE'),
    ('MERGE INTO es_events USING es_events AS e ON false WHEN NOT MATCHED THEN INSERT VALUES
      (9, 9, now(), gen_random_uuid(), 1, ''s'', ''s'', ''T'', ''{}'', ''{}'')'),
    ('WITH gone AS (DELETE FROM es_events RETURNING *) SELECT count(*) FROM gone'),
    ('UPDATE es_log_head SET content = '''''),
    ('DELETE FROM es_log_head'),
    ('TRUNCATE es_log_head'),
    ('INSERT INTO es_log_head SELECT row_number + 1, content FROM es_log_head');

-- Before the first append events are refused to be changed as well, but they can be inserted.
INSERT INTO es_events VALUES (1, 1, '2020-01-01', gen_random_uuid(), 1, 'old-1', 'old', 'Restored', '{}', '{}');
COPY es_events FROM STDIN;
2	2	2020-01-01 00:00:00+00	00000000-0000-0000-0000-000000000001	1	old-1	old	Restored	{"n": 2}	{}
\.
SELECT pg_temp.attempt('UPDATE es_events SET data = ''{}''');
SELECT pg_temp.attempt('DELETE FROM es_events');
SELECT pg_temp.attempt('TRUNCATE es_events');
-- The first append continues what was inserted, above it.
SELECT first_version, first_position > 2 AS above FROM es_append('old-1', 'Appended', expected_version => 2);
SELECT count(*), md5(string_agg(e::text, '' ORDER BY position)) AS fingerprint FROM es_events AS e \gset before_

-- From then on a superuser can change nothing.
SELECT statement, pg_temp.attempt(statement) FROM attempts ORDER BY n;
-- Nor can COPY add anything.
COPY es_events FROM STDIN;
3	3	2020-01-01 00:00:00+00	00000000-0000-0000-0000-000000000002	1	old-1	old	Restored	{}	{}
\.
-- The refusal says what to do instead.
DELETE FROM es_events;
\echo :SQLSTATE

-- Nor can a superuser whose session replays what others have done.
SET session_replication_role = replica;
SELECT n, pg_temp.attempt(statement) FROM attempts ORDER BY n;
RESET session_replication_role;

-- Nor can an owner who is no superuser.
SELECT current_user AS superuser \gset
CREATE ROLE regress_tidemark_owner;
ALTER TABLE es_events OWNER TO regress_tidemark_owner;
ALTER TABLE es_log_head OWNER TO regress_tidemark_owner;
SET ROLE regress_tidemark_owner;
SELECT n, pg_temp.attempt(statement) FROM attempts ORDER BY n;
RESET ROLE;

-- Nor does a row disappear with what it refers to.
CREATE TABLE streams_known (stream_id text COLLATE "C" PRIMARY KEY);
INSERT INTO streams_known VALUES ('old-1');
ALTER TABLE es_events ADD CONSTRAINT known
    FOREIGN KEY (stream_id) REFERENCES streams_known ON DELETE CASCADE ON UPDATE CASCADE;
SELECT pg_temp.attempt('DELETE FROM streams_known');
SELECT pg_temp.attempt('UPDATE streams_known SET stream_id = ''new-1''');

-- The streams view is for reading.
SELECT left(pg_temp.attempt('DELETE FROM es_streams'), 5) AS deleted,
       left(pg_temp.attempt('UPDATE es_streams SET version = 9'), 5) AS updated;

-- After all that the events are what they were, and appending goes on.
SELECT count(*) = :before_count AS same_count,
       md5(string_agg(e::text, '' ORDER BY position)) = :'before_fingerprint' AS same_events
FROM es_events AS e;
SELECT last_version FROM es_append('old-1', 'Appended', expected_version => 3);
SELECT * FROM es_verify();

SET client_min_messages = warning;
ALTER TABLE es_events OWNER TO :"superuser";
ALTER TABLE es_log_head OWNER TO :"superuser";
ALTER TABLE es_events DROP CONSTRAINT known;
DROP TABLE streams_known;
DROP ROLE regress_tidemark_owner;

-- Nor are Tidemark's own tables changed by hand.
DELETE FROM es_log_marker;
\echo :SQLSTATE
TRUNCATE es_log_marker;
\echo :SQLSTATE
INSERT INTO es_log_marker VALUES (now());
\echo :SQLSTATE
DELETE FROM es_installations;
\echo :SQLSTATE
UPDATE es_installations SET installed_at = now();
\echo :SQLSTATE
