// es_rebuild_projection: the log projected anew, beside the tables that are read meanwhile.
#include "locks.h"
#include "parking.h"
#include "projection.h"
#include "safe_position.h"
#include "shadow_tables.h"
#include "snapshot_scope.h"
#include "subtransaction.h"
#include "transaction_steps.h"
#include "waiting.h"

#include <algorithm>
#include <new>

extern "C" {
#include "access/stratnum.h"
#include "executor/spi.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr const char* FUNCTION = "es_rebuild_projection()";
// With fewer events than that to go, the rest is done with the projection or the appends locked out.
constexpr int64 FEW_EVENTS = 1000;
constexpr int64 PROGRESS_INTERVAL = 200 * 1000;  // microseconds

enum RebuildColumn : AttrNumber { PROJECTION = 1, PID, STARTED_AT, REACHED_AT, DONE, TOTAL };

struct Counter : EventVisitor {
    bool visit(TupleTableSlot*) override {
        count++;
        return true;
    }
    int64 count = 0;
};

// One transaction's view of the log and of the projection.
struct View {
    // `known`: the row of the projection as it was when the rebuild began; null at the beginning.
    View(const LogTables& log, const char* name, const StateRow* known)
        : events(table_open(log.events, AccessShareLock)),
          head(table_open(log.head, AccessShareLock)),
          tables(log, RowExclusiveLock),
          rebuilds(log.rebuilds, RowExclusiveLock),
          read(begin_safe_read(head, FUNCTION)),
          projection(find(tables, name, known)),
          filter(tables.subscriptions.subscription(name).filter) {}

    void close() const {
        read.end();
        rebuilds.close();
        tables.close();
        table_close(head, NoLock);
        table_close(events, NoLock);
    }

    static Projection find(const ProjectionTables& tables, const char* name, const StateRow* known) {
        const Projection found = tables.projection(name);
        if (known != nullptr &&
            !tables.projections.are_alike(found.row, *known, projection::NAME, projection::CREATED_AT))
            throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the projection was made anew meanwhile",
                            "It is named " + quoted(name) + ".", "Rebuild it again, if there is need to.");
        return found;
    }

    const Relation events, head;
    const ProjectionTables tables;
    const StateTable rebuilds;
    const SafeRead read;
    const Projection projection;
    const EventFilter filter;
};

// What another projection has written to a table is not in the copy.
void refuse_shared_tables(const View& view, const Projection& projection) {
    const auto own = text_array(projection.row.value(projection::TABLES).value, "tables");
    view.tables.projections.for_each({}, [&](const StateRow& row) {
        if (row.name(projection::NAME) == projection.name) return;
        for (const std::string_view table : text_array(row.value(projection::TABLES).value, "tables"))
            if (std::find(own.begin(), own.end(), table) != own.end())
                throw sql_error(
                    ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "another projection writes to a table of this one",
                    "It is " + quoted(row.name(projection::NAME)) + ", and the table " + std::string(table) + ".",
                    "Empty the tables and replay both, by es_reset_subscription() or by making them anew.");
    });
}

// What the handler appends it has appended before, and the log keeps all of it.
void refuse_appended(Relation events) {
    if (CheckRelationLockedByMe(events, RowExclusiveLock, false))
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the handler appends",
                        "A rebuild would append once more what was appended for these events.",
                        "Build another projection beside it, with a handler that does not.");
}

LOCKTAG rebuild_lock(std::string_view name) { return lock_tag(LockKind::REBUILD, lock_key(name)); }

class Rebuild {
  public:
    Rebuild(Oid schema, const char* name, int64 max_count)
        : schema(schema),
          name(name),
          max_count(max_count),
          memory(CurrentMemoryContext),
          steps(SPI_commit, SPI_rollback) {}

    void run();

  private:
    template <typename Body>
    void step(Body body);
    template <typename Body>
    void as_owner(Body body, RegistrantScope::Code code = RegistrantScope::Code::USERS) const;
    void begin(const View& view);
    void project(const View& view, int64 most, int64 upto);
    void finish(const View& view);
    void lock_out() const;
    void note_progress(const View& view);
    void forget_progress(const StateTable& rebuilds) const;
    void clean_up() const;
    const Oid schema;
    const char* const name;
    const int64 max_count;
    const MemoryContext memory;  // for as long as the rebuild takes
    const TransactionSteps steps;

