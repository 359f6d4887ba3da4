#include "catch_up.h"

#include "guard.h"
#include "locks.h"
#include "snapshot_scope.h"

namespace tidemark {

namespace {

// With fewer events than that to go, or no fewer than before, the rest is projected with appends locked out.
constexpr int64 FEW_EVENTS = 1000;

}  // namespace

int64 catch_up(const LogTables& log, const Handler& handler, const EventFilter& filter, Relation events, Relation head,
               int64 start, bool from_now) {
    int64 position = start;
    Handled handled;
    HandlerCalls calls(log, handler, events, handled);
    // Where each round has as many events to do as the one before, others append as fast as the handler is.
    int64 left = PG_INT64_MAX, visited = PG_INT64_MAX - 1;
    while (!from_now && visited >= FEW_EVENTS && visited < left) {
        left = visited;
        ScanBudget budget;
        const SafeRead read = begin_safe_read(head, "es_create_projection()");
        position = scan_log(events, filter, position, read.position, budget, calls);
        read.end();
        visited = budget.visited;
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
