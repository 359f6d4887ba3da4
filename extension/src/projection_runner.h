// Async projections, run batch after batch.
#pragma once

#include "log_tables.h"

namespace tidemark {

struct RunRequest {
    const char* projection;  // null: all of them
    int64 max_count;         // of events in a batch
    int64 duration;          // milliseconds to go on for when there is nothing left; 0: not at all
};

// Runs them until there is nothing left and the time is over. `commit` and `rollback` end the running transaction and
// begin another. Not to be called inside pg_call. Throws TM006 where the one that was named
// has failed, TM005 where there is none, 55000 where it is not async.
void run_projections(Oid schema, const RunRequest& request, void (*commit)(), void (*rollback)());

}  // namespace tidemark
