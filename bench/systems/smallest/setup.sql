-- The smallest table that could do: a key and (stream_id, version). No id of an event's own, no index by category.
CREATE TABLE events (
    position    bigint      NOT NULL PRIMARY KEY,
    version     bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    stream_id   text COLLATE "C" NOT NULL,
    event_type  text COLLATE "C" NOT NULL,
    data        jsonb       NOT NULL,
    metadata    jsonb       NOT NULL,
    UNIQUE (stream_id, version)
);
CREATE SEQUENCE positions;
