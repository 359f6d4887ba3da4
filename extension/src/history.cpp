#include "history.h"

#include "event_scan.h"
#include "guard.h"
#include "locks.h"
#include "log_head.h"
#include "snapshot_scope.h"
#include "subscription.h"

#include <algorithm>

extern "C" {
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr int64 SMALLEST_LEAP = int64(1) << 20;
constexpr int64 POSITIONS_PER_SECOND = int64(1) << 20;  // no log outruns this on average

// Counts a small table's rows, no further than limit.
int count_rows(Oid oid, int limit) {
    Relation table = table_open(oid, AccessShareLock);
    TupleTableSlot* slot = table_slot_create(table, nullptr);
    TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, nullptr);
    int rows = 0;
    while (rows < limit && table_scan_getnextslot(scan, ForwardScanDirection, slot)) rows++;
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    table_close(table, AccessShareLock);
    return rows;
}

// Were the marker's table not unlogged, it would outlive a crash and mark nothing.
bool has_marker(const LogTables& tables) {
    return get_rel_persistence(tables.marker) == RELPERSISTENCE_UNLOGGED && count_rows(tables.marker, 1) == 1;
}

bool is_unbroken(const LogTables& tables, const HeadCopy& copy) {
    return copy.timeline == GetWALInsertionTimeLine() && has_marker(tables);
}

// Rises with every microsecond, so that of two copies of one log the one that leaps later leaps beyond what the other
// has handed out meanwhile.
int64 positions_by_clock() {
    constexpr int64 MICROSECONDS_2000_TO_2020 = int64(7305) * USECS_PER_DAY;
    const int64 time = GetCurrentTimestamp() - MICROSECONDS_2000_TO_2020;
    return time / USECS_PER_SEC * POSITIONS_PER_SECOND + time % USECS_PER_SEC * POSITIONS_PER_SECOND / USECS_PER_SEC;
}

// A log that nobody can have read anything of yet: it begins at position 1.
bool is_untouched(const LogTables& tables, const HeadCopy& copy) {
    return copy.is_new && copy.last_position == 0 && is_unbroken(tables, copy) &&
           count_rows(tables.installations, 2) == 1;
}

// The highest checkpoint of a subscription: its readers may have seen what lies below it, in a log that is lost.
int64 highest_checkpoint(const LogTables& tables) {
    Relation table = table_open(tables.partitions, AccessShareLock);
    TupleTableSlot* slot = table_slot_create(table, nullptr);
    TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, nullptr);
    int64 highest = 0;
    while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
        bool is_null;
        highest = std::max(highest, DatumGetInt64(slot_getattr(slot, partition::CHECKPOINT, &is_null)));
    }
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    table_close(table, AccessShareLock);
    return highest;
}

// The caller holds the maintenance lock: a restore that was in progress is over.
int64 go_on(const LogTables& tables, Relation head, Relation events, bool leap_anyway) {
    // The WAL record of the change wants a transaction id, as an allocation's does.
    GetCurrentTransactionId();
    const SnapshotScope snapshot;
    const HeadCopy copy = read_head(head);
    int64 target = 0;
    if (leap_anyway || !is_untouched(tables, copy))
        target =
            std::max({std::max({copy.last_position, highest_event(events), highest_checkpoint(tables)}) + SMALLEST_LEAP,
                      positions_by_clock()});
    const int64 last_position = start_head(head, target);
    write_marker(tables);
    snapshot.end();
    return last_position;
}

bool goes_on(const LogTables& tables, Relation head) {
    const SnapshotScope snapshot;
    const HeadCopy copy = read_head(head);
    const bool result = !copy.is_new && is_unbroken(tables, copy);
    snapshot.end();
    return result;
}

}  // namespace

// Frozen from the start, so that it stands at once and for good, whatever becomes of this transaction.
void write_marker(const LogTables& tables) {
    const SnapshotScope snapshot;
    if (count_rows(tables.marker, 1) == 0) {
        Relation marker = table_open(tables.marker, RowExclusiveLock);
        Datum values[] = {TimestampTzGetDatum(GetCurrentTimestamp())};
        bool nulls[] = {false};
        HeapTuple tuple = heap_form_tuple(RelationGetDescr(marker), values, nulls);
        heap_insert(marker, tuple, GetCurrentCommandId(true), HEAP_INSERT_FROZEN, nullptr);
        heap_freetuple(tuple);
        table_close(marker, NoLock);
    }
    snapshot.end();
}

int64 highest_event(Relation events) {
    EventScan scan(events, event_indexes(events).by_position, nullptr, 0, BackwardScanDirection);
    const int64 highest = scan.next() ? scan.position() : 0;
    scan.end();
    return highest;
}

void ensure_history(const LogTables& tables, Relation head, Relation events) {
    // A session ends with the server, and cannot append before a promotion: once checked, the history goes on.
    static Oid checked = InvalidOid;
    if (checked == tables.head) return;
    if (!goes_on(tables, head)) {
        const MaintenanceLock lock;
        if (!goes_on(tables, head)) go_on(tables, head, events, false);
        lock.release();
    }
    checked = tables.head;
}

int64 leap(const LogTables& tables, Relation head, Relation events) {
    const MaintenanceLock lock;
    if (RelationGetNumberOfBlocks(head) == 0) create_head(head);
    const int64 last_position = go_on(tables, head, events, true);
    lock.release();
    return last_position;
}

}  // namespace tidemark
