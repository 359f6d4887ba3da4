INSERT INTO events
SELECT nextval('positions'), version, clock_timestamp(), event_id, 1, stream_id, category, event_type, data, metadata
FROM load;
