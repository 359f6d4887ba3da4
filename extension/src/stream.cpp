#include "stream.h"

#include "event_scan.h"
#include "guard.h"
#include "locks.h"
#include "snapshot_scope.h"
#include "validate.h"

#include <algorithm>

extern "C" {
#include "access/stratnum.h"
}

namespace tidemark {

namespace {

// The highest version that a scan has come across, and what a scan's key compares versions with.
struct HighestVersion {
    int64 version = 0;

    // Stands in for int8ge(version, highest).
    static Datum is_not_below(FunctionCallInfo fcinfo) {
        auto* highest = static_cast<HighestVersion*>(fcinfo->flinfo->fn_extra);
        const int64 version = PG_GETARG_INT64(0);
        highest->version = std::max(highest->version, version);
        return BoolGetDatum(version == highest->version);
    }
};

StreamTail read_tail(Relation events, Oid by_stream, std::span<const ScanKeyData> keys, Snapshot snapshot,
                     LOCKMODE index_lock) {
    EventScan scan(events, by_stream, keys.data(), static_cast<int>(keys.size()), BackwardScanDirection, snapshot,
                   index_lock);
    StreamTail tail = {0, 0, nullptr};
    if (scan.next()) {
        tail.version = DatumGetInt64(event_value(scan.row(), VERSION));
        tail.position = scan.position();
        tail.category = DatumGetTextPCopy(event_value(scan.row(), CATEGORY));
    }
    scan.end();
    return tail;
}

}  // namespace

// A scan of a b-tree takes all entries that match from a page, here up to some 200 versions of the stream, before it
// returns the first. So a second key asks for versions that are not below the highest so far: the scan, on its way
// down, stops at the second entry, but for where the server tests a page by its lowest entry first. It never leaves
// out the highest; where the snapshot does not show that, as of an append that was rolled back, the tail is further
// down.
StreamTail find_tail(Relation events, Oid by_stream, std::string_view stream_id, Snapshot snapshot,
                     LOCKMODE index_lock) {
    HighestVersion highest;
    ScanKeyData keys[] = {text_key(1, BTEqualStrategyNumber, stream_id),
                          bigint_key(2, BTGreaterEqualStrategyNumber, 0)};
    keys[1].sk_func.fn_addr = HighestVersion::is_not_below;
    keys[1].sk_func.fn_extra = &highest;
    const StreamTail tail = read_tail(events, by_stream, keys, snapshot, index_lock);
    return tail.version == highest.version ? tail : read_tail(events, by_stream, {keys, 1}, snapshot, index_lock);
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
        const StreamTail tail = find_tail(events, stream_id, GetActiveSnapshot());
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
        const LockedStreamsScope snapshot;
        const StreamTail tail = find_tail(events, stream_id, snapshot.get());
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
