-- Parallel query: what appends or follows the log refuses to run in it, even inside a function that is wrongly marked
-- PARALLEL SAFE; what reads a stream may run in a worker.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tidemark CASCADE;
CREATE EXTENSION tidemark;
RESET client_min_messages;
CREATE SCHEMA wrong;
CREATE FUNCTION wrong.append() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN (SELECT last_version FROM es_append('order-1', 'Wrong')); END $$;
CREATE FUNCTION wrong.append_events() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN (SELECT last_version FROM es_append_events('order-1', '[{"type": "Wrong"}]')); END $$;
CREATE FUNCTION wrong.check_only() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN (SELECT last_version FROM es_append_events('order-1', '[]')); END $$;
CREATE FUNCTION wrong.lock_stream() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN es_lock_stream('order-1'); END $$;
CREATE FUNCTION wrong.leap() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RETURN es_leap(); END $$;
CREATE FUNCTION wrong.read_after() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN (SELECT count(*) FROM es_read_after()); END $$;
CREATE FUNCTION wrong.safe_position() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN es_safe_position(); END $$;
SELECT last_version FROM es_append_events('order-1', '[{"type": "A"}, {"type": "B"}, {"type": "C"}]');

-- Every query in a worker that can be: the setting has another name since PostgreSQL 16.
SELECT count(set_config(name, 'on', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
\set SHOW_CONTEXT never
-- Appending, locking and leaping are refused.
SELECT wrong.append();
\echo :SQLSTATE
SELECT wrong.append_events();
\echo :SQLSTATE
SELECT wrong.check_only();
\echo :SQLSTATE
SELECT wrong.lock_stream();
\echo :SQLSTATE
SELECT wrong.leap();
\echo :SQLSTATE
-- So is following the log, which needs a snapshot of its own.
SELECT wrong.read_after();
\echo :SQLSTATE
SELECT wrong.safe_position();
\echo :SQLSTATE
-- Called as they are, all of them keep their query out of parallel mode.
SELECT last_version FROM es_append('order-1', 'D');
SELECT count(*) FROM es_read_after();
SELECT es_lock_stream('order-1'), es_safe_position() = es_head_position() AS same;
SELECT count(*) FROM es_verify();

-- Reading a stream runs in a worker, and sees the transaction's own events there.
CREATE FUNCTION pg_temp.has_gather(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan text;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan LIKE '%"Gather"%';
END
$$;
SELECT pg_temp.has_gather($$SELECT * FROM es_read_stream('order-1')$$) AS read_stream,
       pg_temp.has_gather($$SELECT es_stream_version('order-1')$$) AS stream_version,
       pg_temp.has_gather($$SELECT * FROM es_read_after()$$) AS read_after,
       pg_temp.has_gather($$SELECT * FROM es_append('order-1', 'E')$$) AS append;
BEGIN;
SELECT last_version FROM es_append('order-1', 'E');
SELECT array_agg(version) FROM es_read_stream('order-1');
SELECT array_agg(version) FROM es_read_stream('order-1', 4, 2, true);
SELECT es_stream_version('order-1');
ROLLBACK;
SELECT array_agg(version), es_stream_version('order-1') FROM es_read_stream('order-1');

SELECT count(set_config(name, 'off', false)) FROM pg_settings
WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT * FROM es_verify();
SET client_min_messages = warning;
DROP SCHEMA wrong CASCADE;
