// The log in position order, filtered, by the index that serves the filter best.
#pragma once

#include "event_filter.h"
#include "safe_position.h"
#include "waiting.h"

namespace tidemark {

// Who is shown the events that pass the filter. The slot is good until visit() returns.
class EventVisitor {
  public:
    virtual bool visit(TupleTableSlot* event) = 0;  // whether to go on

  protected:
    ~EventVisitor() = default;
};

// How many rows a scan may look at, whether they pass the filter or not.
struct ScanBudget {
    int64 limit = PG_INT64_MAX;
    int64 visited = 0;

    bool spent() const { return visited >= limit; }
};

// Shows the visitor the events above `after` and up to `upto` that pass the filter, under the active snapshot, until it
// has enough or the budget is spent. Returns how far that was: every event up to there that passes has been shown.
int64 scan_log(Relation events, const EventFilter& filter, int64 after, int64 upto, ScanBudget& budget,
               EventVisitor& visitor);

// The same by position alone, for a stretch that is short.
void scan_stretch(Relation events, const EventFilter& filter, int64 after, int64 upto, EventVisitor& visitor);

// Whose commits can bring events that pass the filter, after a read that has found none.
WaitGroup group_to_wait_in(const EventFilter& filter, const SafeRead& read);

}  // namespace tidemark
