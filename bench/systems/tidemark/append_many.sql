SELECT * FROM es_append_events(@stream@, :events::jsonb);
