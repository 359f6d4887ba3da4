// The functions that show where the line is and who holds it, and es_leap.
#include "event_scan.h"
#include "guard.h"
#include "history.h"
#include "safe_position.h"
#include "validate.h"

extern "C" {
#include "utils/xid8.h"
}

namespace tidemark {

namespace {

// Draws the line and hands it to `use`, with the active snapshot still in place.
template <typename Use>
auto with_safe_read(FunctionCallInfo fcinfo, Use use) {
    const LogTables& tables = log_tables(fcinfo);
    Relation events = table_open(tables.events, AccessShareLock);
    Relation head = table_open(tables.head, AccessShareLock);
    const SafeRead read = begin_safe_read(head, events);
    const auto result = use(read);
    read.end();
    table_close(head, AccessShareLock);
    table_close(events, AccessShareLock);
    return result;
}

}  // namespace

TIDEMARK_FUNCTION(tidemark_safe_position) {
    return pg_call(
        [&] { return with_safe_read(fcinfo, [](const SafeRead& read) { return Int64GetDatum(read.position); }); });
}

TIDEMARK_FUNCTION(tidemark_head_position) {
    return pg_call(
        [&] { return with_safe_read(fcinfo, [](const SafeRead& read) { return Int64GetDatum(read.last_position); }); });
}

// es_in_flight() → setof (xid, first_position): the entries whose transactions are in progress
TIDEMARK_FUNCTION(tidemark_in_flight) {
    return pg_call([&] {
        InitMaterializedSRF(fcinfo, 0);
        const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        return with_safe_read(fcinfo, [&](const SafeRead& read) {
            for (uint32 i = 0; i < read.head.entry_count; i++) {
                const InFlight& entry = read.head.entries[i];
                const Datum values[] = {FullTransactionIdGetDatum(entry.xid), Int64GetDatum(entry.first_position)};
                const bool nulls[] = {false, false};
                tuplestore_putvalues(result->setResult, result->setDesc, const_cast<Datum*>(values),
                                     const_cast<bool*>(nulls));
            }
            return Datum(0);
        });
    });
}

TIDEMARK_FUNCTION(tidemark_leap) {
    return pg_call([&] {
        require_read_write("es_leap()");
        const LogTables& tables = log_tables(fcinfo);
        Relation events = table_open(tables.events, RowExclusiveLock);
        Relation head = table_open(tables.head, RowExclusiveLock);
        // The WAL record of the change wants a transaction id, as an allocation's does.
        GetCurrentTransactionId();
        const int64 last_position = leap(tables, head, events);
        table_close(head, NoLock);
        table_close(events, NoLock);
        return Int64GetDatum(last_position);
    });
}

// Called by the install script: writes the first row of es_log_head.
TIDEMARK_FUNCTION(tidemark_create_log_head) {
    return pg_call([&] {
        Relation head = table_open(log_tables(fcinfo).head, RowExclusiveLock);
        create_head(head);
        table_close(head, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
