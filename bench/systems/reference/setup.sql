-- The reference: the columns and indexes of es_events, and nothing else. It knows no versions, guards nothing, and
-- gives its readers no promise: it is what PostgreSQL takes to store and index such a row.
CREATE TABLE events (
    position        bigint      NOT NULL PRIMARY KEY,
    version         bigint      NOT NULL,
    recorded_at     timestamptz NOT NULL,
    event_id        uuid        NOT NULL UNIQUE,
    schema_version  integer     NOT NULL,
    stream_id       text COLLATE "C" NOT NULL,
    category        text COLLATE "C" NOT NULL,
    event_type      text COLLATE "C" NOT NULL,
    data            jsonb       NOT NULL,
    metadata        jsonb       NOT NULL,
    UNIQUE (stream_id, version)
);
CREATE INDEX ON events (category, position);
CREATE SEQUENCE positions;
