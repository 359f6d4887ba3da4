-- What bench/parts/extras.sh measures on: a log with 400,000 events in 400 streams, and loops of transactions.

CREATE EXTENSION tidemark;
CREATE SEQUENCE base;  -- for streams that no call has used yet
CREATE TABLE payload AS SELECT :'data'::jsonb AS data, :'metadata'::jsonb AS metadata;

-- `count` transactions of one append each, to new streams of a category.
CREATE PROCEDURE append_events(category text, base integer, count integer) LANGUAGE plpgsql AS $$
DECLARE
    p payload := (SELECT payload FROM payload);
    appended es_appended;
BEGIN
    FOR i IN 1 .. count LOOP
        SELECT * INTO appended
        FROM es_append(category || '-' || (base + i), 'OrderPlaced', p.data, p.metadata, -1);
        COMMIT;
    END LOOP;
END $$;

-- Events in 20 categories, of types of which one in 10, in 1,000 and in 1,000,000 is.
CREATE PROCEDURE fill_sparse(count integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 0 .. count / 1000 - 1 LOOP
        PERFORM es_append_events('sparse' || i % 20 || '-' || i, jsonb_agg(jsonb_build_object(
            'type', CASE WHEN (i * 1000 + n) % 1000000 = 500000 THEN 'OneIn1000000'
                         WHEN (i * 1000 + n) % 1000 = 555 THEN 'OneIn1000'
                         WHEN (i * 1000 + n) % 10 = 5 THEN 'OneIn10' ELSE 'Frequent' END,
            'data', data, 'metadata', metadata)))
        FROM payload, generate_series(1, 1000) AS n;
        COMMIT;
    END LOOP;
END $$;

DO $$
DECLARE
    events jsonb := (SELECT jsonb_agg(jsonb_build_object('type', 'OrderPlaced', 'data', data, 'metadata', metadata))
                     FROM payload, generate_series(1, 1000));
BEGIN
    FOR i IN 1 .. 400 LOOP
        PERFORM es_append_events('bulk-' || i, events);
        COMMIT;
    END LOOP;
END $$;
VACUUM ANALYZE es_events;
