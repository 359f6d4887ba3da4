CREATE PROCEDURE grow(first bigint, last bigint, data jsonb, metadata jsonb) LANGUAGE plpgsql AS $$
BEGIN
    FOR batch IN 0 .. (last - first) / 1000 LOOP
        INSERT INTO events
        SELECT nextval('positions'), n, clock_timestamp(), lpad((stream * 1000 + n)::text, 32, '0')::uuid, 1,
               'category' || stream % 20 || '-' || stream, 'category' || stream % 20, 'OrderPlaced', data, metadata
        FROM generate_series(first + batch * 1000, least(first + batch * 1000 + 999, last)) AS stream,
             generate_series(1, 100) AS n;
        COMMIT;
    END LOOP;
END $$;
