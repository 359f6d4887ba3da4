-- Constraints that a user adds to es_events: they are checked in every append, an append that violates one is undone
-- whole, and the error names the constraint, as for any other table.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    violated text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || violated;
END
$$;
CREATE SCHEMA shop;

-- A CHECK constraint.
ALTER TABLE es_events ADD CONSTRAINT total_not_negative CHECK ((data ->> 'total')::numeric >= 0);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Placed', '{"total": 1}')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Placed', '{"total": -1}')$$);
SELECT pg_temp.attempt($$SELECT es_append_events('order-1', '[{"type": "A", "data": {"total": 1}},
                                                             {"type": "B", "data": {"total": -1}}]')$$);
-- An error in the constraint's own expression.
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Placed', '{"total": "none"}')$$);
-- What was refused is not there, and the stream goes on without a hole.
SELECT es_stream_version('order-1');
SELECT last_version FROM es_append('order-1', 'Placed', '{"total": 2}', expected_version => 1);

-- A foreign key: an event of an unknown type is refused, alone or among others.
CREATE TABLE shop.types (type text COLLATE "C" PRIMARY KEY);
INSERT INTO shop.types VALUES ('Placed'), ('Paid');
ALTER TABLE es_events ADD CONSTRAINT known_type FOREIGN KEY (event_type) REFERENCES shop.types;
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Paid')$$);
SELECT pg_temp.attempt($$SELECT es_append('order-1', 'Eaten')$$);
SELECT pg_temp.attempt($$SELECT es_append_events('order-1', '[{"type": "Paid"}, {"type": "Eaten"}, {"type": "A"}]')$$);
SELECT es_stream_version('order-1');
-- The type cannot be deleted under the events, not even with a cascade.
SELECT pg_temp.attempt('DELETE FROM shop.types');
ALTER TABLE es_events DROP CONSTRAINT known_type;
ALTER TABLE es_events ADD CONSTRAINT known_type FOREIGN KEY (event_type) REFERENCES shop.types ON DELETE CASCADE;
SELECT pg_temp.attempt('DELETE FROM shop.types');
-- A deferred foreign key is checked at COMMIT: the type may come later in the transaction.
ALTER TABLE es_events ALTER CONSTRAINT known_type DEFERRABLE INITIALLY DEFERRED;
BEGIN;
SELECT last_version FROM es_append('order-1', 'Shipped');
INSERT INTO shop.types VALUES ('Shipped');
COMMIT;
-- If it does not come, COMMIT undoes the append, and nothing holds readers back.
BEGIN;
SELECT last_version FROM es_append('order-1', 'Eaten');
COMMIT;
SELECT es_stream_version('order-1'), es_safe_position() = es_head_position() AS released;
-- SET CONSTRAINTS checks it at once.
BEGIN;
SELECT last_version FROM es_append('order-1', 'Eaten');
SET CONSTRAINTS known_type IMMEDIATE;
ROLLBACK;
ALTER TABLE es_events DROP CONSTRAINT known_type;

-- Other tables can refer to events.
CREATE TABLE shop.notes (position bigint REFERENCES es_events, note text);
INSERT INTO shop.notes SELECT first_position, 'first' FROM es_append('note-1', 'Noted');
SELECT pg_temp.attempt($$INSERT INTO shop.notes VALUES (-1, 'nothing')$$);
SELECT note, event_type FROM shop.notes JOIN es_events USING (position);

-- A unique index on a part of the data passes its name through; an idempotency conflict it is not.
CREATE UNIQUE INDEX one_account_per_email ON es_events ((data ->> 'email')) WHERE event_type = 'Registered';
SELECT pg_temp.attempt($$SELECT es_append('user-1', 'Registered', '{"email": "a"}', expected_version => -1)$$);
SELECT pg_temp.attempt($$SELECT es_append('user-2', 'Registered', '{"email": "a"}', expected_version => -1)$$);
SELECT pg_temp.attempt($$SELECT es_append('user-2', 'Registered', '{"email": "b"}', expected_version => -1)$$);
SELECT pg_temp.attempt($$SELECT es_append('user-2', 'Mentioned', '{"email": "a"}', expected_version => 1)$$);
-- It also holds within one call, and where the event has an id.
SELECT pg_temp.attempt($$SELECT es_append_events('user-3', '[{"type": "Registered", "data": {"email": "c"}},
                                                            {"type": "Registered", "data": {"email": "c"}}]')$$);
SELECT pg_temp.attempt($$SELECT es_append('user-3', 'Registered', '{"email": "b"}',
                                          event_id => '00000000-0000-0000-0000-000000000001')$$);
SELECT es_stream_version('user-1'), es_stream_version('user-2'), es_stream_version('user-3');
DROP INDEX one_account_per_email;
-- A deferrable unique constraint, here over a generated column, is checked at COMMIT.
ALTER TABLE es_events ADD phone text GENERATED ALWAYS AS (data ->> 'phone') STORED;
ALTER TABLE es_events ADD CONSTRAINT phone_once UNIQUE (phone) DEFERRABLE INITIALLY DEFERRED;
SELECT last_version FROM es_append('user-1', 'Called', '{"phone": "1"}');
BEGIN;
SELECT last_version FROM es_append('user-2', 'Called', '{"phone": "1"}');
\set VERBOSITY terse
COMMIT;
\set VERBOSITY default
SELECT es_stream_version('user-2'), es_safe_position() = es_head_position() AS released;
-- An exclusion constraint.
ALTER TABLE es_events ADD CONSTRAINT one_seat EXCLUDE ((data ->> 'seat') WITH =);
SELECT pg_temp.attempt($$SELECT es_append('seat-1', 'Taken', '{"seat": 1}')$$);
SELECT pg_temp.attempt($$SELECT es_append_events('seat-2', '[{"type": "Taken", "data": {"seat": 2}},
                                                            {"type": "Taken", "data": {"seat": 1}}]')$$);

-- The bounds of a partition, where es_events has been made one.
CREATE TABLE shop.all_events (LIKE es_events INCLUDING GENERATED) PARTITION BY LIST (category);
ALTER TABLE shop.all_events ATTACH PARTITION es_events FOR VALUES IN ('note', 'order', 'seat', 'user');
SELECT pg_temp.attempt($$SELECT es_append('user-4', 'Registered')$$),
       pg_temp.attempt($$SELECT es_append('stock-1', 'Counted')$$),
       pg_temp.attempt($$SELECT es_append_streams('[{"stream": "user-4", "events": [{"type": "Left"}]},
                                                    {"stream": "stock-1", "events": [{"type": "Counted"}]}]')$$);
ALTER TABLE shop.all_events DETACH PARTITION es_events;

SELECT stream_id, version FROM es_streams ORDER BY stream_id;
SELECT * FROM es_verify();
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
