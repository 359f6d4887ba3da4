INSERT INTO emt_streams (stream_id, stream_position, partition, stream_type, stream_metadata, is_archived)
SELECT stream_id, max(version), 'emt:default', category, '{}', FALSE FROM load GROUP BY stream_id, category;
INSERT INTO emt_messages (stream_id, stream_position, partition, message_data, message_metadata, message_schema_version,
                          message_type, message_kind, message_id, transaction_id)
SELECT stream_id, version, 'emt:default', data, metadata, '1', event_type, 'E', replace(event_id::text, '-', ''),
       pg_current_xact_id()
FROM load;
