CREATE PROCEDURE grow(first bigint, last bigint, data jsonb, metadata jsonb) LANGUAGE plpgsql AS $$
DECLARE
    events jsonb := (SELECT jsonb_agg(jsonb_build_object('type', 'OrderPlaced', 'data', data, 'metadata', metadata))
                     FROM generate_series(1, 100));
BEGIN
    FOR stream IN first .. last LOOP
        PERFORM es_append_events('category' || stream % 20 || '-' || stream, events);
        IF stream % 10 = 0 THEN COMMIT; END IF;
    END LOOP;
END $$;
