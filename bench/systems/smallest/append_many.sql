INSERT INTO events
SELECT nextval('positions'), n, clock_timestamp(), @stream@, 'OrderPlaced', data, metadata
FROM (VALUES @rows@) AS event (n, data, metadata);
