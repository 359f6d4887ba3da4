#include "history.h"

#include "guard.h"
#include "locks.h"
#include "log_head.h"
#include "snapshot_scope.h"

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

bool history_continues(const LogTables& tables, TimeLineID timeline_on_head) {
    return timeline_on_head == GetWALInsertionTimeLine() && count_rows(tables.marker, 1) == 1;
}

// Frozen from the start, so that it stands at once and for good, whatever becomes of this transaction.
void write_marker(const LogTables& tables) {
    if (count_rows(tables.marker, 1) == 1) return;
    Relation marker = table_open(tables.marker, RowExclusiveLock);
    Datum values[] = {TimestampTzGetDatum(GetCurrentTimestamp())};
    bool nulls[] = {false};
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(marker), values, nulls);
    heap_insert(marker, tuple, GetCurrentCommandId(true), HEAP_INSERT_FROZEN, nullptr);
    heap_freetuple(tuple);
    table_close(marker, NoLock);
}

int64 positions_by_clock() {
    constexpr int64 SECONDS_2000_TO_2020 = int64(7305) * SECS_PER_DAY;
    return (GetCurrentTimestamp() / USECS_PER_SEC - SECONDS_2000_TO_2020) * POSITIONS_PER_SECOND;
}

// A log that nobody can have read anything of yet: it begins at position 1.
bool is_new(const LogTables& tables, const HeadCopy& copy, int64 highest) {
    return !has_started(copy.timeline) && copy.last_position == 0 && highest == 0 &&
           count_rows(tables.installations, 2) == 1;
}

int64 go_on(const LogTables& tables, Relation head, Relation events, bool leap_anyway) {
    const SnapshotScope snapshot;
    const HeadCopy copy = read_head(head);
    const int64 highest = highest_event(events, GetActiveSnapshot());
    int64 target = copy.last_position;
    if (leap_anyway || !is_new(tables, copy, highest))
        target = std::max({copy.last_position + SMALLEST_LEAP, highest, positions_by_clock()});
    const int64 last_position = raise_head(head, target, GetWALInsertionTimeLine());
    write_marker(tables);
    snapshot.end();
    return last_position;
}

}  // namespace

int64 highest_event(Relation events, Snapshot snapshot) {
    Relation index = index_open(event_indexes(events).by_position, AccessShareLock);
    TupleTableSlot* slot = table_slot_create(events, nullptr);
    IndexScanDesc scan = compat::index_begin(events, index, snapshot, 0);
    index_rescan(scan, nullptr, 0, nullptr, 0);
    const int64 highest =
        index_getnext_slot(scan, BackwardScanDirection, slot) ? DatumGetInt64(event_value(slot, POSITION)) : 0;
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    index_close(index, AccessShareLock);
    return highest;
}

void ensure_history(const LogTables& tables, Relation head, Relation events) {
    // A session ends with the server, and cannot append before a promotion: once checked, the history goes on.
    static Oid checked = InvalidOid;
    if (checked == tables.head) return;

    const SnapshotScope snapshot;
    const bool continues = history_continues(tables, read_head(head).timeline);
    snapshot.end();
    if (!continues) {
        const MaintenanceLock lock;
        const SnapshotScope latest;
        const bool restarted_meanwhile = history_continues(tables, read_head(head).timeline);
        latest.end();
        if (!restarted_meanwhile) go_on(tables, head, events, false);
        lock.release();
    }
    checked = tables.head;
}

int64 leap(const LogTables& tables, Relation head, Relation events) {
    const MaintenanceLock lock;
    const int64 last_position = go_on(tables, head, events, true);
    lock.release();
    return last_position;
}

}  // namespace tidemark