    // Of the projection as it was when the rebuild began:
    const StateRow* row = nullptr;
    Oid owner = InvalidOid;
    bool is_sync = false;
    Handler handler = {};  // with the copies first in its search_path
    const char* search_path = nullptr;
    const ShadowTables* shadows = nullptr;  // null: they are not made yet

    int64 position = 0, done = 0;
    bool is_near = false;  // the end of the log
    TimestampTz noted_at = 0;
};

// A transaction of the rebuild. Where it fails the rebuild is over, and nothing is left of it.
template <typename Body>
void Rebuild::step(Body body) {
    steps.run([&] {
        const CaughtError* error = try_in_subtransaction(body);
        if (error != nullptr)
            pg_call([&] {
                clean_up();
                SPI_commit();
                raise(error);
            });
        return true;
    });
}

template <typename Body>
void Rebuild::as_owner(Body body, RegistrantScope::Code code) const {
    RegistrantScope scope;
    scope.begin(owner, search_path, code);
    body();
    scope.end();
}

void Rebuild::begin(const View& view) {
    const MemoryContext caller = MemoryContextSwitchTo(memory);
    const Projection projection = view.tables.projection(name);
    handler = projection.handler;
    row = new (palloc(sizeof(StateRow))) StateRow(projection.row);
    MemoryContextSwitchTo(caller);
    is_sync = projection.is_sync;
    owner = registrant(handler.owner, "a projection's handler");
    search_path = handler.search_path;
    handler.search_path = MemoryContextStrdup(memory, psprintf("pg_temp, %s", search_path));
    position = projection.row.bigint(projection::START_POSITION);

    const ShadowTables* made = nullptr;
    as_owner([&] {
        MemoryContextSwitchTo(memory);
        made = new (palloc(sizeof(ShadowTables))) ShadowTables(projection.row.value(projection::TABLES).value);
        MemoryContextSwitchTo(caller);
    });
    if (made->empty())
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the projection's tables are not known",
                        "Projection " + quoted(name) + " was created without tables.",
                        "Drop it and create it again with tables => those that the handler writes to, or with a new "
                        "handler and new tables beside it.");
    refuse_shared_tables(view, projection);
    as_owner([&] { made->create(); }, RegistrantScope::Code::OURS);

    Counter matching;
    ScanBudget budget;
    scan_log(view.events, view.filter, position, view.read.position, budget, matching);
    forget_progress(view.rebuilds);
    StateRow progress = view.rebuilds.new_row();
    noted_at = GetCurrentStatementStartTimestamp();
    progress.set_text(PROJECTION, name);
    progress.set_integer(PID, MyProcPid);
    progress.set_bigint(STARTED_AT, GetCurrentTimestamp());
    progress.set_bigint(REACHED_AT, GetCurrentTimestamp());
    progress.set_bigint(DONE, 0);
    progress.set_bigint(TOTAL, matching.count);
    view.rebuilds.insert(progress);
    shadows = made;
}

// Has the handler called for the next events, of which there may be so many, up to the position.
void Rebuild::project(const View& view, int64 most, int64 upto) {
    Handled handled;
    HandlerCalls calls(log_tables_in(schema), handler, view.events, handled, most);
    ScanBudget budget;
    position = scan_log(view.events, view.filter, position, upto, budget, calls);
    calls.finish();
    refuse_appended(view.events);
    shadows->check_untouched();
    done += handled.count;
    is_near = position >= upto && budget.visited < FEW_EVENTS;
}

void Rebuild::note_progress(const View& view) {
    const TimestampTz now = GetCurrentTimestamp();
    StateRow row;
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, name)};
    if (now - noted_at < PROGRESS_INTERVAL || !view.rebuilds.find(key, &row)) return;
    noted_at = now;
    row.set_bigint(REACHED_AT, now);
    row.set_bigint(DONE, done);
    view.rebuilds.update(&row);
}

void Rebuild::forget_progress(const StateTable& rebuilds) const {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, name)};
    rebuilds.for_each(key, [&](const StateRow& row) { rebuilds.remove(row); });
}

