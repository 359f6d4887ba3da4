-- Row triggers that a user adds to es_events: they can veto an append, enrich an event, and append to other streams,
-- but not displace an event.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE SCHEMA shop;
CREATE TABLE shop.audit (n serial, entry text);
CREATE FUNCTION shop.before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.event_type
        WHEN 'Veto' THEN RAISE EXCEPTION 'not today' USING ERRCODE = 'SHOP1';
        WHEN 'Swallow' THEN RETURN NULL;
        WHEN 'Version' THEN NEW.version := NEW.version + 1;
        WHEN 'Position' THEN NEW.position := NEW.position + 1;
        WHEN 'Stream' THEN NEW.stream_id := 'other-1';
        WHEN 'Category' THEN NEW.category := 'other';
        WHEN 'Absent' THEN NEW.category := NULL;
        WHEN 'Count' THEN
            NEW.metadata := jsonb_build_object('before', (SELECT count(*) FROM es_events
                                                          WHERE stream_id = NEW.stream_id));
        WHEN 'Type' THEN NEW.event_type := '';
        WHEN 'Schema' THEN NEW.schema_version := -5;
        WHEN 'Metadata' THEN NEW.metadata := '3';
        WHEN 'SameStream' THEN PERFORM es_append(NEW.stream_id, 'Inner');
        WHEN 'Enrich' THEN NEW.metadata := NEW.metadata || '{"by": "trigger"}';
        ELSE NULL;
    END CASE;
    RETURN NEW;
END
$$;
CREATE FUNCTION shop.after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shop.audit (entry) VALUES (format('%s %s: %s', NEW.stream_id, NEW.version, NEW.event_type));
    IF NEW.event_type = 'LateVeto' THEN
        RAISE EXCEPTION 'too late' USING ERRCODE = 'SHOP2';
    ELSIF NEW.event_type = 'Copy' THEN
        PERFORM es_append('copy-1', 'Copied', NEW.data);
    ELSIF NEW.event_type = 'Answer' THEN
        PERFORM es_append(NEW.stream_id, 'Answered', expected_version => NEW.version);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER shop_before BEFORE INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION shop.before();
CREATE TRIGGER shop_after AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION shop.after();

-- Both triggers let an ordinary event pass, alone or among others.
SELECT last_version FROM es_append('order-1', 'Placed');
SELECT last_version FROM es_append_events('order-1', '[{"type": "Paid"}, {"type": "Shipped"}]');
-- A BEFORE trigger enriches metadata; what the caller gave stays.
SELECT last_version FROM es_append('order-1', 'Enrich', '{}', '{"user": "anna"}');
SELECT metadata FROM es_read_stream('order-1', 4);
-- A BEFORE trigger sees the events that come before its own, those of the same call too.
SELECT last_version FROM es_append_events('order-9', '[{"type": "Count"}, {"type": "Count"}, {"type": "Count"}]');
SELECT version, metadata FROM es_read_stream('order-9');
-- Either trigger vetoes an append with its own error, and takes the other events of the call with it.
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Veto')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'LateVeto')$$);
SELECT pg_temp.attempt($$SELECT es_append_events('order-1', '[{"type": "A"}, {"type": "Veto"}, {"type": "B"}]')$$);
SELECT pg_temp.attempt($$SELECT es_append_events('order-1', '[{"type": "A"}, {"type": "LateVeto"}, {"type": "B"}]')$$);
-- What a trigger writes must be such as an append may write.
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Type')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Schema')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Metadata')$$);
-- A BEFORE trigger cannot append to the stream that its event is about to join.
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'SameStream')$$);
-- A trigger that would leave a hole or put the event elsewhere is refused.
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Swallow')$$);
SELECT pg_temp.attempt($$SELECT es_append_events('order-1', '[{"type": "A"}, {"type": "Swallow"}, {"type": "B"}]')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Version')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Position')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Stream')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Category')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Absent')$$);
-- After all those refusals the stream goes on without a hole.
SELECT last_version FROM es_append('order-1', 'Closed', expected_version => 4);
-- The AFTER trigger has seen every event once, in order, and nothing of what was refused.
SELECT string_agg(entry, ', ' ORDER BY n) FROM shop.audit;

