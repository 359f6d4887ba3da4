#include "sync_projections.h"

#include "guard.h"
#include "log_cache.h"
#include "projection.h"
#include "snapshot_scope.h"

#include <new>

extern "C" {
#include "access/stratnum.h"
#include "commands/trigger.h"
}

namespace tidemark {

namespace {

struct SyncProjection {
    StateRow row;
    EventFilter filter;
    Handler handler;
};

// Ordered by name.
using SyncProjections = List*;

SyncProjections load(const LogTables& log) {
    const StateTable projections(log.projections, AccessShareLock), subscriptions(log.subscriptions, AccessShareLock);
    const SnapshotScope snapshot;
    List* found = NIL;
    projections.for_each({}, [&](const StateRow& row) {
        const Projection projection(row);
        Subscription subscription;
        if (projection.is_sync && find_subscription(subscriptions, projection.name, &subscription))
            found = lappend(found, new (palloc(sizeof(SyncProjection)))
                                       SyncProjection{row, subscription.filter, projection.handler});
    });
    snapshot.end();
    subscriptions.close_and_unlock();
    projections.close_and_unlock();
    return found;
}

SyncProjections sync_projections(const LogTables& log) {
    static LogCache<SyncProjections> cache;
    return cache.get([&] { return load(log); });
}

// An append by its positions. `append` tells more of the outermost one.
struct Stretch {
    int64 first, last;
    const Append* append;
};

// What the outermost append in progress and those within it have appended, in the order of the positions.
struct Appended {
    Stretch* all = nullptr;
    int32 count = 0, room = 0;
    MemoryContext memory = nullptr;  // null: there is no append in progress
} appended;

constexpr int32 MOST_WITHIN_ONE = 10000;

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

// Stops at the first event that a snapshot does not show.
struct FirstInvisible : EventVisitor {
    explicit FirstInvisible(Snapshot snapshot) : snapshot(snapshot) {}
    bool visit(TupleTableSlot* event) override {
        bool is_null;
        const TransactionId writer =
            DatumGetTransactionId(slot_getsysattr(event, MinTransactionIdAttributeNumber, &is_null));
        found = !TransactionIdIsCurrentTransactionId(writer) && XidInMVCCSnapshot(writer, snapshot);
        return !found;
    }

    const Snapshot snapshot;
    bool found = false;
};

// A handler's statements have the transaction's snapshot, which under REPEATABLE READ may be older than other appends:
// it would not find the rows that these have made, and their effects would be lost without an error.
void require_current_snapshot(const LogTables& log, Relation events, const SyncProjection& projection) {
    const Snapshot snapshot = GetTransactionSnapshot();
    const StateTable projections(log.projections, AccessShareLock);
    Relation head = table_open(log.head, AccessShareLock);
    PushActiveSnapshot(snapshot);
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, projection.handler.projection)};
    StateRow row;
    bool is_current = projections.find(key, &row) && row.is_version_of(projection.row);
    PopActiveSnapshot();
    const SnapshotScope fresh;
    FirstInvisible unseen(snapshot);
    const int64 line = line_of_snapshot(head, snapshot);
    is_current = is_current && line >= 0;
    if (is_current) scan_stretch(events, projection.filter, line, PG_INT64_MAX, unseen);
    fresh.end();
    table_close(head, NoLock);
    projections.close_and_unlock();
    if (!is_current || unseen.found)
        throw sql_error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                        "a sync projection has changed since the transaction's snapshot",
                        "It is " + quoted(projection.handler.projection) + ".",
                        "Begin again; transactions that are READ COMMITTED do not meet this.");
}

void project(const LogTables& log, Relation events, const Stretch& stretch) {
    ListCell* cell;
    foreach (cell, sync_projections(log)) {
        const auto& projection = *static_cast<const SyncProjection*>(lfirst(cell));
        if (stretch.append != nullptr && !may_match(projection.filter, events, *stretch.append)) continue;
        if (IsolationUsesXactSnapshot()) require_current_snapshot(log, events, projection);
        const SnapshotScope snapshot;
        Handled handled;
        HandlerCalls calls(log, projection.handler, events, handled);
        scan_stretch(events, projection.filter, stretch.first - 1, stretch.last, calls);
        calls.finish();
        snapshot.end();
    }
}

}  // namespace

bool is_appending() { return appended.memory != nullptr; }

void note_append(const Append& append) {
    int64 first = PG_INT64_MAX, last = 0;
    for (const StreamWrite& write : append.writes) {
        if (write.events.empty()) continue;
        first = std::min(first, write.result.first_position);
        last = std::max(last, write.result.last_position);
    }
    const bool is_outermost = !is_appending();
    if (is_outermost) appended.memory = CurrentMemoryContext;
    if (appended.count == MOST_WITHIN_ONE)
        throw sql_error(ERRCODE_STATEMENT_TOO_COMPLEX, "triggers and handlers append without end",
                        "They have appended " + std::to_string(MOST_WITHIN_ONE) + " times within one append.",
                        "See that a handler's own events do not lead to more of the same.");
    if (appended.count == appended.room) {
        const int32 room = std::max(4, appended.room * 2);
        void* all = MemoryContextAllocExtended(appended.memory, room * sizeof(Stretch), MCXT_ALLOC_NO_OOM);
        if (all == nullptr) throw std::bad_alloc();
        appended.all = std::copy_n(appended.all, appended.count, static_cast<Stretch*>(all)) - appended.count;
        appended.room = room;
    }
    appended.all[appended.count++] = {first, last, is_outermost ? &append : nullptr};
}

void project_appended(const LogTables& log, Relation events) {
    if (sync_projections(log) == NIL) return;
    for (int32 i = 0; i < appended.count; i++) {
        const Stretch stretch = appended.all[i];  // handlers make it grow
        project(log, events, stretch);
    }
}

void end_appending() { appended = {}; }

}  // namespace tidemark
