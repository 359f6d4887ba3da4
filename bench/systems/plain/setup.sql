-- The common design: a row for each stream with its version, an insert for each event, and readers who stay behind the
-- oldest transaction that is still running. They order by transaction and position, so that nothing is skipped.
CREATE TABLE streams (
    stream_id text COLLATE "C" NOT NULL PRIMARY KEY,
    category  text COLLATE "C" NOT NULL,
    version   bigint NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE events (
    transaction_id xid8        NOT NULL DEFAULT pg_current_xact_id(),
    position       bigserial   NOT NULL,
    version        bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id       uuid        NOT NULL UNIQUE,
    schema_version integer     NOT NULL DEFAULT 1,
    stream_id      text COLLATE "C" NOT NULL,
    category       text COLLATE "C" NOT NULL,
    event_type     text COLLATE "C" NOT NULL,
    data           jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    PRIMARY KEY (transaction_id, position),
    UNIQUE (stream_id, version)
);
CREATE INDEX ON events (category, transaction_id, position);
