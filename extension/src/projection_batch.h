// A batch of an async projection: its events' effects and its checkpoint, in one transaction.
#pragma once

#include "guard.h"
#include "projection.h"

namespace tidemark {

struct BatchRequest {
    const char* projection;
    int64 max_count;  // of events
    int64 upto;       // no event above this position
    bool waits;       // for whoever is at the projection; or leaves it to him
    bool resumes;     // also where it has failed, or is to be tried again later
};

enum class Progress {
    NONE,     // there is nothing to do
    SOME,     // to be committed; there may be more to do
    BUSY,     // another session is at it
    PUT_OFF,  // an event is to be tried again later
    FAILED,   // for good: somebody must see to it
    GONE,     // there is no such projection any more
};

// What a runner remembers of a projection from one batch to the next.
struct Caution {
    // After a batch has failed in which several events could be at fault: how many, from the checkpoint on, and how
    // many of them to do at once.
    int64 suspects = 0;
    int64 at_once = 0;
    int conflicts = 0;         // in a row
    TimestampTz retry_at = 0;  // where it is put off
};

// Does one batch, in the running transaction, which is to be committed afterwards, whatever it returns. Not to be
// called inside pg_call. Throws only what is nobody's fault, as where it is cancelled.
Progress project_batch(const LogTables& log, const BatchRequest& request, Caution& caution);

}  // namespace tidemark