-- A trigger appends to another stream: atomically, and the call's own events stay consecutive.
SELECT first_version, last_version, last_position - first_position AS distance
FROM es_append_events('order-2', '[{"type": "Copy", "data": 1}, {"type": "Placed"}, {"type": "Copy", "data": 2}]');
SELECT stream_id, version, event_type, data FROM es_read_after(event_types => '{Copy,Copied}');
BEGIN;
SELECT last_version FROM es_append('order-2', 'Copy', '3');
ROLLBACK;
SELECT es_stream_version('order-2'), es_stream_version('copy-1');
-- An AFTER trigger appends to the very stream.
SELECT last_version FROM es_append('order-3', 'Answer');
SELECT version, event_type FROM es_read_stream('order-3');
-- The next append sees what the trigger appended.
SELECT last_version FROM es_append('order-3', 'Placed', expected_version => 2);
DROP TRIGGER shop_after ON es_events;

-- A constraint trigger that is deferred fires at COMMIT, and can still veto.
CREATE CONSTRAINT TRIGGER shop_at_commit AFTER INSERT ON es_events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION shop.after();
BEGIN;
SELECT last_version FROM es_append('order-4', 'Placed');
SELECT last_version FROM es_append('order-4', 'LateVeto');
COMMIT;
\echo :LAST_ERROR_SQLSTATE
SELECT es_stream_version('order-4'), es_safe_position() = es_head_position() AS released;
-- An append that it makes at COMMIT belongs to the transaction.
BEGIN;
SELECT last_version FROM es_append('order-4', 'Copy', '4');
SELECT es_stream_version('copy-1');
COMMIT;
SELECT es_stream_version('copy-1');
SELECT stream_id, version, data FROM es_read_after(category => 'copy');

-- A trigger that is disabled does nothing; enabled again, it does.
ALTER TABLE es_events DISABLE TRIGGER shop_before;
SELECT last_version FROM es_append('order-5', 'Veto');
ALTER TABLE es_events ENABLE TRIGGER shop_before;
SELECT pg_temp.attempt($$SELECT es_append('order-5', 'Veto')$$);
-- A WHEN condition is heeded.
DROP TRIGGER shop_before ON es_events;
CREATE TRIGGER shop_when BEFORE INSERT ON es_events FOR EACH ROW WHEN (NEW.stream_id LIKE 'quiet-%')
    EXECUTE FUNCTION shop.before();
SELECT pg_temp.attempt($$SELECT es_append('quiet-1', 'Veto')$$) AS quiet,
       pg_temp.attempt($$SELECT es_append('loud-1', 'Veto')$$) AS loud;
SELECT * FROM es_verify();
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;

-- What a trigger violates elsewhere reaches the caller as it is, whatever it is called there.
CREATE SCHEMA archive;
CREATE TABLE archive.es_events (LIKE es_events INCLUDING ALL);
CREATE FUNCTION archive_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO archive.es_events SELECT NEW.*;
    RETURN NULL;
END
$$;
CREATE TRIGGER archive AFTER INSERT ON es_events FOR EACH ROW EXECUTE FUNCTION archive_event();
SELECT last_version FROM es_append('archived-1', 'A', event_id => '0195a7b0-0000-7000-8000-00000000000a');
UPDATE archive.es_events SET event_id = '0195a7b0-0000-7000-8000-00000000000b', position = -1;
SELECT last_version FROM es_append('archived-1', 'A', event_id => '0195a7b0-0000-7000-8000-00000000000b');
CREATE TABLE orders (n integer);
ALTER INDEX archive.es_events_event_id_key RENAME TO orders;
SELECT last_version FROM es_append('archived-1', 'A', event_id => '0195a7b0-0000-7000-8000-00000000000b');
DROP SCHEMA archive CASCADE;
DROP TABLE orders;
DROP TRIGGER archive ON es_events;
DROP FUNCTION archive_event;
