// Projections: handlers that fold the log's events into tables, in the append's transaction (sync) or behind it
// (async).
//
// What a projection is for stands in es_subscriptions, under its name: its filter, and for an async one the cursor, of
// one partition. How it is done stands in es_projections. A sync projection has no cursor: it is where the log is.
#pragma once

#include "handler.h"
#include "subscription.h"

namespace tidemark {

namespace projection {
enum Column : AttrNumber {
    NAME = 1,
    MODE,
    HANDLER,
    HANDLER_OWNER,
    TAKES_BATCH,
    OWNER,
    SEARCH_PATH,
    TIME_ZONE,
    ON_ERROR,
    RETRIES,
    RETRY_MILLISECONDS,
    TABLES,
    START_POSITION,
    CREATED_AT,
    REBUILT_AT,
};
}

// Has the transaction check deferrable constraints after each statement: at its end nobody could be blamed any more.
void check_constraints_at_once();

// Whether this session is in the midst of a batch of the projection, as where its own handler asks.
bool is_projecting(std::string_view name);

struct Projection {
    explicit Projection(const StateRow& row);

    StateRow row;
    std::string_view name;
    bool is_sync;
    Handler handler;
};

struct ProjectionTables {
    ProjectionTables(const LogTables& tables, LOCKMODE mode)
        : subscriptions(tables, mode), projections(tables.projections, mode) {}
    void close() const {
        subscriptions.close();
        projections.close();
    }

    bool find(std::string_view name, StateRow* row) const;
    // Throws TM005 where there is none of the name.
    Projection projection(std::string_view name) const;
    // To all sessions, when the transaction commits: the projections are others.
    void announce_change() const { projections.announce_change(); }

    const SubscriptionTables subscriptions;
    const StateTable projections;
};

}  // namespace tidemark
