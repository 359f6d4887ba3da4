SELECT * FROM emt_append_to_stream(
    (SELECT array_agg(:unique || lpad(n::text, 16, '0')) FROM generate_series(1, @n@) AS n)::text[],
    ARRAY[@data@]::jsonb[], ARRAY[@metadata@]::jsonb[], array_fill('1'::text, ARRAY[@n@]),
    array_fill('OrderPlaced'::text, ARRAY[@n@]), array_fill('E'::text, ARRAY[@n@]), @stream@::text,
    ('category' || :category)::text, NULL::bigint, E'emt\x3adefault'::text);
