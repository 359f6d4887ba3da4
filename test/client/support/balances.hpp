// A read model of accounts, kept by a function in the server.
#pragma once

#include <string>

#include <tidemark/tidemark.hpp>

#include "expect.hpp"

namespace tidemark::test {

// The table "balances", how often each event was counted, and the handlers "add_up" of events and "add_all_up" of
// batches. No balance falls below zero; an event of type "Bad" cannot be handled.
inline void create_balances(Connection& log) {
    log.execute(
        "CREATE TABLE balances (stream text PRIMARY KEY, balance bigint NOT NULL, "
        "CONSTRAINT no_debts CHECK (balance >= 0))");
    log.execute("CREATE TABLE counted (position bigint PRIMARY KEY)");
    log.execute(
        "CREATE FUNCTION add_up(event es_events) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
        "IF event.event_type = 'Bad' THEN RAISE 'it is bad' USING ERRCODE = 'XX123'; END IF; "
        "INSERT INTO counted VALUES (event.position); "
        "UPDATE balances SET balance = balance + (event.data ->> 'amount')::bigint WHERE stream = event.stream_id; "
        "IF NOT FOUND THEN "
        "INSERT INTO balances VALUES (event.stream_id, (event.data ->> 'amount')::bigint); END IF; "
        "END $$");
    log.execute(
        "CREATE FUNCTION add_all_up(events es_events[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
        "FOR i IN 1 .. cardinality(events) LOOP PERFORM add_up(events[i]); END LOOP; END $$");
}

// A handler that takes any event, and counts it alone.
inline void create_mended_handler(Connection& log) {
    log.execute(
        "CREATE OR REPLACE FUNCTION add_up(event es_events) RETURNS void LANGUAGE sql AS "
        "$$ INSERT INTO counted VALUES (event.position) $$");
}

inline NewEvent change(long amount) { return event("Changed", {{"amount", amount}}); }

// 0 also where there is none.
inline long balance_of(Operations& log, const std::string& stream) {
    return log.execute("SELECT coalesce(sum(balance), 0) FROM balances WHERE stream = $1", stream).get<long>(0, 0);
}

// Whether each event of the log has been counted, and so once.
inline bool has_counted_all(Operations& log) {
    return log
        .execute(
            "SELECT count(*) = count(c.position) AND count(*) = (SELECT count(*) FROM counted) "
            "FROM es_events LEFT JOIN counted AS c USING (position)")
        .get<bool>(0, 0);
}

}  // namespace tidemark::test
