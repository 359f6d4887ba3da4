SELECT count(es_append_events(stream_id, events)) FROM (
    SELECT stream_id, jsonb_agg(jsonb_build_object('type', event_type, 'data', data, 'metadata', metadata,
                                                   'id', event_id) ORDER BY version) AS events
    FROM load GROUP BY chunk, stream, stream_id ORDER BY chunk, stream) AS calls;
