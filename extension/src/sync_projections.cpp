#include "sync_projections.h"

#include "guard.h"
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

// By name.
struct SyncProjections {
    SyncProjection* all;
    int32 count;
};

void load(const LogTables& log, SyncProjections* found) {
    const ProjectionTables tables(log, AccessShareLock);
    const SnapshotScope snapshot;
    int32 room = 4;
    *found = {static_cast<SyncProjection*>(palloc(room * sizeof(SyncProjection))), 0};
    tables.projections.for_each({}, [&](const StateRow& row) {
        const Projection projection(row);
        if (!projection.is_sync) return;
        if (found->count == room) {
            room *= 2;
            found->all = static_cast<SyncProjection*>(repalloc(found->all, room * sizeof(SyncProjection)));
        }
        new (&found->all[found->count++])
            SyncProjection{tables.subscriptions.subscription(projection.name).filter, projection.handler};
    });
    snapshot.end();
    tables.close();
}

// Kept from one append to the next. What was kept before stays until the transaction ends: an append that is made by a
// handler may find that it has changed, while the outer append goes on with what it knows.
SyncProjections sync_projections(const LogTables& log) {
    static SyncProjections known = {};
    static MemoryContext memory = nullptr;
    static uint64 generation = 0;
    while (memory == nullptr || generation != log_generation()) {
        generation = log_generation();
        if (memory != nullptr) MemoryContextSetParent(memory, TopTransactionContext);
        memory = nullptr;
        MemoryContext fresh = AllocSetContextCreate(CurrentMemoryContext, "sync projections", ALLOCSET_SMALL_SIZES);
        const MemoryContext caller = MemoryContextSwitchTo(fresh);
        load(log, &known);
        MemoryContextSwitchTo(caller);
        MemoryContextSetParent(fresh, TopMemoryContext);
        memory = fresh;
    }
    return known;
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
    if (projections.count == 0) return;
    int64 first = PG_INT64_MAX, last = 0;
    for (const StreamWrite& write : append.writes) {
        if (write.events.empty()) continue;
        first = std::min(first, write.result.first_position);
        last = std::max(last, write.result.last_position);
    }
    for (int32 i = 0; i < projections.count; i++) {
        const SyncProjection& projection = projections.all[i];
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
