#include "stream.h"

#include "event_scan.h"
#include "guard.h"
#include "locks.h"
#include "snapshot_scope.h"
#include "validate.h"

extern "C" {
#include "access/stratnum.h"
}

namespace tidemark {

StreamTail find_tail(Relation events, Oid by_stream, std::string_view stream_id) {
    const ScanKeyData key = text_key(1, BTEqualStrategyNumber, stream_id);
    EventScan scan(events, by_stream, &key, 1, BackwardScanDirection);
    StreamTail tail = {0, 0, nullptr};
    if (scan.next()) {
        tail.version = DatumGetInt64(event_value(scan.row(), VERSION));
        tail.position = scan.position();
        tail.category = DatumGetTextPCopy(event_value(scan.row(), CATEGORY));
    }
    scan.end();
    return tail;
}

namespace {

std::string_view stream_argument(FunctionCallInfo fcinfo) {
    const std::string_view stream_id = view(text_argument(fcinfo, 0, "stream id"));
    check_name(stream_id, "stream id");
    return stream_id;
}

}  // namespace

// es_stream_version(stream_id) → version, 0 where the stream has no events
TIDEMARK_FUNCTION(tidemark_stream_version) {
    return pg_call([&] {
        const std::string_view stream_id = stream_argument(fcinfo);
        Relation events = table_open(log_tables(fcinfo).events, AccessShareLock);
        const StatementSnapshot snapshot(events);
        const StreamTail tail = find_tail(events, stream_id);
        snapshot.end();
        table_close(events, AccessShareLock);
        return Int64GetDatum(tail.version);
    });
}

// es_lock_stream(stream_id) → version
TIDEMARK_FUNCTION(tidemark_lock_stream) {
    return pg_call([&] {
        require_read_write("es_lock_stream()");
        const std::string_view stream_id = stream_argument(fcinfo);
        const LogTables& tables = log_tables(fcinfo);
        lock_stream(tables, {stream_id, ExclusiveLock});
        Relation events = table_open(tables.events, RowExclusiveLock);
        // The statement's snapshot may be older than the lock.
        const SnapshotScope snapshot;
        const StreamTail tail = find_tail(events, stream_id);
        snapshot.end();
        table_close(events, NoLock);
        return Int64GetDatum(tail.version);
    });
}

// es_read_streams(stream_ids) → setof es_events
TIDEMARK_FUNCTION(tidemark_read_streams) {
    return pg_call([&] {
        refuse_null(fcinfo, 0, "stream_ids", "Pass an array of stream ids.");
        const auto ids = text_array_argument(fcinfo, 0, "stream_ids");
        for (const std::string_view id : ids) check_name(id, "stream id");
        const bool* repeated = find_repetitions(ids);

        Relation events = table_open(log_tables(fcinfo).events, AccessShareLock);
        EventSink sink(fcinfo, events);
        const StatementSnapshot snapshot(events);
        for (size_t i = 0; i < ids.size(); i++) {
            if (repeated[i]) continue;
            const ScanKeyData key = text_key(1, BTEqualStrategyNumber, ids[i]);
            EventScan scan(events, event_indexes(events).by_stream, &key, 1);
            while (scan.next()) sink.put(scan.row());
            scan.end();
        }
        snapshot.end();
        table_close(events, NoLock);
        return Datum(0);
    });
}

// es_read_stream(stream_id, from_version, max_count, backward) → setof es_events
TIDEMARK_FUNCTION(tidemark_read_stream) {
    return pg_call([&] {
        const std::string_view stream_id = stream_argument(fcinfo);
        const bool backward = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
        const int64 from_version = PG_ARGISNULL(1) ? (backward ? PG_INT64_MAX : 1) : PG_GETARG_INT64(1);
        if (from_version < 0)
            throw bad_argument("from_version must not be negative", "It is " + std::to_string(from_version) + ".",
                               "Versions begin at 1; null reads from the beginning, or backward from the end.");
        int64 left = max_count_argument(fcinfo, 2);

        Relation events = table_open(log_tables(fcinfo).events, AccessShareLock);
        EventSink sink(fcinfo, events);
        const StatementSnapshot snapshot(events);
        const ScanKeyData keys[] = {
            text_key(1, BTEqualStrategyNumber, stream_id),
            bigint_key(2, backward ? BTLessEqualStrategyNumber : BTGreaterEqualStrategyNumber, from_version)};
        EventScan scan(events, event_indexes(events).by_stream, keys, 2,
                       backward ? BackwardScanDirection : ForwardScanDirection);
        for (; left > 0 && scan.next(); left--) sink.put(scan.row());
        scan.end();
        snapshot.end();
        table_close(events, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
