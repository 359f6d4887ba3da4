SELECT (es_append(@stream@, 'OrderPlaced', :data::jsonb, :metadata::jsonb)).last_version;
