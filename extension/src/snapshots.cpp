// Snapshots: what a stream amounts to at a version, kept by whoever has worked it out.
#include "guard.h"
#include "locks.h"
#include "snapshot_scope.h"
#include "state_table.h"
#include "stream.h"

extern "C" {
#include "access/stratnum.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

namespace column {
enum Column : AttrNumber { STREAM_ID = 1, SCHEMA_VERSION, VERSION, STATE, SAVED_AT };
}

// What is to be kept.
struct State {
    std::string_view stream_id;
    int64 version;
    Datum content;
    int32 schema_version;
};

State state_argument(FunctionCallInfo fcinfo) {
    const std::string_view stream_id = view(text_argument(fcinfo, 0, "stream id"));
    check_name(stream_id, "stream id");
    const int64 version = bigint_argument(fcinfo, 1, "version");
    refuse_null(fcinfo, 2, "state", "Give any JSON value.");
    return {stream_id, version, PG_GETARG_DATUM(2), schema_version_argument(fcinfo, 3)};
}

void check_version(const State& state, int64 stream_version) {
    if (state.version < 1 || state.version > stream_version)
        throw bad_argument("the stream has no such version",
                           "It is " + std::to_string(state.version) + ", and stream " + quoted(state.stream_id) +
                               " is at version " + std::to_string(stream_version) + ".",
                           "Give the version of the last event that the state includes.");
}

// Whether the state is newer than what was there, and now stands there instead. The lock is held: others only delete.
bool replace(const StateTable& snapshots, const State& state) {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, state.stream_id),
                               integer_key(2, state.schema_version)};
    StateRow row;
    bool exists;
    do {
        const SnapshotScope snapshot;
        exists = snapshots.find(key, &row);
        snapshot.end();
        if (exists && row.bigint(column::VERSION) >= state.version) return false;
    } while (exists && !snapshots.lock(row));
    if (!exists) {
        row = snapshots.new_row();
        row.set_text(column::STREAM_ID, state.stream_id);
        row.set_integer(column::SCHEMA_VERSION, state.schema_version);
    }
    row.set_bigint(column::VERSION, state.version);
    row.set(column::STATE, state.content);
    row.set(column::SAVED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    if (exists)
        snapshots.update(&row);
    else
        snapshots.insert(row);
    return true;
}

}  // namespace

// es_save_snapshot(stream_id, version, state, schema_version) → whether it was kept
TIDEMARK_FUNCTION(tidemark_save_snapshot) {
    return pg_call([&] {
        require_read_write("es_save_snapshot()");
        const State state = state_argument(fcinfo);
        const LogTables& tables = log_tables(fcinfo);
        Relation events = table_open(tables.events, AccessShareLock);
        const StateTable snapshots(tables.snapshots, RowExclusiveLock);
        const SnapshotScope now;
        check_version(state, find_tail(events, state.stream_id).version);
        now.end();
        lock(lock_tag(LockKind::SNAPSHOT, lock_key(state.stream_id, static_cast<uint64>(state.schema_version))));
        const bool kept = replace(snapshots, state);
        snapshots.close();
        table_close(events, NoLock);
        return BoolGetDatum(kept);
    });
}

}  // namespace tidemark
