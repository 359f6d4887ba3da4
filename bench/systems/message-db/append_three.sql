SELECT write_message((:unique || '0000000000000001')::varchar, @stream1@::varchar, 'OrderPlaced'::varchar, :data::jsonb,
                     :metadata::jsonb),
       write_message((:unique || '0000000000000002')::varchar, @stream2@::varchar, 'OrderPlaced'::varchar, :data::jsonb,
                     :metadata::jsonb),
       write_message((:unique || '0000000000000003')::varchar, @stream3@::varchar, 'OrderPlaced'::varchar, :data::jsonb,
                     :metadata::jsonb);
