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

-- Subscriptions. The library knows the columns by number, and writes the rows under locks of its own. The fill factors
-- leave room for the versions of rows that change all the time.

CREATE TABLE @extschema@.es_subscriptions (
    name            text COLLATE "C" NOT NULL,
    category        text COLLATE "C",
    event_types     text[] COLLATE "C",
    stream_prefix   text COLLATE "C",
    partitions      integer     NOT NULL,
    next_partitions integer,
    barrier         bigint,
    created_at      timestamptz NOT NULL,
    is_projection   boolean     NOT NULL,
    CONSTRAINT es_subscriptions_pkey PRIMARY KEY (name)
) USING heap;
COMMENT ON TABLE @extschema@.es_subscriptions IS
'Durable cursors over the log: what they are for. Where they are is in es_subscription_status.';
COMMENT ON COLUMN @extschema@.es_subscriptions.category IS 'only events of this category; null: of all';
COMMENT ON COLUMN @extschema@.es_subscriptions.event_types IS 'only events of these types; null: of all';
COMMENT ON COLUMN @extschema@.es_subscriptions.stream_prefix IS 'only streams whose ids begin so; null: all';
COMMENT ON COLUMN @extschema@.es_subscriptions.partitions IS 'into how many its streams are divided; 0: it is of a sync projection, which has no checkpoint';
COMMENT ON COLUMN @extschema@.es_subscriptions.next_partitions IS 'how many there will be, when all have come to the barrier; null: no change is under way';
COMMENT ON COLUMN @extschema@.es_subscriptions.barrier IS 'no partition is read beyond this position before the change; null: there is none';
COMMENT ON COLUMN @extschema@.es_subscriptions.is_projection IS 'it has no consumers, but a handler: see es_projections';

CREATE TABLE @extschema@.es_subscription_partitions (
    subscription       text COLLATE "C" NOT NULL,
    partition          integer     NOT NULL,
    checkpoint         bigint      NOT NULL,
    empty_after        bigint      NOT NULL,
    empty_to           bigint      NOT NULL,
    fence              bigint      NOT NULL,
    consumer           text COLLATE "C",
    lease_milliseconds bigint,
    lease_until        timestamptz,
    acked_at           timestamptz,
    failed_at          timestamptz,
    failed_position    bigint,
    attempts           integer     NOT NULL,
    retry_at           timestamptz,
    error              text,
    CONSTRAINT es_subscription_partitions_pkey PRIMARY KEY (subscription, partition)
) USING heap WITH (fillfactor = 20);
COMMENT ON TABLE @extschema@.es_subscription_partitions IS
'Where each partition of a subscription is and who reads it. To be seen by es_subscription_status.';
COMMENT ON COLUMN @extschema@.es_subscription_partitions.checkpoint IS 'everything up to this position is done, parked, or not for this partition';
COMMENT ON COLUMN @extschema@.es_subscription_partitions.empty_after IS 'between this position and empty_to nothing is for this partition';
COMMENT ON COLUMN @extschema@.es_subscription_partitions.fence IS 'rises whenever what was delivered before must not be acknowledged any more';
COMMENT ON COLUMN @extschema@.es_subscription_partitions.consumer IS 'whose the lease is; null: nobody''s';
COMMENT ON COLUMN @extschema@.es_subscription_partitions.attempts IS 'how often in a row the event at failed_position has failed';
COMMENT ON COLUMN @extschema@.es_subscription_partitions.retry_at IS 'es_fetch() passes over the partition until then';

