// What es_verify() asks the library: what an index says, and which indexes there are.
#include "event_scan.h"
#include "guard.h"
#include "stream.h"

namespace tidemark {

// es_indexed_version(stream_id) → version at which the index on (stream_id, version) ends the stream, 0 where it has
// none of it; null where there is no such index. Of any stream, also one whose id no append would take.
TIDEMARK_FUNCTION(tidemark_indexed_version) {
    return pg_call([&] {
        const std::string_view stream_id = view(PG_GETARG_TEXT_PP(0));
        Relation events = table_open(log_tables(fcinfo).events, AccessShareLock);
        const Oid index = present_indexes(events).by_stream;
        const StreamTail tail =
            OidIsValid(index) ? find_tail(events, index, stream_id, GetActiveSnapshot()) : StreamTail{};
        table_close(events, AccessShareLock);
        fcinfo->isnull = !OidIsValid(index);
        return Int64GetDatum(tail.version);
    });
}

// es_missing_indexes() → setof (columns, is_unique)
TIDEMARK_FUNCTION(tidemark_missing_indexes) {
    return pg_call([&] {
        InitMaterializedSRF(fcinfo, 0);
        const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        Relation events = table_open(log_tables(fcinfo).events, AccessShareLock);
        const EventIndexes present = present_indexes(events);
        table_close(events, AccessShareLock);
        const auto expect = [&](Oid index, const char* columns, bool is_unique) {
            if (OidIsValid(index)) return;
            Datum values[] = {CStringGetTextDatum(columns), BoolGetDatum(is_unique)};
            bool nulls[] = {false, false};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        };
        expect(present.by_position, "position", true);
        expect(present.by_stream, "stream_id, version", true);
        expect(present.by_event_id, "event_id", true);
        expect(present.by_category, "category, position", false);
        return Datum(0);
    });
}

}  // namespace tidemark
