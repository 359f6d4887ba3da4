#include "projection_runner.h"

#include "projection_batch.h"
#include "safe_position.h"
#include "snapshot_scope.h"
#include "transaction_steps.h"
#include "waiting.h"

#include <algorithm>
#include <map>
#include <vector>

extern "C" {
#include "executor/spi.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

// How long a runner goes without looking after what no commit tells it of: pauses that are over, projections that were
// mended, reset or made.
constexpr int64 LOOK_AROUND = 1000;  // milliseconds
constexpr const char* FUNCTION = "es_run_projection()";

// None of them too early.
int64 milliseconds_until(TimestampTz time) { return std::max<int64>((time - GetCurrentTimestamp() + 999) / 1000, 0); }

class Runner {
  public:
    Runner(Oid schema, const RunRequest& request, void (*commit)(), void (*rollback)())
        : schema(schema), request(request), steps(commit, rollback) {}

    void run();

  private:
    std::vector<std::string> names();
    int64 await(int64 above, int64 milliseconds);
    Progress project(const BatchRequest& batch, Caution& caution);
    void throw_failure(const std::string& name);

    const Oid schema;
    const RunRequest& request;
    const TransactionSteps steps;
};

// Those that there are to run at this moment.
std::vector<std::string> Runner::names() {
    if (request.projection != nullptr) return {request.projection};
    struct Name {
        const char* text;
        Name* next;
    };
    std::vector<std::string> result;
    steps.run([&] {
        Name* last = nullptr;
        pg_call([&] {
            const ProjectionTables tables(log_tables_in(schema), AccessShareLock);
            const SnapshotScope snapshot;
            tables.projections.for_each({}, [&](const StateRow& row) {
                const Projection projection(row);
                if (!projection.is_sync) last = new (palloc(sizeof(Name))) Name{projection.handler.projection, last};
            });
            snapshot.end();
            tables.close();
        });
        for (; last != nullptr; last = last->next) result.emplace_back(last->text);
        return true;
    });
    std::reverse(result.begin(), result.end());
    return result;
}

// Where the line is; waits for it to move, or the time to be over.
int64 Runner::await(int64 above, int64 milliseconds) {
    return steps.run(
        [&] { return pg_call([&] { return await_line(log_tables_in(schema).head, above, milliseconds, FUNCTION); }); });
}

// One projection's trouble, as where its transaction cannot be committed, does not keep the runner from the others.
Progress Runner::project(const BatchRequest& batch, Caution& caution) {
    const MemoryContext memory = CurrentMemoryContext;
    const CaughtError* error;
    try {
        return steps.run([&] { return project_batch(log_tables_in(schema), batch, caution); });
    } catch (...) {
        if (request.projection != nullptr) throw;
        error = caught_error(memory);
    }
    if (is_cancel(*error)) pg_call([&] { raise(error); });
    steps.undo();
    pg_call([&] {
        ereport(WARNING, (errmsg("projection \"%s\" could not be run", batch.projection),
                          errdetail_internal("%s (%s)", error->message, unpack_sql_state(error->sqlstate))));
    });
    return Progress::NONE;
}

void Runner::throw_failure(const std::string& name) {
    pg_call([&] {
        const ProjectionTables tables(log_tables_in(schema), AccessShareLock);
        const SnapshotScope snapshot;
        const Partition partition = tables.subscriptions.partition(name, 0);
        snapshot.end();
        tables.close();
        throw sql_error(SUBSCRIPTION_FAILED, "the projection has failed",
                        "At position " + std::to_string(partition.row.bigint(partition::FAILED_POSITION)) + ": " +
                            std::string(partition.row.name(partition::FAILURE)),
                        "Mend the handler and run the projection again, or leave the event out with "
                        "es_reset_subscription().");
    });
}

void Runner::run() {
    const TimestampTz end = request.duration == PG_INT64_MAX
                                ? PG_INT64_MAX
                                : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), request.duration);
    const bool follows = request.duration > 0;
    std::map<std::string, Caution> cautions;
    bool resumes = request.projection != nullptr, over = false;
    int64 line = await(-1, 0);
    const int64 target = follows ? PG_INT64_MAX : line;
    while (!over) {
        bool progressed = false;
        TimestampTz look_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_AROUND);
        for (const std::string& name : names()) {
            const BatchRequest batch = {name.c_str(), request.max_count, target,
                                        request.projection != nullptr && !follows, resumes};
            const Progress progress = project(batch, cautions[name]);
            progressed = progressed || progress == Progress::SOME;
            if (progress == Progress::PUT_OFF) look_at = std::min(look_at, cautions[name].retry_at);
            if (progress == Progress::FAILED && request.projection != nullptr) throw_failure(name);
            if (progress == Progress::GONE && request.projection != nullptr) over = true;
        }
        resumes = false;
        const int64 left = milliseconds_until(end);
        over = over || (left == 0 && (!progressed || follows));
        if (!over && !progressed) line = await(line, std::min(left, milliseconds_until(look_at)));
    }
}

}  // namespace

void run_projections(Oid schema, const RunRequest& request, void (*commit)(), void (*rollback)()) {
    Runner(schema, request, commit, rollback).run();
}

// es_run_projection(name, max_count, duration)
TIDEMARK_FUNCTION(tidemark_run_projection) {
    RunRequest request = {};
    const Oid schema = pg_call([&] {
        require_read_write(FUNCTION);
        if (!PG_ARGISNULL(0)) {
            check_name(view(PG_GETARG_TEXT_PP(0)), "projection name");
            request.projection = text_to_cstring(PG_GETARG_TEXT_PP(0));
        }
        request.max_count = max_count_argument(fcinfo, 1);
        if (request.max_count == 0)
            throw bad_argument("max_count must not be 0", "No event could be projected.", "Give 1 or more.");
        constexpr int64 YEAR = int64(366) * 24 * 60 * 60 * 1000;
        request.duration = PG_ARGISNULL(2) ? PG_INT64_MAX : milliseconds_argument(fcinfo, 2, "duration", 0, YEAR);
        if (request.projection != nullptr) {
            const ProjectionTables tables(log_tables(fcinfo), AccessShareLock);
            const SnapshotScope snapshot;
            if (tables.projection(request.projection).is_sync)
                throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the projection is not async",
                                "Projection " + quoted(request.projection) + " is a part of each append.",
                                "There is nothing to run. CALL es_rebuild_projection() to project the log anew.");
            snapshot.end();
            tables.close();
        }
        const Oid own_schema = get_func_namespace(fcinfo->flinfo->fn_oid);
        begin_procedure(fcinfo, FUNCTION);
        return own_schema;
    });
    run_projections(schema, request, SPI_commit, SPI_rollback);
    return pg_call([] {
        SPI_finish();
        return Datum(0);
    });
}

}  // namespace tidemark
