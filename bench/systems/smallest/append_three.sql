INSERT INTO events VALUES
    (nextval('positions'), :unique::bigint, clock_timestamp(), @stream1@, 'OrderPlaced', :data::jsonb,
     :metadata::jsonb),
    (nextval('positions'), :unique::bigint, clock_timestamp(), @stream2@, 'OrderPlaced', :data::jsonb,
     :metadata::jsonb),
    (nextval('positions'), :unique::bigint, clock_timestamp(), @stream3@, 'OrderPlaced', :data::jsonb,
     :metadata::jsonb);
