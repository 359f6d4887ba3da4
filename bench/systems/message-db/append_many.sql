-- It has no call for several messages: its clients call write_message for each, in one transaction. Here in one
-- statement, which spares it the way there and back.
SELECT write_message((:unique || lpad(n::text, 16, '0'))::varchar, @stream@::varchar, 'OrderPlaced'::varchar, data,
                     metadata)
FROM (VALUES @rows@) AS event (n, data, metadata);
