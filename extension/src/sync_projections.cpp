#include "sync_projections.h"

#include "guard.h"
#include "log_cache.h"
#include "projection.h"
#include "snapshot_scope.h"

#include <new>

extern "C" {
#include "commands/trigger.h"
}

namespace tidemark {

namespace {

struct SyncProjection {
    EventFilter filter;
    Handler handler;
};

// Ordered by name.
using SyncProjections = List*;

SyncProjections load(const LogTables& log) {
    const ProjectionTables tables(log, AccessShareLock);
    const SnapshotScope snapshot;
    List* found = NIL;
    tables.projections.for_each({}, [&](const StateRow& row) {
        const Projection projection(row);
        if (projection.is_sync)
            found = lappend(found, new (palloc(sizeof(SyncProjection))) SyncProjection{
                                       tables.subscriptions.subscription(projection.name).filter, projection.handler});
    });
    snapshot.end();
    tables.close();
    return found;
}

SyncProjections sync_projections(const LogTables& log) {
    static LogCache<SyncProjections> cache;
    return cache.get([&] { return load(log); });
}

// Whether an event of the append can be for the projection, as far as that is seen without reading what was stored.
bool may_match(const EventFilter& filter, Relation events, const Append& append) {
    // A trigger may have given an event another type.
    const bool types_are_known = events->trigdesc == nullptr || !events->trigdesc->trig_insert_before_row;
    const auto is_wanted = [&](const NewEvent& event) {
        return std::find(filter.types, filter.types + filter.type_count, event.type) !=
               filter.types + filter.type_count;
    };
    return std::any_of(append.writes.begin(), append.writes.end(), [&](const StreamWrite& write) {
        return !write.events.empty() && (!filter.by_category || write.category == filter.category) &&
               (!filter.by_prefix || write.stream_id.starts_with(filter.prefix)) &&
               (!filter.by_types || !types_are_known ||
                std::any_of(write.events.begin(), write.events.end(), is_wanted));
    });
}

}  // namespace

void project(const LogTables& log, Relation events, const Append& append) {
    const SyncProjections projections = sync_projections(log);
    if (projections == NIL) return;
    int64 first = PG_INT64_MAX, last = 0;
    for (const StreamWrite& write : append.writes) {
        if (write.events.empty()) continue;
        first = std::min(first, write.result.first_position);
        last = std::max(last, write.result.last_position);
    }
    ListCell* cell;
    foreach (cell, projections) {
        const auto& projection = *static_cast<const SyncProjection*>(lfirst(cell));
        if (!may_match(projection.filter, events, append)) continue;
        const SnapshotScope snapshot;
        Handled handled;
        HandlerCalls calls(log, projection.handler, events, handled);
        scan_stretch(events, projection.filter, first - 1, last, calls);
        calls.finish();
        snapshot.end();
    }
}

}  // namespace tidemark
