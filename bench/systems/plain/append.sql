WITH stream AS (
    INSERT INTO streams AS s VALUES (@stream@, 'category' || :category, 1)
    ON CONFLICT (stream_id) DO UPDATE SET version = s.version + 1
    RETURNING stream_id, category, version)
INSERT INTO events (version, event_id, stream_id, category, event_type, data, metadata)
SELECT version, @event_id@::uuid, stream_id, category, 'OrderPlaced', :data::jsonb, :metadata::jsonb FROM stream;
