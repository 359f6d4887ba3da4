-- What handlers may do besides writing to tables: append events, read the log, take long; in the appending transaction
-- and apart from it.
\getenv tests PG_ABS_SRCDIR
\i :tests/include/fresh_shop.sql
\set VERBOSITY terse
CREATE TABLE trace (n serial, entry text);
CREATE FUNCTION note(e es_events) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trace (entry) VALUES (e.stream_id || '/' || e.version) $$;
-- What is placed is confirmed; all that happens to an order has an invoice, each invoice a mail.
CREATE FUNCTION answer(e es_events) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es_append(e.stream_id, 'Confirmed') WHERE e.event_type = 'Placed';
    PERFORM es_append('invoice-' || e.version, 'Made') WHERE e.category = 'order';
    PERFORM es_append('mail-' || e.stream_id, 'Sent') WHERE e.category = 'invoice';
END
$$;
CREATE VIEW traced AS SELECT string_agg(entry, ' ' ORDER BY n) FROM trace;

-- What a handler appends is projected in the same transaction, in the order of the log: when all projections, also
-- those behind it, are through with what comes before.
SELECT es_create_projection('answers', 'answer', mode => 'sync'), es_create_projection('notes', 'note', mode => 'sync'),
       es_create_projection('a note', 'note', event_types => '{Placed}', mode => 'sync');
SELECT last_version FROM es_append_events('order-1', '[{"type": "Placed"}, {"type": "Paid"}]');
SELECT * FROM traced;
SELECT stream_id, version, position FROM es_events ORDER BY position;
TRUNCATE trace;
-- So is what a trigger of a user appends.
CREATE FUNCTION confirm() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM es_append(NEW.stream_id, 'Answered'); RETURN NULL; END $$;
CREATE TRIGGER confirm AFTER INSERT ON es_events FOR EACH ROW WHEN (NEW.event_type = 'Asked')
    EXECUTE FUNCTION confirm();
SELECT last_version FROM es_append_events('question-1', '[{"type": "Asked"}, {"type": "Asked"}]');
DROP TRIGGER confirm ON es_events;
SELECT * FROM traced;
TRUNCATE trace;
BEGIN;
SELECT last_version FROM es_append('order-1', 'Sent');
ROLLBACK;
SELECT count(*) FROM trace;
-- An error behind undoes it all.
CREATE FUNCTION refuse(e es_events) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no %s', e.event_type; END $$;
SELECT es_create_projection('no mails', 'refuse', 'mail', mode => 'sync', start => 'end');
SELECT last_version FROM es_append('order-1', 'Sent');
SELECT count(*) FROM trace;
SELECT stream_id, version FROM es_streams ORDER BY 1;
SELECT count(es_drop_projection(name)) FROM es_projections;
-- One that answers itself for ever is stopped, and nothing of it is left.
CREATE FUNCTION echo(e es_events) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN PERFORM es_append('echo-' || e.position, 'Echo'); END $$;
SELECT es_create_projection('echo', 'echo', mode => 'sync', start => 'end');
\set VERBOSITY sqlstate
SELECT last_version FROM es_append('echo', 'Echo');
\set VERBOSITY terse
SELECT es_stream_version('echo'), es_safe_position() = es_head_position() AS released;
SELECT es_drop_projection('echo');
SELECT last_version FROM es_append('echo', 'Echo');
-- Apart from appends, it is projected in a later batch.
SELECT es_head_position() AS head \gset
SELECT last_version FROM es_append_events('order-2', '[{"type": "Placed"}, {"type": "Paid"}]');
SELECT es_create_projection('answers', 'answer', start => :'head'),
       es_create_projection('notes', 'note', start => :'head');
CALL es_run_projection('answers');
CALL es_run_projection('answers');
CALL es_run_projection('answers');
CALL es_run_projection('notes');
SELECT * FROM traced;
SELECT count(es_drop_projection(name)) FROM es_projections;

-- A handler reads the log up to the safe position, without the events of its own transaction.
CREATE FUNCTION look(e es_events) RETURNS void LANGUAGE sql AS $$
    INSERT INTO trace (entry)
    SELECT count(*) || ' of ' || (SELECT count(*) FROM es_events) FROM es_read_after(0, NULL)
$$;
TRUNCATE trace;
SELECT count(*) FROM es_events;
SELECT es_create_projection('look', 'look', 'look', mode => 'sync');
SELECT count(*) FROM es_append('look-1', 'T');
SELECT count(*) FROM es_append_events('look-1', '[{"type": "T"}, {"type": "T"}]');
SELECT entry FROM trace ORDER BY n;
SELECT es_drop_projection('look');

-- One that takes long holds its append up, until a timeout, and then there is nothing; apart from appends it holds
-- nobody up.
CREATE FUNCTION dawdle(e es_events) RETURNS void LANGUAGE sql AS $$ SELECT pg_sleep(60) $$;
SELECT es_create_projection('slow', 'dawdle', 'slow', mode => 'sync');
SET statement_timeout = '50 ms';
SELECT last_version FROM es_append('slow-1', 'T');
\echo :SQLSTATE
RESET statement_timeout;
SELECT es_stream_version('slow-1'), es_safe_position() = es_head_position() AS released;
SELECT es_drop_projection('slow');
SELECT last_version, last_position FROM es_append('slow-1', 'T') \gset
SELECT es_create_projection('slow', 'dawdle', 'slow'), es_create_projection('quick', 'note', 'slow');
SET statement_timeout = '50 ms';
CALL es_run_projection('slow');
\echo :SQLSTATE
RESET statement_timeout;
SELECT name, checkpoint < :last_position AS is_behind, failed_position, error FROM es_projection_status ORDER BY 1;
SELECT es_wait_for('slow', :last_position, '10 milliseconds');
\echo :SQLSTATE
CALL es_run_projection('quick');
SELECT es_wait_for('quick', :last_position, '0');
SELECT * FROM es_verify();

SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
DROP SCHEMA shop CASCADE;
