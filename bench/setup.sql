-- What bench/run compares: the log, and a plain table with the same columns and indexes, filled alike.

CREATE EXTENSION tidemark;
CREATE TABLE plain (LIKE es_events INCLUDING ALL);
CREATE SEQUENCE plain_position;
CREATE SEQUENCE base;  -- for streams that no call has used yet

-- About 300 bytes of order and 90 of metadata.
CREATE TABLE payload AS SELECT
    '{"order": 42, "customer": "c-123456", "currency": "EUR", "total": 129.90,
      "lines": [{"sku": "SKU-0001", "qty": 2, "price": 39.95}, {"sku": "SKU-0002", "qty": 1, "price": 50.00}],
      "ship_to": {"name": "A. Customer", "street": "Main Street 1", "zip": "12345", "city": "Springfield"}}'::jsonb AS data,
    '{"correlation_id": "0d1b2c3d-aaaa-4bbb-8ccc-1234567890ab", "user": "a.customer"}'::jsonb AS metadata;

-- Time-ordered ids, as es_append makes them, prepared beforehand so that the INSERT does not pay for making them.
CREATE FUNCTION ordered_ids(base integer, count integer) RETURNS uuid[] LANGUAGE sql AS $$
    SELECT array_agg((lpad(to_hex(base + i), 12, '0') || '7000' || substr(md5(i::text), 1, 16))::uuid ORDER BY i)
    FROM generate_series(1, count) AS i
$$;

-- `count` transactions of one INSERT each, to new streams.
CREATE PROCEDURE insert_plain(base integer, count integer) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[] := ordered_ids(base, count);
    p payload := (SELECT payload FROM payload);
BEGIN
    FOR i IN 1 .. count LOOP
        INSERT INTO plain VALUES (nextval('plain_position'), 1, clock_timestamp(), ids[i], 1,
                                  'order-' || (base + i), 'order', 'OrderPlaced', p.data, p.metadata);
        COMMIT;
    END LOOP;
END $$;

-- The same with es_append.
CREATE PROCEDURE append_events(base integer, count integer) LANGUAGE plpgsql AS $$
DECLARE
    p payload := (SELECT payload FROM payload);
BEGIN
    FOR i IN 1 .. count LOOP
        PERFORM es_append('order-' || (base + i), 'OrderPlaced', p.data, p.metadata, -1);
        COMMIT;
    END LOOP;
END $$;

-- 400,000 events to read, in 400 streams, in both tables.
CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
DECLARE
    events jsonb := (SELECT jsonb_agg(jsonb_build_object('type', 'OrderPlaced', 'data', data, 'metadata', metadata))
                     FROM payload, generate_series(1, 1000));
BEGIN
    FOR i IN 1 .. 400 LOOP
        PERFORM es_append_events('bulk-' || i, events);
        COMMIT;
    END LOOP;
    INSERT INTO plain SELECT * FROM es_events WHERE category = 'bulk';
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
