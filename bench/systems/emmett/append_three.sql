-- A call that is refused says so and raises no error: its caller would have to roll back. Here the other two stay, and
-- are counted.
SELECT (SELECT success FROM emt_append_to_stream(
            ARRAY[:unique || '0000000000000001']::text[], ARRAY[:data]::jsonb[], ARRAY[:metadata]::jsonb[], ARRAY['1'],
            ARRAY['OrderPlaced'], ARRAY['E'], @stream1@::text, 'category' || :category1, NULL, E'emt\x3adefault')),
       (SELECT success FROM emt_append_to_stream(
            ARRAY[:unique || '0000000000000002']::text[], ARRAY[:data]::jsonb[], ARRAY[:metadata]::jsonb[], ARRAY['1'],
            ARRAY['OrderPlaced'], ARRAY['E'], @stream2@::text, 'category' || :category2, NULL, E'emt\x3adefault')),
       (SELECT success FROM emt_append_to_stream(
            ARRAY[:unique || '0000000000000003']::text[], ARRAY[:data]::jsonb[], ARRAY[:metadata]::jsonb[], ARRAY['1'],
            ARRAY['OrderPlaced'], ARRAY['E'], @stream3@::text, 'category' || :category3, NULL, E'emt\x3adefault'));
