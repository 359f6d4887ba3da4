#include "safe_position.h"

#include "guard.h"
#include "snapshot_scope.h"
#include "waiting.h"

#include <algorithm>

namespace tidemark {

namespace {

// One's own transaction counts as in progress, though no snapshot lists it: its events are not final.
bool in_progress(FullTransactionId xid, FullTransactionId own, FullTransactionId next, Snapshot snapshot) {
    if (FullTransactionIdEquals(xid, own)) return true;
    return may_be_running(xid, next) && XidInMVCCSnapshot(XidFromFullTransactionId(xid), snapshot);
}

// Whether the head may have dropped the entry of a transaction that the snapshot counts as running and that has
// committed since. Those that run still, whatever they do, have their entries.
bool has_forgotten(FullTransactionId last_dropped, FullTransactionId next, Snapshot snapshot) {
    const auto is_dropped = [&](TransactionId xid) {
        const uint32 age = XidFromFullTransactionId(next) - xid;
        return U64FromFullTransactionId(next) - age <= U64FromFullTransactionId(last_dropped);
    };
    if (!is_dropped(snapshot->xmin)) return false;
    return is_dropped(snapshot->xmax) ||
           std::any_of(snapshot->xip, snapshot->xip + snapshot->xcnt,
                       [&](TransactionId xid) { return is_dropped(xid) && TransactionIdDidCommit(xid); });
}

}  // namespace

SafeRead begin_safe_read(Relation head, const char* function) {
    PreventCommandIfParallelMode(function);
    SafeRead read = {0, read_head(head)};
    // Strictly after the copy of the head, and new, also under REPEATABLE READ.
    const SnapshotScope snapshot;

    const FullTransactionId own = GetTopFullTransactionIdIfAny();
    const FullTransactionId next = ReadNextFullTransactionId();
    InFlight* const entries = read.head.entries;
    InFlight* const end = std::remove_if(entries, entries + read.head.entry_count, [&](const InFlight& entry) {
        return !in_progress(entry.xid, own, next, snapshot.get());
    });
    read.head.entry_count = static_cast<uint32>(end - entries);

    read.position = read.head.last_position;
    for (const InFlight* entry = entries; entry < end; entry++)
        read.position = std::min(read.position, entry->first_position - 1);
    return read;
}

int64 line_of_snapshot(Relation head, Snapshot snapshot) {
    const HeadCopy copy = read_head(head);
    const FullTransactionId own = GetTopFullTransactionIdIfAny(), next = ReadNextFullTransactionId();
    int64 line = copy.last_position;
    for (const InFlight* entry = copy.entries; entry < copy.entries + copy.entry_count; entry++)
        if (!FullTransactionIdEquals(entry->xid, own) && in_progress(entry->xid, own, next, snapshot))
            line = std::min(line, entry->first_position - 1);
    pfree(copy.entries);
    return has_forgotten(copy.last_dropped, next, snapshot) ? -1 : line;
}

int64 await_line(Oid head_table, int64 above, int64 milliseconds, const char* function) {
    Relation head = table_open(head_table, AccessShareLock);
    Waiter waiter(milliseconds);
    int64 line;
    do {
        const SafeRead read = begin_safe_read(head, function);
        line = read.position;
        read.end();
        pfree(read.head.entries);
    } while (line <= above && waiter.sleep(WaitGroup::everything()));
    waiter.leave();
    table_close(head, AccessShareLock);
    return line;
}

void refuse_wait_for_oneself(Relation head, const char* function) {
    const FullTransactionId own = GetTopFullTransactionIdIfAny();
    if (!FullTransactionIdIsValid(own)) return;
    const HeadCopy copy = read_head(head);
    if (std::any_of(copy.entries, copy.entries + copy.entry_count,
                    [&](const InFlight& entry) { return FullTransactionIdEquals(entry.xid, own); }))
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        std::string(function) + " cannot wait in a transaction that has appended",
                        "No event above its own first one is safe to read before it ends.",
                        "Commit first, or call without waiting.");
}

}  // namespace tidemark
