INSERT INTO events
SELECT nextval('positions'), n, clock_timestamp(), (:unique || lpad(n::text, 16, '0'))::uuid, 1, @stream@,
       'category' || :category, 'OrderPlaced', data, metadata
FROM (VALUES @rows@) AS event (n, data, metadata);
