INSERT INTO events VALUES
    (nextval('positions'), :unique::bigint, clock_timestamp(), (:unique || '0000000000000001')::uuid, 1, @stream1@,
     'category' || :category1, 'OrderPlaced', :data::jsonb, :metadata::jsonb),
    (nextval('positions'), :unique::bigint, clock_timestamp(), (:unique || '0000000000000002')::uuid, 1, @stream2@,
     'category' || :category2, 'OrderPlaced', :data::jsonb, :metadata::jsonb),
    (nextval('positions'), :unique::bigint, clock_timestamp(), (:unique || '0000000000000003')::uuid, 1, @stream3@,
     'category' || :category3, 'OrderPlaced', :data::jsonb, :metadata::jsonb);