// Until the transaction ends nobody else projects an event, and a sync projection has no new ones.
void Rebuild::lock_out() const {
    lock(subscription_lock(name));
    if (is_sync)
        lock_out_appends(log_tables_in(schema));
    else
        lock(partition_lock(name, 0));
}

// The copies have it all: what was projected before goes, and the cursor is where they are.
void Rebuild::finish(const View& view) {
    refuse_shared_tables(view, view.projection);
    as_owner([&] {
        shadows->replace_rows();
        shadows->drop();
    });
    const SubscriptionTables& tables = view.tables.subscriptions;
    if (!is_sync) {
        Partition partition = tables.partition(name, 0);
        for (const ParkedStream& parked : parked_streams(tables, name)) tables.parked.remove(parked.row);
        partition.row.set_bigint(partition::CHECKPOINT, position);
        partition.note_empty(0, 0);
        partition.clear_failure();
        tables.partition_rows.update(&partition.row);
        wake_at_end(WaitGroup::progress(name));
    }
    // Which tells transactions of an older snapshot that the tables are others.
    StateRow rebuilt = view.projection.row;
    rebuilt.set(projection::REBUILT_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    view.tables.projections.update(&rebuilt);
    view.tables.announce_change();
    forget_progress(view.rebuilds);
}

void Rebuild::clean_up() const {
    if (shadows == nullptr) return;
    as_owner([&] { shadows->drop(); });
    const StateTable rebuilds(log_tables_in(schema).rebuilds, RowExclusiveLock);
    const SnapshotScope snapshot;
    forget_progress(rebuilds);
    snapshot.end();
    rebuilds.close();
}

void Rebuild::run() {
    if (!pg_call([&] { return try_lock_for_session(rebuild_lock(name)); }))
        throw sql_error(ERRCODE_OBJECT_IN_USE, "the projection is being rebuilt",
                        "Another session rebuilds " + quoted(name) + ".",
                        "Wait for it; es_projection_status shows how far it is.");
    const auto in_view = [&](auto body) {
        return [this, body] {
            check_constraints_at_once();
            const View view(log_tables_in(schema), name, row);
            body(view);
            view.close();
        };
    };
    try {
        step(in_view([&](const View& view) { begin(view); }));
        while (!is_near)
            step(in_view([&](const View& view) {
                project(view, max_count, view.read.position);
                note_progress(view);
            }));
        step([&] {
            lock_out();
            in_view([&](const View& view) {
                // With those who append locked out, nobody can commit an event below the last position.
                project(view, PG_INT64_MAX, is_sync ? view.read.head.last_position : view.read.position);
                finish(view);
            })();
        });
    } catch (...) {
        pg_call([&] { unlock_for_session(rebuild_lock(name)); });
        throw;
    }
    pg_call([&] { unlock_for_session(rebuild_lock(name)); });
}

}  // namespace

// es_is_rebuilding(name): whether another session is at it
TIDEMARK_FUNCTION(tidemark_is_rebuilding) {
    return pg_call([&] {
        const LOCKTAG tag = rebuild_lock(name_argument(fcinfo, 0, "projection name"));
        int count;
        pfree(GetLockConflicts(&tag, ShareLock, &count));
        return BoolGetDatum(count > 0);
    });
}

// es_rebuild_projection(name, max_count)
TIDEMARK_FUNCTION(tidemark_rebuild_projection) {
    struct Arguments {
        Oid schema;
        const char* name;
        int64 max_count;
    };
    const Arguments arguments = pg_call([&] {
        require_read_write(FUNCTION);
        const std::string_view name = name_argument(fcinfo, 0, "projection name");
        const int64 max_count = max_count_argument(fcinfo, 1);
        if (max_count == 0)
            throw bad_argument("max_count must not be 0", "No event could be projected.", "Give 1 or more.");
        const Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
        const char* lasting_name = pnstrdup(name.data(), name.size());
        begin_procedure(fcinfo, FUNCTION);
        return Arguments{schema, lasting_name, max_count};
    });
    Rebuild(arguments.schema, arguments.name, arguments.max_count).run();
    return pg_call([] {
        SPI_finish();
        return Datum(0);
    });
}

}  // namespace tidemark
