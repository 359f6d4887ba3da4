-- \x3a is the colon, which pgbench would take for a variable's.
SELECT * FROM emt_append_to_stream(
    ARRAY[@event_id@]::text[], ARRAY[:data]::jsonb[], ARRAY[:metadata]::jsonb[], ARRAY['1'], ARRAY['OrderPlaced'],
    ARRAY['E'], @stream@::text, 'category' || :category, NULL, E'emt\x3adefault');
