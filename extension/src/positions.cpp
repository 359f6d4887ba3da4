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

TIDEMARK_FUNCTION(tidemark_safe_position) {
    return pg_call([&] {
        Relation head = table_open(log_tables(fcinfo).head, AccessShareLock);
        const SafeRead read = begin_safe_read(head, "es_safe_position()");
        read.end();
        table_close(head, AccessShareLock);
        return Int64GetDatum(read.position);
    });
}

TIDEMARK_FUNCTION(tidemark_head_position) {
    return pg_call([&] {
        Relation head = table_open(log_tables(fcinfo).head, AccessShareLock);
        const HeadCopy copy = read_head(head);
        table_close(head, AccessShareLock);
        return Int64GetDatum(copy.last_position);
    });
}

// es_in_flight() → setof (xid, first_position): the entries whose transactions are in progress
TIDEMARK_FUNCTION(tidemark_in_flight) {
    return pg_call([&] {
        InitMaterializedSRF(fcinfo, 0);
        const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        Relation head = table_open(log_tables(fcinfo).head, AccessShareLock);
        const SafeRead read = begin_safe_read(head, "es_in_flight()");
        for (uint32 i = 0; i < read.head.entry_count; i++) {
            const InFlight& entry = read.head.entries[i];
            Datum values[] = {FullTransactionIdGetDatum(entry.xid), Int64GetDatum(entry.first_position)};
            bool nulls[] = {false, false};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        }
        read.end();
        table_close(head, AccessShareLock);
        return Datum(0);
    });
}

TIDEMARK_FUNCTION(tidemark_leap) {
    return pg_call([&] {
        require_read_write("es_leap()");
        const LogTables& tables = log_tables(fcinfo);
        Relation events = table_open(tables.events, RowExclusiveLock);
        Relation head = table_open(tables.head, RowExclusiveLock);
        const int64 last_position = leap(tables, head, events);
        table_close(head, RowExclusiveLock);
        table_close(events, NoLock);
        return Int64GetDatum(last_position);
    });
}

// Called by the install script: writes the first row of es_log_head, and the marker.
TIDEMARK_FUNCTION(tidemark_create_log) {
    return pg_call([&] {
        const LogTables& tables = log_tables(fcinfo);
        Relation head = table_open(tables.head, RowExclusiveLock);
        create_head(head);
        write_marker(tables);
        table_close(head, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