CREATE TABLE @extschema@.es_subscription_consumers (
    subscription text COLLATE "C" NOT NULL,
    consumer     text COLLATE "C" NOT NULL,
    until        timestamptz NOT NULL,
    came_back    boolean     NOT NULL,
    CONSTRAINT es_subscription_consumers_pkey PRIMARY KEY (subscription, consumer)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.es_subscription_consumers IS
'Consumers without a partition, standing in line for one until they are not heard of for the time of their lease.';

CREATE TABLE @extschema@.es_parked_events (
    subscription text COLLATE "C" NOT NULL,
    stream_id    text COLLATE "C" NOT NULL,
    position     bigint      NOT NULL,
    version      bigint      NOT NULL,
    reason       text,
    parked_at    timestamptz NOT NULL,
    times        integer     NOT NULL,
    released_at  timestamptz,
    CONSTRAINT es_parked_events_pkey PRIMARY KEY (subscription, stream_id)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.es_parked_events IS
'Events that were set aside; the later ones of their streams are held behind them. To be seen by es_parked().';
COMMENT ON COLUMN @extschema@.es_parked_events.position IS 'of the parked event; once released, of the next one to be delivered again';
COMMENT ON COLUMN @extschema@.es_parked_events.times IS 'how often the stream''s events were parked since';

COMMENT ON COLUMN @extschema@.es_subscription_consumers.came_back IS 'has called more than once: others leave partitions for it';

-- Projections. Known to the library by number, too.

CREATE TABLE @extschema@.es_projections (
    name               text COLLATE "C" NOT NULL,
    mode               text COLLATE "C" NOT NULL,
    handler            text        NOT NULL,
    handler_owner      text        NOT NULL,
    takes_batch        boolean     NOT NULL,
    owner              text        NOT NULL,
    search_path        text        NOT NULL,
    time_zone          text        NOT NULL,
    on_error           text COLLATE "C" NOT NULL,
    retries            integer     NOT NULL,
    retry_milliseconds bigint      NOT NULL,
    tables             text[]      NOT NULL,
    start_position     bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    rebuilt_at         timestamptz,
    CONSTRAINT es_projections_pkey PRIMARY KEY (name)
) USING heap;
COMMENT ON TABLE @extschema@.es_projections IS
'Handlers that fold events into tables. Which events, is in es_subscriptions; how far they are, in es_projection_status.';
COMMENT ON COLUMN @extschema@.es_projections.mode IS 'sync: the handler runs in each append; async: behind it';
COMMENT ON COLUMN @extschema@.es_projections.handler IS 'the function''s name, with its schema';
COMMENT ON COLUMN @extschema@.es_projections.handler_owner IS 'the function''s owner when it was registered: one of another role''s is not called';
COMMENT ON COLUMN @extschema@.es_projections.takes_batch IS 'its argument is an array of events; or one event';
COMMENT ON COLUMN @extschema@.es_projections.owner IS 'the role that registered it, with whose rights it runs';
COMMENT ON COLUMN @extschema@.es_projections.search_path IS 'under which it runs';
COMMENT ON COLUMN @extschema@.es_projections.time_zone IS 'likewise';
COMMENT ON COLUMN @extschema@.es_projections.on_error IS 'what to do when it fails: fail (stop), park (the event) or retry (for ever)';
COMMENT ON COLUMN @extschema@.es_projections.retries IS 'how often an event is tried again before that';
COMMENT ON COLUMN @extschema@.es_projections.retry_milliseconds IS 'the pause before the first time, doubled each time, to five minutes at most';
COMMENT ON COLUMN @extschema@.es_projections.tables IS 'that it writes to, for es_rebuild_projection(); with their schemas';
COMMENT ON COLUMN @extschema@.es_projections.start_position IS 'it is for events above this position';

CREATE TABLE @extschema@.es_projection_rebuilds (
    projection text COLLATE "C" NOT NULL,
    pid        integer     NOT NULL,
    started_at timestamptz NOT NULL,
    reached_at timestamptz NOT NULL,
    done       bigint      NOT NULL,
    total      bigint      NOT NULL,
    CONSTRAINT es_projection_rebuilds_pkey PRIMARY KEY (projection)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.es_projection_rebuilds IS
'Rebuilds of projections that are under way, and those that were cut off. To be seen by es_projection_status.';
COMMENT ON COLUMN @extschema@.es_projection_rebuilds.pid IS 'the process that does it';
COMMENT ON COLUMN @extschema@.es_projection_rebuilds.reached_at IS 'when done was counted';
COMMENT ON COLUMN @extschema@.es_projection_rebuilds.done IS 'events, so far';
COMMENT ON COLUMN @extschema@.es_projection_rebuilds.total IS 'events of the projection in the log when it began';

-- Snapshots and upcasters. Like the tables of subscriptions; an administrator may delete snapshots.

CREATE TABLE @extschema@.es_snapshots (
    stream_id      text COLLATE "C" NOT NULL,
    schema_version integer     NOT NULL,
    version        bigint      NOT NULL,
    state          jsonb       NOT NULL,
    saved_at       timestamptz NOT NULL,
    CONSTRAINT es_snapshots_pkey PRIMARY KEY (stream_id, schema_version)
) USING heap;
COMMENT ON TABLE @extschema@.es_snapshots IS
'What streams amounted to at a version, so that not all of their events have to be read. Can be deleted at any time: they are made from the events.';
COMMENT ON COLUMN @extschema@.es_snapshots.schema_version IS 'of the state, and of how it is made from events: the caller''s number';
COMMENT ON COLUMN @extschema@.es_snapshots.version IS 'of the stream: the last event that the state includes';

CREATE TABLE @extschema@.es_upcasters (
    event_type          text COLLATE "C" NOT NULL,
    from_schema_version integer     NOT NULL,
    function            text        NOT NULL,
    function_owner      text        NOT NULL,
    owner               text        NOT NULL,
    search_path         text        NOT NULL,
    created_at          timestamptz NOT NULL,
    CONSTRAINT es_upcasters_pkey PRIMARY KEY (event_type, from_schema_version)
) USING heap;
COMMENT ON TABLE @extschema@.es_upcasters IS
'The functions that turn an event''s data of one schema version into that of the next when it is read.';
COMMENT ON COLUMN @extschema@.es_upcasters.function IS 'with its schema and the type of its argument: jsonb, the data, or es_events';
COMMENT ON COLUMN @extschema@.es_upcasters.function_owner IS 'who owned the function then: one of another role''s is not called';
COMMENT ON COLUMN @extschema@.es_upcasters.owner IS 'who registered it, with whose rights it runs';
COMMENT ON COLUMN @extschema@.es_upcasters.search_path IS 'with which it runs: that of the registration, with pg_temp last';

SELECT pg_extension_config_dump('@extschema@.es_events'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_installations'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_subscriptions'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_subscription_partitions'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_subscription_consumers'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_parked_events'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_projections'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_snapshots'::regclass, ''::text);
SELECT pg_extension_config_dump('@extschema@.es_upcasters'::regclass, ''::text);

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

-- What sessions keep of tables -------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_announce_change() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'tidemark_announce_change';
COMMENT ON FUNCTION @extschema@.es_announce_change() IS
'Trigger function: has every session look at a table again, whose rows were changed by hand, as by a restore.';

CREATE TRIGGER es_projections_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.es_projections
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_announce_change();
CREATE TRIGGER es_upcasters_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.es_upcasters
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.es_announce_change();

-- Expected versions -------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_any() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN -2;
COMMENT ON FUNCTION @extschema@.es_any() IS 'Expected version: append whatever the stream''s version is, also to none (-2).';

CREATE FUNCTION @extschema@.es_no_stream() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN -1;
COMMENT ON FUNCTION @extschema@.es_no_stream() IS 'Expected version: append only if the stream has no events (-1).';

CREATE FUNCTION @extschema@.es_stream_exists() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN -4;
COMMENT ON FUNCTION @extschema@.es_stream_exists() IS 'Expected version: append only if the stream has an event (-4).';

-- Appending ---------------------------------------------------------------------------------------------------------

-- A type of its own rather than output parameters: these are looked up and put together at each call.
CREATE TYPE @extschema@.es_appended AS (
    stream_id      text,
    first_version  bigint,
    last_version   bigint,
    first_position bigint,
    last_position  bigint,
    is_duplicate   boolean);
COMMENT ON TYPE @extschema@.es_appended IS
'What an append did to a stream. Where it had no events for it, last_version is the stream''s version, and the other numbers are null.';
COMMENT ON COLUMN @extschema@.es_appended.first_version IS 'The version of the first of the appended events.';
COMMENT ON COLUMN @extschema@.es_appended.last_version IS 'The stream''s version now.';
COMMENT ON COLUMN @extschema@.es_appended.first_position IS 'The position of the first of the appended events; the others follow it without a gap.';
COMMENT ON COLUMN @extschema@.es_appended.is_duplicate IS 'The events had been appended before, by their ids: the numbers are of then.';

CREATE FUNCTION @extschema@.es_append(
    stream_id        text,
    event_type       text,
    data             jsonb   DEFAULT '{}',
    metadata         jsonb   DEFAULT '{}',
    expected_version bigint  DEFAULT -2,
    event_id         uuid    DEFAULT NULL,
    category         text    DEFAULT NULL,
    schema_version   integer DEFAULT 1)
    RETURNS @extschema@.es_appended
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_append';
COMMENT ON FUNCTION @extschema@.es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer) IS
'Appends one event to a stream, if the stream''s version is what expected_version demands: a version, es_any() (the default), es_no_stream() or es_stream_exists(). Raises TM001 where it is not. event_id makes a retry safe: the same append over again returns the first one''s result with is_duplicate; any other use of an id that the log holds raises TM003. category defaults to the text before the first - of the stream id. Call it in FROM: (es_append(…)).* appends once per column.';

CREATE FUNCTION @extschema@.es_append_events(
    stream_id        text,
    events           jsonb,
    expected_version bigint DEFAULT -2,
    category         text   DEFAULT NULL)
    RETURNS @extschema@.es_appended
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_append_events';
COMMENT ON FUNCTION @extschema@.es_append_events(text, jsonb, bigint, text) IS
'Appends the events of a JSON array of {type, data, metadata, id, schema_version} to a stream, all or none, at consecutive positions. As es_append() otherwise. An empty array checks the expectation and returns the stream''s version as last_version; the stream cannot change until the transaction ends.';

CREATE FUNCTION @extschema@.es_append_streams(
    writes         jsonb,
    correlation_id text DEFAULT NULL)
    RETURNS SETOF @extschema@.es_appended
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
    stream_prefix  text   DEFAULT NULL,
    wait           interval DEFAULT '0')
    RETURNS SETOF @extschema@.es_events
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'tidemark_read_after';
COMMENT ON FUNCTION @extschema@.es_read_after(bigint, bigint, text, text[], text, interval) IS
'A page of the log in position order: at most max_count events (null: no limit) above after_position and up to the safe position, of one category, of any of the types, of streams whose id begins with the prefix (taken literally), where given. A reader that goes on from the last position it got never skips an event. Leaves out the transaction''s own uncommitted events. Where there is nothing, waits for it: as long as wait says, a minute at most; 55000 in a transaction that has appended.';

-- Subscriptions -----------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_create_subscription(
    name          text,
    category      text    DEFAULT NULL,
    event_types   text[]  DEFAULT NULL,
    stream_prefix text    DEFAULT NULL,
    start         text    DEFAULT 'beginning',
    partitions    integer DEFAULT 1)
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_create_subscription';
COMMENT ON FUNCTION @extschema@.es_create_subscription(text, text, text[], text, text, integer) IS
'Makes a subscription: a durable cursor over the events of one category, of any of the types, of streams whose id begins with the prefix, where given. It starts at ''beginning'', at ''end'' (the safe position), or behind a position in digits. Its streams are divided into partitions (1 to 1024), for as many consumers. Returns false where one of the name and the same filter exists, which stays as it is, wherever it is and however many partitions it has; raises 42710 where one with another filter does.';

CREATE FUNCTION @extschema@.es_drop_subscription(name text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_drop_subscription';
COMMENT ON FUNCTION @extschema@.es_drop_subscription(text) IS
'Removes a subscription, its checkpoints and what is parked for it. False where there is none.';

CREATE FUNCTION @extschema@.es_reset_subscription(name text, to_position bigint) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_reset_subscription';
COMMENT ON FUNCTION @extschema@.es_reset_subscription(text, bigint) IS
'Moves all checkpoints of a subscription to a position, backward to have events again (0: all), or forward to leave some out. What was delivered before cannot be acknowledged any more (TM004), and what is parked above the position is forgotten. Consumers keep their leases.';

CREATE FUNCTION @extschema@.es_set_partitions(name text, partitions integer) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_set_partitions';
COMMENT ON FUNCTION @extschema@.es_set_partitions(text, integer) IS
'Changes the number of a subscription''s partitions, with no event lost, doubled or out of order: what was delivered before cannot be acknowledged any more, all partitions are read up to the furthest checkpoint that there is, and the new ones take over when the last one has come there. Until then es_subscription_status shows next_partitions. Called with the present number it calls off a change.';

CREATE FUNCTION @extschema@.es_partition_of(stream_id text, partitions integer) RETURNS integer
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_partition_of';
COMMENT ON FUNCTION @extschema@.es_partition_of(text, integer) IS
'The partition, from 0, that a stream is in where there are so many: the 64-bit FNV-1a hash of the id''s bytes, modulo their number.';

CREATE FUNCTION @extschema@.es_fetch(
    name      text,
    consumer  text,
    max_count bigint   DEFAULT 100,
    wait      interval DEFAULT '0',
    lease     interval DEFAULT '30 seconds')
    RETURNS TABLE ("position" bigint, version bigint, recorded_at timestamptz, event_id uuid, schema_version integer,
                   stream_id text, category text, event_type text, data jsonb, metadata jsonb,
                   partition integer, fence bigint, redelivered boolean)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'tidemark_fetch';
COMMENT ON FUNCTION @extschema@.es_fetch(text, text, bigint, interval, interval) IS
'The next events of a subscription for a consumer: at most max_count (null: no limit) behind the checkpoint of one of its partitions, in position order, with the fence to acknowledge them by. Takes leases on partitions, renews them when half of the time is over, and shares partitions out among the consumers of the subscription; a call that does so returns at once with what there is. Any other waits until there are events, as long as wait says, a minute at most. Raises 55P03, with who has it and until when, where the only partition is another consumer''s. A consumer is known by its name: give each process its own. On a standby takes no leases; es_claim() does, on the primary.';

CREATE FUNCTION @extschema@.es_claim(
    name      text,
    consumer  text,
    lease     interval DEFAULT '30 seconds',
    rebalance boolean  DEFAULT true)
    RETURNS TABLE (partition integer, fence bigint, checkpoint bigint, lease_until timestamptz, retry_at timestamptz)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 4 AS 'MODULE_PATHNAME', 'tidemark_claim';
COMMENT ON FUNCTION @extschema@.es_claim(text, text, interval, boolean) IS
'Takes and renews a consumer''s leases, as es_fetch() does, without reading, and returns the partitions that it has. Without rebalance it only renews.';

CREATE FUNCTION @extschema@.es_release(name text, consumer text) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_release';
COMMENT ON FUNCTION @extschema@.es_release(text, text) IS
'Gives back all leases that a consumer has, for others to take at once. Returns how many.';

CREATE FUNCTION @extschema@.es_ack(name text, up_to_position bigint, fence bigint) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_ack';
COMMENT ON FUNCTION @extschema@.es_ack(text, bigint, bigint) IS
'Says that the events of a partition, which its fence names, are done up to a position: the checkpoint moves there, and over what follows if none of it is for the partition. What is done in the same transaction is done exactly once. Renews the lease. The fence rises, so that no other delivery of the same events can be acknowledged; returns the new one, for whoever acknowledges the rest of a batch. Raises TM004 where the fence is not the present one, and TM009 where the position is acknowledged already; nothing changes then.';

CREATE FUNCTION @extschema@.es_fail(
    name text, event_position bigint, fence bigint, error text, retry_after interval DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_fail';
COMMENT ON FUNCTION @extschema@.es_fail(text, bigint, bigint, text, interval) IS
'Says that the event at a position could not be handled, and why. Returns how often in a row that has been so. es_fetch() passes over the partition for the time of retry_after; without it the subscription counts as failed until something is acknowledged. Raises TM004 where the lease is lost.';

CREATE FUNCTION @extschema@.es_park(
    name text, event_position bigint, fence bigint, reason text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_park';
COMMENT ON FUNCTION @extschema@.es_park(text, bigint, bigint, text) IS
'Says that the events of a partition are done up to a position, but for the one there, which is set aside. Later events of its stream are held until es_unpark(); other streams go on. The rest of what was delivered is to be dropped and fetched again. Returns the new fence. Raises TM004 and TM009 as es_ack().';

CREATE FUNCTION @extschema@.es_parked(name text DEFAULT NULL)
    RETURNS TABLE (subscription text, stream_id text, "position" bigint, event_type text, reason text,
                   parked_at timestamptz, times integer, held bigint, redelivering boolean)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 10
BEGIN ATOMIC
    SELECT parked.subscription, parked.stream_id, parked.position, event.event_type, parked.reason, parked.parked_at,
           parked.times,
           (SELECT count(*) FROM @extschema@.es_events AS held
            WHERE held.stream_id = parked.stream_id AND held.version > parked.version
              AND held.position <= partition.checkpoint
              AND held.event_type = ANY (coalesce(subscription.event_types, ARRAY[held.event_type]))),
           parked.released_at IS NOT NULL
    FROM @extschema@.es_parked_events AS parked
    JOIN @extschema@.es_subscriptions AS subscription ON subscription.name = parked.subscription
    JOIN @extschema@.es_subscription_partitions AS partition
      ON partition.subscription = parked.subscription
     AND partition.partition = @extschema@.es_partition_of(parked.stream_id, subscription.partitions)
    JOIN @extschema@.es_events AS event ON event.position = parked.position
    WHERE parked.subscription = coalesce(es_parked.name, parked.subscription)
    ORDER BY parked.subscription, parked.position;
END;
COMMENT ON FUNCTION @extschema@.es_parked(text) IS
'What is parked, for a subscription or for all: the event, why and how often, and how many later events of its stream are held behind it. redelivering: es_unpark() was called, and this event is the next one to be delivered again.';

CREATE FUNCTION @extschema@.es_unpark(name text, event_position bigint, redeliver boolean DEFAULT true) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_unpark';
COMMENT ON FUNCTION @extschema@.es_unpark(text, bigint, boolean) IS
'Has a parked event, and then those held behind it, delivered again: es_fetch() returns them with redelivered, to be acknowledged at their own positions or parked again. Without redeliver the event is given up, and those behind it are delivered. False where no event at the position is parked.';

CREATE FUNCTION @extschema@.es_wait_for(
    name text, up_to_position bigint, timeout interval DEFAULT '5 seconds') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_wait_for';
COMMENT ON FUNCTION @extschema@.es_wait_for(text, bigint, interval) IS
'Returns when a subscription has every event up to the position behind it that is meant for it. Raises TM008 when the timeout (a minute at most) is over, TM006 as soon as the subscription has failed. Cannot be called in a transaction that has appended (55000).';

CREATE FUNCTION @extschema@.es_subscription_backlog(name text)
    RETURNS TABLE (partition integer, backlog bigint, is_exact boolean, oldest_recorded_at timestamptz)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 4 AS 'MODULE_PATHNAME', 'tidemark_subscription_backlog';
COMMENT ON FUNCTION @extschema@.es_subscription_backlog(text) IS
'How many events each partition of a subscription has before it that can be read, counted up to 1,000 and among the next 100,000 of the log, and when the first of them was appended.';

CREATE VIEW @extschema@.es_subscription_status AS
    SELECT partition.subscription, partition.partition, partition.checkpoint,
           ahead.backlog, ahead.is_exact AS backlog_is_exact,
           ahead.oldest_recorded_at AS oldest_undelivered_at,
           clock_timestamp() - ahead.oldest_recorded_at AS oldest_undelivered_age,
           partition.consumer, partition.lease_until, partition.fence,
           partition.consumer IS NOT NULL AND partition.lease_until > clock_timestamp() AS is_leased,
           partition.acked_at, partition.failed_at, partition.failed_position, partition.attempts, partition.retry_at,
           partition.error,
           (SELECT count(*) FROM @extschema@.es_parked_events AS parked
            WHERE parked.subscription = partition.subscription
              AND @extschema@.es_partition_of(parked.stream_id, subscription.partitions) = partition.partition)
           AS parked,
           subscription.partitions, subscription.next_partitions
    FROM @extschema@.es_subscriptions AS subscription
    CROSS JOIN LATERAL @extschema@.es_subscription_backlog(subscription.name) AS ahead
    JOIN @extschema@.es_subscription_partitions AS partition
      ON partition.subscription = subscription.name AND partition.partition = ahead.partition;
COMMENT ON VIEW @extschema@.es_subscription_status IS
'A row for each partition of each subscription: how far it is and what is before it, who has it, and what has failed.';
COMMENT ON COLUMN @extschema@.es_subscription_status.backlog IS 'events that match and can be read, not acknowledged yet; counted up to 1,000, and among the next 100,000 of the log behind the partition that is furthest behind';
COMMENT ON COLUMN @extschema@.es_subscription_status.backlog_is_exact IS 'false: there may be more than backlog says';
COMMENT ON COLUMN @extschema@.es_subscription_status.oldest_undelivered_at IS 'when the oldest of them was appended';
COMMENT ON COLUMN @extschema@.es_subscription_status.is_leased IS 'whether consumer has it now; its lease may be over';
COMMENT ON COLUMN @extschema@.es_subscription_status.error IS 'of the last failure; null once something was acknowledged since';
COMMENT ON COLUMN @extschema@.es_subscription_status.parked IS 'streams that are held behind a parked event';

CREATE PROCEDURE @extschema@.es_notify(
    channel text DEFAULT 'tidemark', min_interval interval DEFAULT '10 milliseconds', duration interval DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_notify';
COMMENT ON PROCEDURE @extschema@.es_notify(text, interval, interval) IS
'Sends NOTIFY to the channel, with the safe position, each time that has moved, at most once in min_interval; until it is cancelled, or duration is over. For those who LISTEN, by a session of its own, so that appending costs nothing more.';

-- Projections -------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_create_projection(
    name          text,
    handler       text,
    category      text     DEFAULT NULL,
    event_types   text[]   DEFAULT NULL,
    stream_prefix text     DEFAULT NULL,
    mode          text     DEFAULT 'async',
    start         text     DEFAULT 'beginning',
    on_error      text     DEFAULT 'fail',
    retries       integer  DEFAULT 0,
    retry_delay   interval DEFAULT '1 second',
    tables        regclass[] DEFAULT '{}')
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_create_projection';
COMMENT ON FUNCTION @extschema@.es_create_projection(text, text, text, text[], text, text, text, text, integer, interval, regclass[]) IS
'Makes a projection: a handler, function(es_events) or function(es_events[]) returning void, is called for the events of one category, of any of the types, of streams whose id begins with the prefix, where given. mode sync: in each append, whose transaction it shares; the log from start on is projected first. mode async: by es_run_projection() or the background worker; on_error says what becomes of an event whose handler fails: fail (stop there), park (set it aside) or retry (for ever); before that it is tried so many retries, with pauses from retry_delay on, doubled each time. tables: those that the handler writes to, for es_rebuild_projection(). The handler runs with the rights and the search_path of the caller, whoever appends. Returns false where the same projection exists; raises 42710 where another of the name does.';

CREATE FUNCTION @extschema@.es_drop_projection(name text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_drop_projection';
COMMENT ON FUNCTION @extschema@.es_drop_projection(text) IS
'Removes a projection; its handler and tables stay. A sync one when the appends that are in progress are over. False where there is none.';

CREATE PROCEDURE @extschema@.es_run_projection(
    name text DEFAULT NULL, max_count bigint DEFAULT 1000, duration interval DEFAULT '0')
    LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_run_projection';
COMMENT ON PROCEDURE @extschema@.es_run_projection(text, bigint, interval) IS
'Has an async projection''s handler called for the events that it has not had, in batches of max_count at most, each with the checkpoint in a transaction of its own, up to the safe position; null: all async projections in turn, but those that have failed. Goes on with what is appended meanwhile for as long as duration says; null: until it is cancelled. One session at a time works on a projection; others leave it to that one, or wait for it where it is named and duration is 0. A projection that has failed is tried again where it is named; raises TM006 where it fails.';

CREATE PROCEDURE @extschema@.es_rebuild_projection(name text, max_count bigint DEFAULT 1000)
    LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_rebuild_projection';
COMMENT ON PROCEDURE @extschema@.es_rebuild_projection(text, bigint) IS
'Projects the log anew, as when the handler was changed: into temporary copies of the projection''s tables, in batches of max_count events, while the tables are read and the projection goes on; then gives the tables the rows of the copies in one transaction, with the checkpoint, and forgets its failure and what is parked. Only that holds the projection up, or where it is sync those who append. Changes nothing where it fails. Raises 55000 where the projection was created without tables, or its handler names them with their schema.';

CREATE FUNCTION @extschema@.es_is_rebuilding(name text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_is_rebuilding';
COMMENT ON FUNCTION @extschema@.es_is_rebuilding(text) IS
'For es_projection_status: whether another session rebuilds a projection at this moment.';

CREATE VIEW @extschema@.es_projection_status AS
    SELECT projection.name, projection.mode, projection.handler, partition.checkpoint,
           ahead.backlog, ahead.is_exact AS backlog_is_exact, ahead.oldest_recorded_at AS oldest_undelivered_at,
           clock_timestamp() - ahead.oldest_recorded_at AS oldest_undelivered_age,
           partition.acked_at, partition.failed_at, partition.failed_position, partition.attempts, partition.retry_at,
           partition.error,
           (SELECT count(*) FROM @extschema@.es_parked_events AS parked WHERE parked.subscription = projection.name)
           AS parked,
           rebuild.started_at AS rebuild_started_at, rebuild.done AS rebuild_done, rebuild.total AS rebuild_total,
           speed.events AS rebuild_rate,
           make_interval(secs => greatest(rebuild.total - rebuild.done, 0) / nullif(speed.events, 0))
           AS rebuild_remaining
    FROM @extschema@.es_projections AS projection
    LEFT JOIN @extschema@.es_subscription_partitions AS partition ON partition.subscription = projection.name
    LEFT JOIN LATERAL @extschema@.es_subscription_backlog(projection.name) AS ahead ON true
    LEFT JOIN @extschema@.es_projection_rebuilds AS rebuild
      ON rebuild.projection = projection.name
     AND @extschema@.es_is_rebuilding(projection.name)
    LEFT JOIN LATERAL (
        SELECT rebuild.done / nullif(extract(epoch FROM rebuild.reached_at - rebuild.started_at), 0)::double precision
    ) AS speed (events) ON true;
COMMENT ON VIEW @extschema@.es_projection_status IS
'A row for each projection: how far it is and what is before it, what has failed, and how far a rebuild of it has come. A sync one is where the log is, and has no checkpoint.';
COMMENT ON COLUMN @extschema@.es_projection_status.backlog IS 'events that match and can be read, not projected yet; counted up to 1,000, and among the next 100,000 of the log';
COMMENT ON COLUMN @extschema@.es_projection_status.backlog_is_exact IS 'false: there may be more than backlog says';
COMMENT ON COLUMN @extschema@.es_projection_status.oldest_undelivered_at IS 'when the oldest of them was appended';
COMMENT ON COLUMN @extschema@.es_projection_status.error IS 'of the last failure; null once something was projected since';
COMMENT ON COLUMN @extschema@.es_projection_status.retry_at IS 'when the event is tried again; null after a failure: not before it is run by its name';
COMMENT ON COLUMN @extschema@.es_projection_status.parked IS 'streams that are held behind a parked event';
COMMENT ON COLUMN @extschema@.es_projection_status.rebuild_done IS 'events that a rebuild which is under way has projected';
COMMENT ON COLUMN @extschema@.es_projection_status.rebuild_total IS 'of so many that there were when it began';
COMMENT ON COLUMN @extschema@.es_projection_status.rebuild_rate IS 'events a second';
COMMENT ON COLUMN @extschema@.es_projection_status.rebuild_remaining IS 'how long it has to go at that rate';

-- Snapshots ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_save_snapshot(
    stream_id text, version bigint, state jsonb, schema_version integer DEFAULT 1) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_save_snapshot';
COMMENT ON FUNCTION @extschema@.es_save_snapshot(text, bigint, jsonb, integer) IS
'Keeps what a stream amounts to at a version, in place of an older snapshot of the same schema version. False, and nothing is changed, where there is one that is as new or newer. 22023 where the stream has no such version.';

CREATE FUNCTION @extschema@.es_load_snapshot(stream_id text, schema_version integer DEFAULT 1)
    RETURNS TABLE (stream_id text, schema_version integer, version bigint, state jsonb, saved_at timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 1
BEGIN ATOMIC
    SELECT snapshot.stream_id, snapshot.schema_version, snapshot.version, snapshot.state, snapshot.saved_at
    FROM @extschema@.es_snapshots AS snapshot
    WHERE snapshot.stream_id = es_load_snapshot.stream_id
      AND snapshot.schema_version = es_load_snapshot.schema_version;
END;
COMMENT ON FUNCTION @extschema@.es_load_snapshot(text, integer) IS
'The snapshot of a stream that has the schema version: one row, or none. Read the events behind its version on top.';

CREATE FUNCTION @extschema@.es_load(stream_id text, schema_version integer DEFAULT 1)
    RETURNS TABLE (snapshot_version bigint, snapshot jsonb,
                   "position" bigint, version bigint, recorded_at timestamptz, event_id uuid, schema_version integer,
                   stream_id text, category text, event_type text, data jsonb, metadata jsonb)
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 100
BEGIN ATOMIC
    WITH snapshot AS MATERIALIZED (
        SELECT found.version, found.state
        FROM @extschema@.es_load_snapshot(es_load.stream_id, es_load.schema_version) AS found
    )
    SELECT snapshot.version AS snapshot_version, snapshot.state, NULL::bigint, NULL::bigint AS version,
           NULL::timestamptz, NULL::uuid, NULL::integer, NULL::text, NULL::text, NULL::text, NULL::jsonb, NULL::jsonb
    FROM snapshot
    UNION ALL
    SELECT NULL, NULL, event.position, event.version, event.recorded_at, event.event_id, event.schema_version,
           event.stream_id, event.category, event.event_type, event.data, event.metadata
    FROM @extschema@.es_read_stream(
        es_load.stream_id, coalesce((SELECT snapshot.version + 1 FROM snapshot), 1::bigint)) AS event
    ORDER BY version NULLS FIRST;
END;
COMMENT ON FUNCTION @extschema@.es_load(text, integer) IS
'A stream by its snapshot, all of one moment: first a row with the snapshot of that schema version alone, if there is one; then the events behind it, in version order. Without a snapshot, all events.';

-- Upcasters ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.es_create_upcaster(event_type text, from_schema_version integer, function text)
    RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_create_upcaster';
COMMENT ON FUNCTION @extschema@.es_create_upcaster(text, integer, text) IS
'Has events of a type and a schema version read with data of the next schema version, which the function makes of theirs. The function is IMMUTABLE and returns jsonb; it gets the data (jsonb) or the event (es_events). It runs with the caller''s rights and present search_path, whoever reads. The upcasters of a type form a chain without holes: a new one goes behind its end or before its beginning (22023). False where the function is registered there already; 42710 where another one is.';

CREATE FUNCTION @extschema@.es_drop_upcaster(event_type text, from_schema_version integer) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tidemark_drop_upcaster';
COMMENT ON FUNCTION @extschema@.es_drop_upcaster(text, integer) IS
'Takes back the first or the last upcaster of a type (22023 for one in between). The function stays. False where there is none.';

CREATE FUNCTION @extschema@.es_upcast(
    event_type text, schema_version integer, data jsonb, OUT schema_version integer, OUT data jsonb)
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_upcast';
COMMENT ON FUNCTION @extschema@.es_upcast(text, integer, jsonb) IS
'What reading makes of an event of the type and schema version with these data. For upcasters that get the whole event, its metadata are {}, and what is not known of it is null.';

CREATE FUNCTION @extschema@.es_check_upcasters(golden jsonb)
    RETURNS TABLE (place integer, event_type text, schema_version integer, problem text, expected jsonb, actual jsonb)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 10
AS $$
DECLARE
    example jsonb;
    reached integer;
    newest integer;
BEGIN
    IF jsonb_typeof(golden) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'golden must be a JSON array' USING ERRCODE = '22023',
            DETAIL = 'It is null, or another kind of JSON value.',
            HINT = 'Write [{"type": "OrderPlaced", "schema_version": 1, "data": {}, "expected": {}}].';
    END IF;
    FOR place, example IN
        SELECT element.ordinality - 1, element.value FROM jsonb_array_elements(golden) WITH ORDINALITY AS element
    LOOP
        IF NOT (jsonb_typeof(example) = 'object' AND example ?& ARRAY['type', 'data', 'expected']
                AND example - ARRAY['type', 'schema_version', 'data', 'expected'] = '{}'
                AND jsonb_typeof(example -> 'type') = 'string'
                AND coalesce(example ->> 'schema_version', '1') ~ '^[1-9][0-9]{0,8}$') THEN
            RAISE EXCEPTION 'invalid example' USING ERRCODE = '22023',
                DETAIL = format('golden[%s]: It is not {"type": text, "schema_version": integer, "data", "expected"}.',
                                place),
                HINT = 'An absent schema_version is 1; the others are required.';
        END IF;
        event_type := example ->> 'type';
        schema_version := coalesce(example ->> 'schema_version', '1');
        expected := example -> 'expected';
        BEGIN
            SELECT upcast.schema_version, upcast.data INTO reached, actual
            FROM @extschema@.es_upcast(event_type, schema_version, example -> 'data') AS upcast;
            SELECT max(upcaster.from_schema_version) + 1 INTO newest
            FROM @extschema@.es_upcasters AS upcaster WHERE upcaster.event_type = example ->> 'type';
            problem := CASE
                WHEN reached <> newest THEN format('schema version %s, and the upcasters lead to %s', reached, newest)
                WHEN actual <> expected THEN 'other data' END;
        EXCEPTION WHEN SQLSTATE 'TM007' THEN
            GET STACKED DIAGNOSTICS problem = PG_EXCEPTION_DETAIL;
            actual := NULL;
        END;
        IF problem IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.es_check_upcasters(jsonb) IS
'Tries the upcasters with examples of each shape that events ever had: a JSON array of {type, schema_version, data, expected}. Returns a row for each, by its place from 0, that does not come out as expected, or not of the newest schema version, or not at all. No rows: all is well.';

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
    SELECT 'checkpoint above the head', NULL, NULL, partition.checkpoint,
           format('of subscription %I, partition %s', partition.subscription, partition.partition),
           'It does not get the events that come next. Call es_leap().'
    FROM @extschema@.es_subscription_partitions AS partition
    WHERE partition.checkpoint > @extschema@.es_head_position()
    UNION ALL
    SELECT 'snapshot above its stream', snapshot.stream_id, snapshot.version, NULL,
           format('of schema version %s; the stream ends at version %s',
                  snapshot.schema_version, coalesce(events.version, 0::bigint)),
           'Who loads it does not get the events that come next. Delete it from es_snapshots.'
    FROM @extschema@.es_snapshots AS snapshot
    LEFT JOIN events ON events.stream_id = snapshot.stream_id AND events.version_after IS NULL
    WHERE snapshot.version > coalesce(events.version, 0::bigint)
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
                  '@extschema@.es_installations'::regclass, '@extschema@.es_log_marker'::regclass,
                  '@extschema@.es_subscriptions'::regclass, '@extschema@.es_subscription_partitions'::regclass,
                  '@extschema@.es_parked_events'::regclass, '@extschema@.es_projections'::regclass,
                  '@extschema@.es_snapshots'::regclass, '@extschema@.es_upcasters'::regclass)
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

-- Rights: nothing to PUBLIC; a role to read, one to append and one to consume, who read too, and one for all ----------

-- Roles belong to the whole cluster: another database's log may have made them already, and DROP EXTENSION leaves them.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['tidemark_reader', 'tidemark_writer', 'tidemark_consumer', 'tidemark_admin'] LOOP
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
GRANT tidemark_reader TO tidemark_consumer;
GRANT tidemark_writer TO tidemark_admin;
GRANT tidemark_consumer TO tidemark_admin;
GRANT USAGE ON SCHEMA @extschema@ TO tidemark_reader;

REVOKE ALL ON FUNCTION
    @extschema@.es_any(), @extschema@.es_no_stream(), @extschema@.es_stream_exists(),
    @extschema@.es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer),
    @extschema@.es_append_events(text, jsonb, bigint, text), @extschema@.es_append_streams(jsonb, text),
    @extschema@.es_lock_stream(text),
    @extschema@.es_read_stream(text, bigint, bigint, boolean), @extschema@.es_read_streams(text[]),
    @extschema@.es_stream_version(text),
    @extschema@.es_read_after(bigint, bigint, text, text[], text, interval),
    @extschema@.es_create_subscription(text, text, text[], text, text, integer),
    @extschema@.es_drop_subscription(text), @extschema@.es_reset_subscription(text, bigint),
    @extschema@.es_set_partitions(text, integer), @extschema@.es_partition_of(text, integer),
    @extschema@.es_fetch(text, text, bigint, interval, interval),
    @extschema@.es_claim(text, text, interval, boolean), @extschema@.es_release(text, text),
    @extschema@.es_ack(text, bigint, bigint), @extschema@.es_fail(text, bigint, bigint, text, interval),
    @extschema@.es_park(text, bigint, bigint, text), @extschema@.es_parked(text),
    @extschema@.es_unpark(text, bigint, boolean), @extschema@.es_wait_for(text, bigint, interval),
    @extschema@.es_subscription_backlog(text),
    @extschema@.es_create_projection(
        text, text, text, text[], text, text, text, text, integer, interval, regclass[]),
    @extschema@.es_drop_projection(text), @extschema@.es_is_rebuilding(text),
    @extschema@.es_save_snapshot(text, bigint, jsonb, integer),
    @extschema@.es_load_snapshot(text, integer), @extschema@.es_load(text, integer),
    @extschema@.es_create_upcaster(text, integer, text), @extschema@.es_drop_upcaster(text, integer),
    @extschema@.es_upcast(text, integer, jsonb),
    @extschema@.es_check_upcasters(jsonb),
    @extschema@.es_safe_position(), @extschema@.es_head_position(), @extschema@.es_leap(),
    @extschema@.es_in_flight(), @extschema@.es_blockers(), @extschema@.es_verify(),
    @extschema@.es_indexed_version(text), @extschema@.es_missing_indexes(), @extschema@.es_refuse_change(),
    @extschema@.es_announce_change()
    FROM PUBLIC;
REVOKE ALL ON PROCEDURE
    @extschema@.es_notify(text, interval, interval), @extschema@.es_run_projection(text, bigint, interval),
    @extschema@.es_rebuild_projection(text, bigint)
    FROM PUBLIC;

GRANT SELECT ON @extschema@.es_events, @extschema@.es_streams TO tidemark_reader;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_any(), @extschema@.es_no_stream(), @extschema@.es_stream_exists(),
    @extschema@.es_read_stream(text, bigint, bigint, boolean), @extschema@.es_read_streams(text[]),
    @extschema@.es_stream_version(text), @extschema@.es_read_after(bigint, bigint, text, text[], text, interval),
    @extschema@.es_safe_position(), @extschema@.es_head_position(), @extschema@.es_partition_of(text, integer),
    @extschema@.es_wait_for(text, bigint, interval)
    TO tidemark_reader;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_append(text, text, jsonb, jsonb, bigint, uuid, text, integer),
    @extschema@.es_append_events(text, jsonb, bigint, text), @extschema@.es_append_streams(jsonb, text),
    @extschema@.es_lock_stream(text)
    TO tidemark_writer;
GRANT SELECT ON @extschema@.es_subscriptions, @extschema@.es_subscription_status, @extschema@.es_projection_status
    TO tidemark_consumer;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_create_subscription(text, text, text[], text, text, integer),
    @extschema@.es_fetch(text, text, bigint, interval, interval),
    @extschema@.es_claim(text, text, interval, boolean), @extschema@.es_release(text, text),
    @extschema@.es_ack(text, bigint, bigint), @extschema@.es_fail(text, bigint, bigint, text, interval),
    @extschema@.es_park(text, bigint, bigint, text), @extschema@.es_parked(text),
    @extschema@.es_subscription_backlog(text), @extschema@.es_is_rebuilding(text)
    TO tidemark_consumer;
GRANT SELECT ON
    @extschema@.es_installations, @extschema@.es_subscription_partitions, @extschema@.es_subscription_consumers,
    @extschema@.es_parked_events, @extschema@.es_projections, @extschema@.es_projection_rebuilds
    TO tidemark_admin;
GRANT EXECUTE ON PROCEDURE
    @extschema@.es_notify(text, interval, interval), @extschema@.es_run_projection(text, bigint, interval),
    @extschema@.es_rebuild_projection(text, bigint)
    TO tidemark_admin;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_drop_subscription(text), @extschema@.es_reset_subscription(text, bigint),
    @extschema@.es_set_partitions(text, integer), @extschema@.es_unpark(text, bigint, boolean),
    @extschema@.es_create_projection(
        text, text, text, text[], text, text, text, text, integer, interval, regclass[]),
    @extschema@.es_drop_projection(text),
    @extschema@.es_leap(), @extschema@.es_in_flight(), @extschema@.es_blockers(), @extschema@.es_verify()
    TO tidemark_admin;
-- Snapshots
GRANT EXECUTE ON FUNCTION
    @extschema@.es_load_snapshot(text, integer), @extschema@.es_load(text, integer) TO tidemark_reader;
GRANT EXECUTE ON FUNCTION @extschema@.es_save_snapshot(text, bigint, jsonb, integer) TO tidemark_writer;
GRANT SELECT, DELETE ON @extschema@.es_snapshots TO tidemark_admin;
-- Upcasters
GRANT SELECT ON @extschema@.es_upcasters TO tidemark_reader;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_upcast(text, integer, jsonb), @extschema@.es_check_upcasters(jsonb) TO tidemark_reader;
GRANT EXECUTE ON FUNCTION
    @extschema@.es_create_upcaster(text, integer, text), @extschema@.es_drop_upcaster(text, integer)
    TO tidemark_admin;
