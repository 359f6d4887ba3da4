// What a subscription has still before it: to be waited for, and to be watched.
#include "guard.h"
#include "safe_position.h"
#include "scratch.h"
#include "undelivered.h"
#include "waiting.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr int64 MOST_COUNTED = 1000;
constexpr int64 MOST_VISITED = 100000;

// Counts the undelivered events of each partition, up to MOST_COUNTED.
class Backlog : public EventVisitor {
  public:
    struct OfPartition {
        int64 count;
        Datum oldest_recorded_at;  // where there is one
    };

    explicit Backlog(const Undelivered& undelivered)
        : by_partition(static_cast<OfPartition*>(palloc0(undelivered.count * sizeof(OfPartition)))),
          undelivered(undelivered),
          still_counted(undelivered.count) {}

    bool visit(TupleTableSlot* event) override {
        const int32 number = undelivered.partition_of_event(event);
        if (number < 0) return true;
        OfPartition& its = by_partition[number];
        if (its.count == 0) its.oldest_recorded_at = event_value(event, RECORDED_AT);
        if (its.count < MOST_COUNTED && ++its.count == MOST_COUNTED) still_counted--;
        return still_counted > 0;
    }

    OfPartition* const by_partition;

  private:
    const Undelivered& undelivered;
    int32 still_counted;
};

sql_error failed(const Subscription& subscription, const Partition& partition) {
    const std::string detail = "At position " + std::to_string(partition.row.bigint(partition::FAILED_POSITION)) +
                               ": " + std::string(partition.row.name(partition::FAILURE));
    if (subscription.is_projection)
        return {SUBSCRIPTION_FAILED, "the projection has failed", detail,
                "See es_projection_status. When the cause is mended, CALL es_run_projection() with its name."};
    return {SUBSCRIPTION_FAILED, "the subscription has failed", detail,
            "See es_subscription_status. When the cause is mended, let its consumer fetch again."};
}

// Whether nothing up to the position is undelivered. Throws TM006 where that will not come by itself. `done` is up to
// where nothing was when last looked.
bool is_reached(const SubscriptionTables& tables, Relation events, Relation head, std::string_view name, int64 position,
                int64* done, bool* held_back) {
    const SafeRead read = begin_safe_read(head, "es_wait_for()");
    *held_back = read.position < position;
    const Subscription subscription = tables.subscription(name);
    const std::span<Partition> partitions = tables.partitions(subscription);
    for (const Partition& partition : partitions)
        if (partition.has_failed_for_good() && partition.checkpoint() < position) throw failed(subscription, partition);
    bool reached = false;
    if (!*held_back && partitions.empty()) {
        reached = true;  // a sync projection is where the log is
    } else if (!*held_back) {
        const Undelivered undelivered(partitions, parked_streams(tables, name), [](const Partition&) { return true; });
        FirstUndelivered first(undelivered);
        ScanBudget budget;
        const int64 from = std::max(*done, undelivered.start());
        const int64 to = scan_log(events, subscription.filter, from, position, budget, first);
        reached = !first.found;
        *done = reached ? to : to - 1;
    }
    read.end();
    return reached;
}

}  // namespace

// es_wait_for(name, up_to_position, timeout)
TIDEMARK_FUNCTION(tidemark_wait_for) {
    return pg_call([&] {
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const int64 position = bigint_argument(fcinfo, 1, "position");
        const int64 timeout = milliseconds_argument(fcinfo, 2, "timeout", 0, LONGEST_WAIT);
        const LogTables& log = log_tables(fcinfo);
        Relation events = table_open(log.events, AccessShareLock);
        Relation head = table_open(log.head, AccessShareLock);
        refuse_wait_for_oneself(head, "es_wait_for()");
        const SubscriptionTables tables(log, AccessShareLock);
        Waiter waiter(timeout);
        const Scratch scratch;
        bool reached, held_back;
        int64 done = 0;
        do {
            scratch.reset();
            reached = is_reached(tables, events, head, name, position, &done, &held_back);
        } while (!reached && waiter.sleep(held_back ? WaitGroup::everything() : WaitGroup::progress(name)));
        waiter.leave();
        scratch.end();
        if (!reached)
            throw sql_error(
                NOT_REACHED_IN_TIME, "the position was not reached in time",
                "Subscription " + quoted(name) + " has events up to " + std::to_string(position) + " before it still.",
                "Wait longer, or see es_subscription_status and es_blockers() for what keeps it.");
        tables.close();
        table_close(head, NoLock);
        table_close(events, NoLock);
        PG_RETURN_VOID();
    });
}

// es_subscription_backlog(name) → setof (partition, backlog, is_exact, oldest_recorded_at)
TIDEMARK_FUNCTION(tidemark_subscription_backlog) {
    return pg_call([&] {
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        InitMaterializedSRF(fcinfo, 0);
        const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        const LogTables& log = log_tables(fcinfo);
        Relation events = table_open(log.events, AccessShareLock);
        Relation head = table_open(log.head, AccessShareLock);
        const SubscriptionTables tables(log, AccessShareLock);
        const SafeRead read = begin_safe_read(head, "es_subscription_backlog()");
        Subscription subscription;
        // The view that calls this may see an older moment, in which there still was one.
        if (tables.find_subscription(name, &subscription) && subscription.partitions > 0) {
            const Undelivered undelivered(tables.partitions(subscription), parked_streams(tables, name),
                                          [](const Partition&) { return true; });
            Backlog backlog(undelivered);
            ScanBudget budget = {MOST_VISITED};
            scan_log(events, subscription.filter, undelivered.start(), read.position, budget, backlog);
            for (int32 i = 0; i < subscription.partitions; i++) {
                const Backlog::OfPartition& its = backlog.by_partition[i];
                Datum values[] = {Int32GetDatum(i), Int64GetDatum(its.count),
                                  BoolGetDatum(its.count < MOST_COUNTED && !budget.spent()), its.oldest_recorded_at};
                bool nulls[] = {false, false, false, its.count == 0};
                tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
            }
        }
        read.end();
        tables.close();
        table_close(head, NoLock);
        table_close(events, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
