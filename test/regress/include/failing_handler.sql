-- A handler that leaves a trace of each event, and fails at those that are broken.
CREATE TABLE trace (n serial, position bigint, events bigint DEFAULT 1);
CREATE TABLE broken (position bigint PRIMARY KEY, state text);
CREATE FUNCTION apply(e es_events) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    fault broken;
BEGIN
    INSERT INTO trace (position) VALUES (e.position);
    SELECT * INTO fault FROM broken WHERE position = e.position;
    IF FOUND THEN
        RAISE 'cannot do %', e.position USING ERRCODE = fault.state;
    END IF;
END
$$;
