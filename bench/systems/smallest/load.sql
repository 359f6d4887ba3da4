INSERT INTO events
SELECT nextval('positions'), version, clock_timestamp(), stream_id, event_type, data, metadata FROM load;
