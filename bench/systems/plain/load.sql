INSERT INTO events (version, event_id, stream_id, category, event_type, data, metadata)
SELECT version, event_id, stream_id, category, event_type, data, metadata FROM load;
INSERT INTO streams SELECT stream_id, category, max(version) FROM events GROUP BY stream_id, category;
