\echo Use "CREATE EXTENSION tidemark" to load this file. \quit

-- Nothing is looked up in the schema that Tidemark is installed into, where others may have put functions of any name.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Tables ------------------------------------------------------------------------------------------------------------
-- The columns of es_events are known to the library by number: new ones go to the end.

CREATE TABLE @extschema@.es_events (
    position        bigint      NOT NULL,
    version         bigint      NOT NULL,
    recorded_at     timestamptz NOT NULL,
    event_id        uuid        NOT NULL,
    schema_version  integer     NOT NULL,
    stream_id       text COLLATE "C" NOT NULL,
    category        text COLLATE "C" NOT NULL,
    event_type      text COLLATE "C" NOT NULL,
    data            jsonb       NOT NULL,
    metadata        jsonb       NOT NULL,
    CONSTRAINT es_events_pkey PRIMARY KEY (position),
    CONSTRAINT es_events_stream_id_version_key UNIQUE (stream_id, version),
    CONSTRAINT es_events_event_id_key UNIQUE (event_id)
) USING heap;
CREATE INDEX es_events_category_position_idx ON @extschema@.es_events (category, position);

COMMENT ON TABLE @extschema@.es_events IS
'The log: every event, immutable. To follow it, read with es_read_after(): a plain SELECT by position misses events that commit late.';
COMMENT ON COLUMN @extschema@.es_events.position IS 'place in the log; strictly increasing, has gaps, never reused';
COMMENT ON COLUMN @extschema@.es_events.version IS 'number in its stream: 1, 2, 3, … without gaps';
COMMENT ON COLUMN @extschema@.es_events.recorded_at IS 'the server''s clock when the event was appended';
COMMENT ON COLUMN @extschema@.es_events.event_id IS 'unique over the whole log; the caller''s, or a UUID version 7';
COMMENT ON COLUMN @extschema@.es_events.schema_version IS 'version of the schema that data follows, from 1';
COMMENT ON COLUMN @extschema@.es_events.stream_id IS 'the stream that the event belongs to';
COMMENT ON COLUMN @extschema@.es_events.category IS 'of the stream: the text before the first - of its id, unless given';
COMMENT ON COLUMN @extschema@.es_events.event_type IS 'what happened';
COMMENT ON COLUMN @extschema@.es_events.data IS 'the fact itself, any JSON';
COMMENT ON COLUMN @extschema@.es_events.metadata IS 'what is said about the event, a JSON object';

CREATE VIEW @extschema@.es_streams AS
    SELECT first.stream_id, first.category, last.version,
           first.position AS first_position, last.position AS last_position,
           first.recorded_at AS created_at, last.recorded_at AS updated_at
    FROM @extschema@.es_events AS first
    CROSS JOIN LATERAL (
        SELECT version, position, recorded_at
        FROM @extschema@.es_events AS event
        WHERE event.stream_id = first.stream_id
        ORDER BY event.version DESC
        LIMIT 1
    ) AS last
    WHERE first.version = 1;

COMMENT ON VIEW @extschema@.es_streams IS
'The streams and where they end. Quick by stream_id; listing all of them reads the index on (stream_id, version) whole.';

-- The log head: a fixed number of bytes a row, stored plain, changed in place by the library. Not dumped: a restored
-- log makes itself a new one.
CREATE TABLE @extschema@.es_log_head (row_number integer NOT NULL, content bytea NOT NULL) USING heap;
ALTER TABLE @extschema@.es_log_head ALTER COLUMN content SET STORAGE PLAIN;
COMMENT ON TABLE @extschema@.es_log_head IS
'The last position handed out and the transactions that may still write below it, in the library''s own format.';

CREATE UNLOGGED TABLE @extschema@.es_log_marker (started_at timestamptz NOT NULL) USING heap;
COMMENT ON TABLE @extschema@.es_log_marker IS
'Has its row while the log''s history goes on. Unlogged, so that a crash, a promotion or a restore empties it and the next append leaps beyond every position that may have been seen.';

