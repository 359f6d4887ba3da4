SELECT * FROM es_append_streams((
    '[{"stream": "' || @stream1@ || '", "events": ' || :event || '},
      {"stream": "' || @stream2@ || '", "events": ' || :event || '},
      {"stream": "' || @stream3@ || '", "events": ' || :event || '}]')::jsonb);
