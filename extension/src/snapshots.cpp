// Snapshots: what a stream amounts to at a version, kept by whoever has worked it out.
#include "guard.h"
#include "snapshot_scope.h"
#include "state_table.h"
#include "stream.h"
#include "subtransaction.h"

#include <new>

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

// What one call works on.
struct Save {
    Save(FunctionCallInfo fcinfo, const LogTables& tables)
        : state(state_argument(fcinfo)),
          events(table_open(tables.events, AccessShareLock)),
          snapshots(tables.snapshots, RowExclusiveLock) {}

    void close() const {
        snapshots.close();
        table_close(events, NoLock);
    }
    void fill(StateRow& row) const {
        row.set_bigint(column::VERSION, state.version);
        row.set(column::STATE, state.content);
        row.set(column::SAVED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    }

    const State state;
    const Relation events;
    const StateTable snapshots;
};

enum class Known { NONE, OLDER, NEWER };

// Replaces a snapshot that is older. Waits for others who are at it.
Known replace(const Save& save) {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, save.state.stream_id),
                               integer_key(2, save.state.schema_version)};
    StateRow row;
    bool exists;
    do {
        const SnapshotScope snapshot;
        exists = save.snapshots.find(key, &row);
        snapshot.end();
        if (exists && row.bigint(column::VERSION) >= save.state.version) return Known::NEWER;
    } while (exists && !save.snapshots.lock(row));
    if (!exists) return Known::NONE;
    save.fill(row);
    save.snapshots.update(&row);
    return Known::OLDER;
}

void insert(const Save& save) {
    StateRow row = save.snapshots.new_row();
    row.set_text(column::STREAM_ID, save.state.stream_id);
    row.set_integer(column::SCHEMA_VERSION, save.state.schema_version);
    save.fill(row);
    save.snapshots.insert(row);
}

}  // namespace

// es_save_snapshot(stream_id, version, state, schema_version) → whether it was kept
TIDEMARK_FUNCTION(tidemark_save_snapshot) {
    const Save* save = pg_call([&] {
        require_read_write("es_save_snapshot()");
        const auto* result = new (palloc(sizeof(Save))) Save(fcinfo, log_tables(fcinfo));
        const SnapshotScope now;
        check_version(result->state, find_tail(result->events, result->state.stream_id, now.get()).version);
        now.end();
        return result;
    });
    Known known = pg_call([&] { return replace(*save); });
    // Somebody else may insert the first one at the same time.
    constexpr int MOST_ATTEMPTS = 10;
    for (int attempt = 1; known == Known::NONE; attempt++) {
        const CaughtError* error = try_in_subtransaction([&] { insert(*save); });
        if (error == nullptr) break;
        if (error->sqlstate != ERRCODE_UNIQUE_VIOLATION || attempt == MOST_ATTEMPTS) pg_call([&] { raise(error); });
        known = pg_call([&] { return replace(*save); });
    }
    return pg_call([&] {
        save->close();
        return BoolGetDatum(known != Known::NEWER);
    });
}

}  // namespace tidemark