CREATE TABLE @extschema@.es_installations (
    installation_id uuid        NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY,
    installed_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE @extschema@.es_installations IS
'A row for each CREATE EXTENSION that this log''s data has gone through: more than one means restored from a dump.';
INSERT INTO @extschema@.es_installations DEFAULT VALUES;

SELECT pg_extension_config_dump('@extschema@.es_events'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_installations'::regclass, ''::text);

CREATE FUNCTION @extschema@.es_create_log() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'tidemark_create_log';
SELECT @extschema@.es_create_log();
DROP FUNCTION @extschema@.es_create_log();

-- Immutability: for everybody, also under session_replication_role = replica ----------------------------------------

CREATE FUNCTION @extschema@.es_refuse_change() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'tidemark_refuse_change';
COMMENT ON FUNCTION @extschema@.es_refuse_change() IS
'Trigger function: refuses to change the log''s tables by hand. Lets rows be inserted into es_events, as a restore does, until the first append, and makes the log head follow them.';

CREATE TRIGGER es_events_immutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.es_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_refuse_change();
CREATE TRIGGER es_events_restored AFTER INSERT ON @extschema@.es_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_refuse_change();
CREATE TRIGGER es_log_head_immutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.es_log_head
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_refuse_change();
CREATE TRIGGER es_log_marker_immutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.es_log_marker
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_refuse_change();
CREATE TRIGGER es_installations_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON @extschema@.es_installations
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_refuse_change();
ALTER TABLE @extschema@.es_events ENABLE ALWAYS TRIGGER es_events_immutable;
ALTER TABLE @extschema@.es_events ENABLE ALWAYS TRIGGER es_events_restored;
ALTER TABLE @extschema@.es_log_head ENABLE ALWAYS TRIGGER es_log_head_immutable;
ALTER TABLE @extschema@.es_log_marker ENABLE ALWAYS TRIGGER es_log_marker_immutable;
ALTER TABLE @extschema@.es_installations ENABLE ALWAYS TRIGGER es_installations_immutable;

-- Expected versions -------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_any() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN -2;
COMMENT ON FUNCTION @extschema@.es_any() IS 'Expected version: append whatever the stream''s version is, also to none (-2).';

CREATE FUNCTION @extschema@.es_no_stream() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN -1;
COMMENT ON FUNCTION @extschema@.es_no_stream() IS 'Expected version: append only if the stream has no events (-1).';

CREATE FUNCTION @extschema@.es_stream_exists() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN -4;
COMMENT ON FUNCTION @extschema@.es_stream_exists() IS 'Expected version: append only if the stream has an event (-4).';

-- Appending ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_append(
    stream_id        text,
    event_type       text,
    data             jsonb   DEFAULT '{}',
    metadata         jsonb   DEFAULT '{}',
    expected_version bigint  DEFAULT -2,
    event_id         uuid    DEFAULT NULL,
    category         text    DEFAULT NULL,
    schema_version   integer DEFAULT 1,
    OUT stream_id text, OUT first_version bigint, OUT last_version bigint,
    OUT first_position bigint, OUT last_position bigint, OUT is_duplicate boolean)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_append';
COMMENT ON FUNCTION @extschema@.es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer) IS
'Appends one event to a stream, if the stream''s version is what expected_version demands: a version, es_any() (the default), es_no_stream() or es_stream_exists(). Raises TM001 where it is not. event_id makes a retry safe: the same append over again returns the first one''s result with is_duplicate; any other use of an id that the log holds raises TM003. category defaults to the text before the first - of the stream id. Call it in FROM: (es_append(…)).* appends once per column.';

CREATE FUNCTION @extschema@.es_append_events(
    stream_id        text,
    events           jsonb,
    expected_version bigint DEFAULT -2,
    category         text   DEFAULT NULL,
    OUT stream_id text, OUT first_version bigint, OUT last_version bigint,
    OUT first_position bigint, OUT last_position bigint, OUT is_duplicate boolean)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_append_events';
COMMENT ON FUNCTION @extschema@.es_append_events(text, jsonb, bigint, text) IS
'Appends the events of a JSON array of {type, data, metadata, id, schema_version} to a stream, all or none, at consecutive positions. As es_append() otherwise. An empty array checks the expectation and returns the stream''s version as last_version; the stream cannot change until the transaction ends.';

CREATE FUNCTION @extschema@.es_append_streams(
    writes         jsonb,
    correlation_id text DEFAULT NULL)
    RETURNS TABLE (stream_id text, first_version bigint, last_version bigint,
                   first_position bigint, last_position bigint, is_duplicate boolean)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 3 AS 'MODULE_PATHNAME', 'tidemark_append_streams';
COMMENT ON FUNCTION @extschema@.es_append_streams(jsonb, text) IS
'Appends to many streams, all or none: a JSON array of {stream, expected, events, category}, events as in es_append_events(). expected is a version, "any" (the default), "no stream" or "stream exists". A write without events only checks what is expected; its stream cannot change until the transaction ends, but others may rely on it too. The events get consecutive positions in the order given. Returns a row for each write, in that order. Raises one TM001 that lists every expectation that failed. correlation_id goes into the metadata of every event.';

CREATE FUNCTION @extschema@.es_lock_stream(stream_id text) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_lock_stream';
COMMENT ON FUNCTION @extschema@.es_lock_stream(text) IS
'Load for update: locks the stream against other appends until the transaction ends and returns its version, 0 if it has no events.';

-- Reading -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_read_stream(
    stream_id    text,
    from_version bigint  DEFAULT NULL,
    max_count    bigint  DEFAULT NULL,
    backward     boolean DEFAULT false)
    RETURNS SETOF @extschema@.es_events
    LANGUAGE c STABLE PARALLEL SAFE ROWS 100 AS 'MODULE_PATHNAME', 'tidemark_read_stream';
COMMENT ON FUNCTION @extschema@.es_read_stream(text, bigint, bigint, boolean) IS
'The events of a stream in version order, or backward, from from_version on, either way (null: from the start, or backward from the end), at most max_count (null: all). Empty for a stream without events. Shows the transaction''s own events too.';

CREATE FUNCTION @extschema@.es_read_streams(stream_ids text[])
    RETURNS SETOF @extschema@.es_events
    LANGUAGE c STABLE PARALLEL SAFE ROWS 300 AS 'MODULE_PATHNAME', 'tidemark_read_streams';
COMMENT ON FUNCTION @extschema@.es_read_streams(text[]) IS
'All events of several streams, of one moment: in the order of the ids, each stream in version order and once. A stream''s version is its last event''s; a stream without events has no rows. Shows the transaction''s own events too.';

CREATE FUNCTION @extschema@.es_stream_version(stream_id text) RETURNS bigint
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_stream_version';
COMMENT ON FUNCTION @extschema@.es_stream_version(text) IS 'The version of a stream''s last event, 0 if it has none.';

CREATE FUNCTION @extschema@.es_read_after(
    after_position bigint DEFAULT 0,
    max_count      bigint DEFAULT 1000,
    category       text   DEFAULT NULL,
    event_types    text[] DEFAULT NULL,
    stream_prefix  text   DEFAULT NULL)
    RETURNS SETOF @extschema@.es_events
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'tidemark_read_after';
COMMENT ON FUNCTION @extschema@.es_read_after(bigint, bigint, text, text[], text) IS
'A page of the log in position order: at most max_count events (null: no limit) above after_position and up to the safe position, of one category, of any of the types, of streams whose id begins with the prefix (taken literally), where given. A reader that goes on from the last position it got never skips an event. Leaves out the transaction''s own uncommitted events.';

-- The line ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_safe_position() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_safe_position';
COMMENT ON FUNCTION @extschema@.es_safe_position() IS
'The safe position: every event at or below it is final. A value to watch, not to filter by: a statement''s snapshot may be older than it. es_read_after() reads up to it rightly.';

CREATE FUNCTION @extschema@.es_head_position() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_head_position';
COMMENT ON FUNCTION @extschema@.es_head_position() IS
'The last position handed out. Above the safe position while transactions that have appended are in progress.';

CREATE FUNCTION @extschema@.es_leap() RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_leap';
COMMENT ON FUNCTION @extschema@.es_leap() IS
'Moves the head far beyond every position that any reader can have seen, and returns it. Needed only for a copy of a cleanly stopped data directory that is started elsewhere; after a crash, a promotion or a restore the next append does it by itself.';

CREATE FUNCTION @extschema@.es_in_flight(OUT xid xid8, OUT first_position bigint) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'tidemark_in_flight';
COMMENT ON FUNCTION @extschema@.es_in_flight() IS
'The transactions in progress that have appended, with the first position of each. es_blockers() says who they are.';

CREATE FUNCTION @extschema@.es_blockers()
    RETURNS TABLE (pid integer, gid text, xid xid8, first_position bigint, since timestamptz, age interval,
                   usename name, application_name text, state text, query text)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 10
BEGIN ATOMIC
    SELECT activity.pid, prepared.gid, flight.xid, flight.first_position,
           coalesce(prepared.prepared, activity.xact_start),
           clock_timestamp() - coalesce(prepared.prepared, activity.xact_start),
           coalesce(activity.usename, prepared.owner), activity.application_name,
           coalesce(activity.state, CASE WHEN prepared.gid IS NOT NULL THEN 'prepared' END), activity.query
    FROM @extschema@.es_in_flight() AS flight
    LEFT JOIN pg_stat_activity AS activity ON activity.backend_xid = flight.xid::xid
    LEFT JOIN pg_prepared_xacts AS prepared ON prepared.transaction = flight.xid::xid
    ORDER BY flight.first_position;
END;
COMMENT ON FUNCTION @extschema@.es_blockers() IS
'Who holds the line back: the transactions that have appended and not finished, the one that decides first. pid, or gid of a prepared transaction; since when it runs or is prepared; its query. On a standby neither pid nor query is known.';

-- Soundness ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_indexed_version(stream_id text) RETURNS bigint
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'tidemark_indexed_version';
COMMENT ON FUNCTION @extschema@.es_indexed_version(text) IS
'For es_verify(): the version at which the index on (stream_id, version) ends a stream, 0 if it has nothing of it, null if there is no such index.';

CREATE FUNCTION @extschema@.es_missing_indexes(OUT columns text, OUT is_unique boolean) RETURNS SETOF record
    LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'tidemark_missing_indexes';
COMMENT ON FUNCTION @extschema@.es_missing_indexes() IS
'For es_verify(): the indexes that es_events must have and has not, by their columns.';

-- The events are read from the table itself, as an index may be what is broken.
CREATE FUNCTION @extschema@.es_verify()
    RETURNS TABLE (problem text, stream_id text, version bigint, "position" bigint, detail text, hint text)
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = on SET enable_indexscan = off SET enable_indexonlyscan = off SET enable_bitmapscan = off
    ROWS 10
BEGIN ATOMIC
    WITH events AS (
        SELECT event.stream_id, event.version, event.position, event.category,
               lag(event.version, 1, 0::bigint) OVER stream AS version_before,
               lag(event.position) OVER stream AS position_before,
               lag(event.category) OVER stream AS category_before,
               lead(event.version) OVER stream AS version_after
        FROM @extschema@.es_events AS event
        WINDOW stream AS (PARTITION BY event.stream_id ORDER BY event.version)
    )
    SELECT 'versions not contiguous', events.stream_id, events.version, events.position,
           format('version %s follows version %s', events.version, events.version_before),
           'Events are missing. Restore the log from a backup.'
    FROM events WHERE events.version <> events.version_before + 1
    UNION ALL
    SELECT 'position order against version order', events.stream_id, events.version, events.position,
           format('version %s is at position %s, the version before it at %s',
                  events.version, events.position, events.position_before),
           'Readers of the log see this stream out of order. Restore the log from a backup.'
    FROM events WHERE events.position <= events.position_before
    UNION ALL
    SELECT 'category changes within a stream', events.stream_id, events.version, events.position,
           format('category %I after %I', events.category, events.category_before),
           'Readers of one category see a part of this stream. Restore the log from a backup.'
    FROM events WHERE events.category <> events.category_before
    UNION ALL
    SELECT 'index missing', NULL, NULL, NULL, format('on es_events (%s)', missing.columns),
           format('Appending and reading need it. CREATE%s INDEX ON %s (%s).',
                  CASE WHEN missing.is_unique THEN ' UNIQUE' END, '@extschema@.es_events'::regclass, missing.columns)
    FROM @extschema@.es_missing_indexes() AS missing
    UNION ALL
    -- The index tells where a stream ends, to whoever appends to it.
    SELECT 'stream end behind its events', events.stream_id, events.version, events.position,
           format('the index on (stream_id, version) is damaged: there it ends at version %s',
                  @extschema@.es_indexed_version(events.stream_id)),
           format('The next event would get a version that is taken. REINDEX TABLE %s, or restore a backup.',
                  '@extschema@.es_events'::regclass)
    FROM events
    WHERE events.version_after IS NULL AND @extschema@.es_indexed_version(events.stream_id) < events.version
    UNION ALL
    -- The head is read after the events: it only rises.
    SELECT 'head behind its events', last.stream_id, last.version, last.position,
           format('the last position handed out is %s', head.position),
           'Readers do not get these events, and new ones may find their positions taken. Call es_leap().'
    FROM (SELECT events.stream_id, events.version, events.position
          FROM events ORDER BY events.position DESC LIMIT 1) AS last,
         LATERAL (SELECT @extschema@.es_head_position() AS position WHERE last.position IS NOT NULL) AS head
    WHERE last.position > head.position
    UNION ALL
    SELECT 'in-flight entry above the head', NULL, NULL, flight.first_position,
           format('transaction %s', flight.xid), 'The log head is damaged. Call es_leap().'
    FROM @extschema@.es_in_flight() AS flight
    WHERE flight.first_position > @extschema@.es_head_position() + 1
    UNION ALL
    SELECT 'wrong persistence of a table', NULL, NULL, NULL,
           format('%I is %s', relname, CASE relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END),
           format('A crash would go unnoticed, or take the table''s rows along. ALTER TABLE %s SET %s.',
                  pg_class.oid::regclass, CASE relpersistence WHEN 'u' THEN 'LOGGED' ELSE 'UNLOGGED' END)
    FROM pg_class
    WHERE oid IN ('@extschema@.es_events'::regclass, '@extschema@.es_log_head'::regclass,
                  '@extschema@.es_installations'::regclass, '@extschema@.es_log_marker'::regclass)
      AND (relpersistence = 'u') <> (oid = '@extschema@.es_log_marker'::regclass)
    UNION ALL
    SELECT 'table not guarded', NULL, NULL, NULL,
           format('trigger %I of %s is %s', guard.name, guard.relation,
                  CASE WHEN pg_trigger.oid IS NULL THEN 'missing' ELSE 'not always enabled' END),
           'It guards against changes by hand. '
           || CASE WHEN pg_trigger.oid IS NULL THEN 'Create it as the install script does.'
              ELSE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I.', guard.relation, guard.name) END
    FROM (VALUES ('@extschema@.es_events'::regclass, 'es_events_immutable'::name),
                 ('@extschema@.es_events'::regclass, 'es_events_restored'::name),
                 ('@extschema@.es_log_head'::regclass, 'es_log_head_immutable'::name),
                 ('@extschema@.es_log_marker'::regclass, 'es_log_marker_immutable'::name),
                 ('@extschema@.es_installations'::regclass, 'es_installations_immutable'::name)
         ) AS guard (relation, name)
    LEFT JOIN pg_trigger ON pg_trigger.tgrelid = guard.relation AND pg_trigger.tgname = guard.name
    WHERE pg_trigger.tgenabled IS DISTINCT FROM 'A';
END;
COMMENT ON FUNCTION @extschema@.es_verify() IS
'Checks the log: versions contiguous, position order as version order, one category a stream, streams and head not behind their events, indexes and tables as they should be. A row for each thing that is wrong, with what to do; no rows: sound. Reads the whole log.';

-- Rights: nothing to PUBLIC; three roles, each with the rights of the one before ------------------------------------

-- Roles belong to the whole cluster: another database's log may have made them already, and DROP EXTENSION leaves them.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['tidemark_reader', 'tidemark_writer', 'tidemark_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database makes its log at this moment
            END;
        END IF;
    END LOOP;
END
$$;
GRANT tidemark_reader TO tidemark_writer;
GRANT tidemark_writer TO tidemark_admin;
GRANT USAGE ON SCHEMA @extschema@ TO tidemark_reader;

REVOKE ALL ON FUNCTION
    @extschema@.es_any(), @extschema@.es_no_stream(), @extschema@.es_stream_exists(),
    @extschema@.es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer),
    @extschema@.es_append_events(text, jsonb, bigint, text), @extschema@.es_append_streams(jsonb, text),
    @extschema@.es_lock_stream(text),
    @extschema@.es_read_stream(text, bigint, bigint, boolean), @extschema@.es_read_streams(text[]),
    @extschema@.es_stream_version(text),
    @extschema@.es_read_after(bigint, bigint, text, text[], text),
    @extschema@.es_safe_position(), @extschema@.es_head_position(), @extschema@.es_leap(),
    @extschema@.es_in_flight(), @extschema@.es_blockers(), @extschema@.es_verify(),
    @extschema@.es_indexed_version(text), @extschema@.es_missing_indexes(), @extschema@.es_refuse_change()
    FROM PUBLIC;

GRANT SELECT ON @extschema@.es_events, @extschema@.es_streams TO tidemark_reader;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_any(), @extschema@.es_no_stream(), @extschema@.es_stream_exists(),
    @extschema@.es_read_stream(text, bigint, bigint, boolean), @extschema@.es_read_streams(text[]),
    @extschema@.es_stream_version(text), @extschema@.es_read_after(bigint, bigint, text, text[], text),
    @extschema@.es_safe_position(), @extschema@.es_head_position()
    TO tidemark_reader;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer),
    @extschema@.es_append_events(text, jsonb, bigint, text), @extschema@.es_append_streams(jsonb, text),
    @extschema@.es_lock_stream(text)
    TO tidemark_writer;
GRANT SELECT ON @extschema@.es_installations TO tidemark_admin;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_leap(), @extschema@.es_in_flight(), @extschema@.es_blockers(), @extschema@.es_verify()
    TO tidemark_admin;
