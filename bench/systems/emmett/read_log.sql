SELECT stream_id, stream_position, global_position, message_data, message_metadata, message_schema_version,
       message_type, message_id
FROM emt_messages
WHERE partition = E'emt\x3adefault' AND is_archived = FALSE
  AND transaction_id < pg_snapshot_xmin(pg_current_snapshot()) AND global_position >= :after::bigint + 1
ORDER BY transaction_id, global_position
LIMIT :count::bigint;
