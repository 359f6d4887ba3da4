WITH stream AS (
    INSERT INTO streams AS s VALUES (@stream@, 'category' || :category, @n@)
    ON CONFLICT (stream_id) DO UPDATE SET version = s.version + @n@
    RETURNING stream_id, category, version - @n@ AS before)
INSERT INTO events (version, event_id, stream_id, category, event_type, data, metadata)
SELECT before + n, (:unique || lpad(n::text, 16, '0'))::uuid, stream_id, category, 'OrderPlaced', data, metadata
FROM stream, (VALUES @rows@) AS event (n, data, metadata);
