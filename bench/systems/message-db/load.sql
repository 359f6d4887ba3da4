INSERT INTO message_store.messages (position, stream_name, type, data, metadata, id)
SELECT version - 1, stream_id, event_type, data, metadata, event_id FROM load;
