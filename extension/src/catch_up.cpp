#include "catch_up.h"

#include "guard.h"
#include "locks.h"
#include "snapshot_scope.h"

namespace tidemark {

namespace {

// With fewer events than that to go, the rest is projected with appends locked out.
constexpr int64 FEW_EVENTS = 1000;

}  // namespace

int64 catch_up(const LogTables& log, const Handler& handler, const EventFilter& filter, Relation events, Relation head,
               int64 start, bool from_now) {
    int64 position = start;
    Handled handled;
    HandlerCalls calls(log, handler, events, handled);
    for (ScanBudget budget = {PG_INT64_MAX, FEW_EVENTS}; budget.visited >= FEW_EVENTS && !from_now;) {
        budget.visited = 0;
        const SafeRead read = begin_safe_read(head, "es_create_projection()");
        position = scan_log(events, filter, position, read.position, budget, calls);
        read.end();
    }
    lock_out_appends(log);
    // All who could commit an event below that are locked out. One's own events are to be projected too, and those that
    // the handler appends.
    int64 end = read_head(head).last_position;
    if (from_now) return end;
    for (; position < end; end = read_head(head).last_position) {
        const SnapshotScope snapshot;
        ScanBudget budget;
        position = scan_log(events, filter, position, end, budget, calls);
        calls.flush();
        snapshot.end();
    }
    calls.finish();
    return start;
}

}  // namespace tidemark
