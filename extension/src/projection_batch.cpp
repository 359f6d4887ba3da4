// One session at a time works on a projection: it holds the lock on the partition until its transaction ends. There is
// no lease that could expire, and nobody to come back from the dead: who holds the lock lives, and who has it no more
// has committed or is undone.
#include "projection_batch.h"

#include "fencing.h"
#include "locks.h"
#include "safe_position.h"
#include "subtransaction.h"
#include "undelivered.h"
#include "waiting.h"

#include <algorithm>

extern "C" {
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr int64 LONGEST_RETRY_DELAY = int64(5) * 60 * 1000;  // milliseconds
constexpr int MOST_CONFLICTS = 10;
// How many rows a batch looks at, and how many it must have looked at for its checkpoint to move without an event.
constexpr int64 ROWS_A_BATCH = 500000;
constexpr int64 ROWS_WORTH_NOTING = 1000;

// What the batch works on, open and locked.
struct Work {
    Work(const LogTables& log, const BatchRequest& request)
        : log(log),
          events(table_open(log.events, AccessShareLock)),
          head(table_open(log.head, AccessShareLock)),
          tables(log, RowExclusiveLock),
          read(begin_safe_read(head, "es_run_projection()")),
          projection(tables.projection(request.projection)),
          subscription(tables.subscriptions.subscription(request.projection)),
          partition(tables.subscriptions.partition(request.projection, 0)),
          parked(parked_streams(tables.subscriptions, request.projection)) {}

    void close() const {
        read.end();
        tables.close();
        table_close(head, NoLock);
        table_close(events, NoLock);
    }

    const LogTables& log;
    const Relation events, head;
    const ProjectionTables tables;
    const SafeRead read;
    const Projection projection;
    const Subscription subscription;
    Partition partition;
    const std::span<ParkedStream> parked;

    // What was done:
    Handled handled;
    int64 reached = 0, visited = 0;
    bool redelivered = false;
    bool ended = false;  // the handler was called for all of them
};

// Shows the handler's calls what is not done, or held behind a parked event.
class NewEvents : public EventVisitor {
  public:
    NewEvents(const Undelivered& undelivered, HandlerCalls& calls) : undelivered(undelivered), calls(calls) {}
    bool visit(TupleTableSlot* event) override {
        return undelivered.partition_of_event(event) < 0 || calls.visit(event);
    }

  private:
    const Undelivered& undelivered;
    HandlerCalls& calls;
};

// Has the handler called: for an event that was parked and released, if there is one, or for those that come next.
void handle(Work& work, int64 most, int64 upto) {
    for (const ParkedStream& stream : work.parked) {
        if (!stream.is_released()) continue;
        HandlerCalls calls(work.log, work.projection.handler, work.events, work.handled, 1);
        scan_released(work.events, work.subscription, work.partition, stream, calls);
        calls.finish();
        work.redelivered = work.handled.count > 0;
        if (work.redelivered) return check_constraints_at_once();
    }
    HandlerCalls calls(work.log, work.projection.handler, work.events, work.handled, most);
    const Undelivered undelivered({&work.partition, 1}, work.parked, [](const Partition&) { return true; });
    NewEvents events(undelivered, calls);
    ScanBudget budget = {ROWS_A_BATCH};
    work.reached = scan_log(work.events, work.subscription.filter, undelivered.start(),
                            std::min(upto, work.read.position), budget, events);
    work.visited = budget.visited;
    calls.finish();
    work.ended = true;
    // Which the handler may have put off.
    if (work.handled.count > 0) check_constraints_at_once();
}

void store(Work& work) {
    work.tables.subscriptions.partition_rows.update(&work.partition.row);
    wake_at_end(WaitGroup::progress(work.subscription.name));
}

void acknowledge(Work& work) {
    if (work.redelivered)
        acknowledge_redelivered(work.tables.subscriptions, work.events, work.subscription, work.partition,
                                work.handled.position);
    else
        work.partition.advance(work.reached);
    work.partition.row.set(partition::ACKED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    work.partition.clear_failure();
    store(work);
}

// Which of the events is at fault is known if there was but one, or if the first of those called one by one has failed.
bool is_attributed(const Work& work) { return work.handled.count == 1; }

void be_careful(const Work& work, Caution& caution) {
    const int64 count = work.handled.count;
    const bool is_the_last = !work.projection.handler.takes_batch && !work.ended;
    caution.suspects = count;
    caution.at_once = is_the_last ? count - 1 : (count + 1) / 2;
}

void be_less_careful(const Work& work, Caution& caution) {
    caution.conflicts = 0;
    caution.suspects = std::max<int64>(caution.suspects - work.handled.count, 0);
    caution.at_once = (caution.suspects + 1) / 2;
}

// Of the server as it is at this moment: every other event would meet it too.
bool is_of_the_server(const CaughtError& error) {
    const int category = ERRCODE_TO_CATEGORY(error.sqlstate);
    return category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
           category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
           error.sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION || error.sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
}

TimestampTz end_of_pause(const Work& work, int32 attempts) {
    const int64 first = work.projection.row.bigint(projection::RETRY_MILLISECONDS);
    const int64 pause = std::min(first << std::min(attempts - 1, 20), LONGEST_RETRY_DELAY);
    return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause);
}

// The event at which the handler has failed is noted, tried again later, or parked.
Progress settle_failure(Work& work, const CaughtError& error, Caution& caution) {
    const StateRow& registered = work.projection.row;
    const std::string_view on_error = registered.name(projection::ON_ERROR);
    const int64 position = work.handled.position;
    text* reason = to_keep(psprintf("%s (%s)%s%s", error.message, unpack_sql_state(error.sqlstate),
                                    error.detail ? ": " : "", error.detail ? error.detail : ""));
    const int32 attempts = work.partition.attempts_at(position) + 1;
    Progress progress = Progress::FAILED;
    if (on_error == "retry" || attempts <= registered.integer(projection::RETRIES) || is_of_the_server(error)) {
        caution.retry_at = end_of_pause(work, attempts);
        work.partition.note_failure(position, reason, caution.retry_at);
        progress = Progress::PUT_OFF;
    } else if (on_error == "park" && work.handled.begun) {
        // Where the handler cannot even be called it is no event's fault.
        park(work.tables.subscriptions, work.events, work.subscription, work.partition, position,
             {PointerGetDatum(reason), false});
        work.partition.clear_failure();
        progress = Progress::SOME;
    } else {
        work.partition.note_failure(position, reason, 0);
    }
    store(work);
    ereport(WARNING, (errmsg("projection \"%s\" could not handle the event at position " INT64_FORMAT,
                             work.projection.handler.projection, position),
                      errdetail_internal("%s", text_to_cstring(reason))));
    return progress;
}

// Locks the projection, and whether there is anything to be done with it.
Progress begin(const LogTables& log, const BatchRequest& request, Caution& caution) {
    const LOCKTAG tag = partition_lock(request.projection, 0);
    if (request.waits)
        lock(tag);
    else if (!try_lock(tag))
        return Progress::BUSY;
    check_constraints_at_once();
    const ProjectionTables tables(log, RowExclusiveLock);
    PushActiveSnapshot(GetLatestSnapshot());
    Progress progress = Progress::SOME;
    StateRow row, cursor;
    if (!tables.find(request.projection, &row) ||
        !tables.subscriptions.find_partition(request.projection, 0, &cursor)) {
        progress = Progress::GONE;
    } else if (!request.resumes) {
        const Partition partition(cursor);
        caution.retry_at = partition.row.bigint(partition::RETRY_AT);
        if (partition.has_failed_for_good())
            progress = Progress::FAILED;
        else if (partition.is_put_off(GetCurrentTimestamp()))
            progress = Progress::PUT_OFF;
    }
    PopActiveSnapshot();
    tables.close();
    return progress;
}

// The projection whose handler is being called.
const char* projecting = nullptr;

bool is_conflict(const CaughtError& error) {
    return ERRCODE_TO_CATEGORY(error.sqlstate) == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK);
}

}  // namespace

