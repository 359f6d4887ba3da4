SELECT (es_append_events(@stream@, :events::jsonb)).last_version;
