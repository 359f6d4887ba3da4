SELECT write_message(@event_id@::varchar, @stream@::varchar, 'OrderPlaced'::varchar, :data::jsonb, :metadata::jsonb);
