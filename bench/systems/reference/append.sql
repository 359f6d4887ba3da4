INSERT INTO events VALUES (nextval('positions'), :unique::bigint, clock_timestamp(), @event_id@::uuid, 1, @stream@,
                           'category' || :category, 'OrderPlaced', :data::jsonb, :metadata::jsonb);
