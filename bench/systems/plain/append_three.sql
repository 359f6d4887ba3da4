WITH stream AS (
    INSERT INTO streams AS s VALUES
        (@stream1@, 'category' || :category1, 1), (@stream2@, 'category' || :category2, 1),
        (@stream3@, 'category' || :category3, 1)
    ON CONFLICT (stream_id) DO UPDATE SET version = s.version + 1
    RETURNING stream_id, category, version)
INSERT INTO events (version, event_id, stream_id, category, event_type, data, metadata)
SELECT version, (:unique || lpad((row_number() OVER ())::text, 16, '0'))::uuid, stream_id, category, 'OrderPlaced',
       :data::jsonb, :metadata::jsonb
FROM stream;
