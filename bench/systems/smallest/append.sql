INSERT INTO events VALUES (nextval('positions'), :unique::bigint, clock_timestamp(), @stream@, 'OrderPlaced',
                           :data::jsonb, :metadata::jsonb);