bool is_projecting(std::string_view name) { return projecting != nullptr && name == projecting; }

Progress project_batch(const LogTables& log, const BatchRequest& request, Caution& caution) {
    const Progress begun = pg_call([&] { return begin(log, request, caution); });
    if (begun != Progress::SOME) return begun;

    Work* work = pg_call([&] { return new (palloc(sizeof(Work))) Work(log, request); });
    const int64 most = caution.suspects > 0 ? std::max<int64>(caution.at_once, 1) : request.max_count;
    projecting = request.projection;
    const CaughtError* error = try_in_subtransaction([&] { handle(*work, most, request.upto); });
    projecting = nullptr;

    return pg_call([&] {
        Progress progress = Progress::SOME;
        if (error == nullptr) {
            if (work->handled.count > 0 || work->visited >= ROWS_WORTH_NOTING)
                acknowledge(*work);
            else
                progress = Progress::NONE;
            be_less_careful(*work, caution);
        } else if (is_cancel(*error) || work->handled.count == 0) {
            raise(error);
        } else if (is_conflict(*error) && ++caution.conflicts <= MOST_CONFLICTS) {
            // Somebody else was in the way: again at once.
        } else if (!is_attributed(*work)) {
            be_careful(*work, caution);
        } else {
            caution = {};
            progress = settle_failure(*work, *error, caution);
        }
        work->close();
        return progress;
    });
}

}  // namespace tidemark
