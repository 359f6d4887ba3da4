-- What bench/parts/extras.sh measures of projections: appends with an UPDATE, made by a sync projection or by hand, and
-- how fast async ones are.

CREATE TABLE counter (id integer PRIMARY KEY, events bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO counter SELECT id, 0 FROM generate_series(0, 999) AS id;

CREATE FUNCTION count_event(event es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE counter SET events = events + 1 WHERE id = event.position % 1000;
END $$;

-- As append_events, and then the UPDATE by hand that count_event makes.
CREATE PROCEDURE append_and_update(category text, base integer, count integer) LANGUAGE plpgsql AS $$
DECLARE
    p payload := (SELECT payload FROM payload);
    appended es_appended;
BEGIN
    FOR i IN 1 .. count LOOP
        SELECT * INTO appended
        FROM es_append(category || '-' || (base + i), 'OrderPlaced', p.data, p.metadata, -1);
        UPDATE counter SET events = events + 1 WHERE id = appended.last_position % 1000;
        COMMIT;
    END LOOP;
END $$;

CREATE TABLE revenue (stream_id text PRIMARY KEY, total numeric NOT NULL);
CREATE FUNCTION add_revenue(event es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO revenue VALUES (event.stream_id, (event.data->>'total')::numeric)
    ON CONFLICT (stream_id) DO UPDATE SET total = revenue.total + excluded.total;
END $$;
CREATE FUNCTION add_revenue(events es_events[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO revenue SELECT stream_id, sum((data->>'total')::numeric) FROM unnest(events) GROUP BY 1
    ON CONFLICT (stream_id) DO UPDATE SET total = revenue.total + excluded.total
$$;
SELECT es_create_projection('one_by_one', 'add_revenue(es_events)', 'bulk') IS NOT NULL,
       es_create_projection('in_batches', 'add_revenue(es_events[])', 'bulk') IS NOT NULL;
