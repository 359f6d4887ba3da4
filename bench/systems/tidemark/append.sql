SELECT * FROM es_append(@stream@, 'OrderPlaced', :data::jsonb, :metadata::jsonb);
