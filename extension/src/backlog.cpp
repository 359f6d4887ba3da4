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

// Counts undelivered events, up to a number of them.
class Count : public EventVisitor {
  public:
    Count(const Undelivered& undelivered, int64 most) : undelivered(undelivered), most(most) {}

    bool visit(TupleTableSlot* event) override {
        if (undelivered.partition_of_event(event) < 0) return true;
        if (count == 0) first_recorded_at = event_value(event, RECORDED_AT);
        return ++count < most;
    }

    int64 count = 0;
    Datum first_recorded_at = 0;

  private:
    const Undelivered& undelivered;
    const int64 most;
};

sql_error failed(const Partition& partition) {
    return {SUBSCRIPTION_FAILED, "the subscription has failed",
            "At position " + std::to_string(partition.row.bigint(partition::FAILED_POSITION)) + ": " +
                std::string(partition.row.name(partition::FAILURE)),
            "See es_subscription_status. When the cause is mended, let its consumer fetch again."};
}

// Whether nothing up to the position is undelivered. Throws TM006 where that will not come by itself.
bool is_reached(const SubscriptionTables& tables, Relation events, Relation head, std::string_view name, int64 position,
                bool* held_back) {
    const SafeRead read = begin_safe_read(head, "es_wait_for()");
    *held_back = read.position < position;
    const Subscription subscription = tables.subscription(name);
    const std::span<Partition> partitions = tables.partitions(subscription);
    for (const Partition& partition : partitions)
        if (partition.has_failed_for_good() && partition.checkpoint() < position) throw failed(partition);
    bool reached = false;
    if (!*held_back) {
        const Undelivered undelivered(partitions, parked_streams(tables, name), [](const Partition&) { return true; });
        Count count(undelivered, 1);
        ScanBudget budget;
        scan_log(events, subscription.filter, undelivered.start(), position, budget, count);
        reached = count.count == 0;
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
        do {
            scratch.reset();
            reached = is_reached(tables, events, head, name, position, &held_back);
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

// es_subscription_backlog(name, partition) → (backlog, is_exact, oldest_recorded_at)
TIDEMARK_FUNCTION(tidemark_subscription_backlog) {
    return pg_call([&] {
        TupleDesc columns;
        get_call_result_type(fcinfo, nullptr, &columns);
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const int32 number = PG_GETARG_INT32(1);
        const LogTables& log = log_tables(fcinfo);
        Relation events = table_open(log.events, AccessShareLock);
        Relation head = table_open(log.head, AccessShareLock);
        const SubscriptionTables tables(log, AccessShareLock);
        const SafeRead read = begin_safe_read(head, "es_subscription_backlog()");
        const Subscription subscription = tables.subscription(name);
        const Undelivered undelivered(tables.partitions(subscription), parked_streams(tables, name),
                                      [&](const Partition& partition) { return partition.number() == number; });
        Count count(undelivered, MOST_COUNTED);
        ScanBudget budget = {MOST_VISITED};
        scan_log(events, subscription.filter, undelivered.start(), read.position, budget, count);
        read.end();
        tables.close();
        table_close(head, NoLock);
        table_close(events, NoLock);
        Datum values[] = {Int64GetDatum(count.count), BoolGetDatum(count.count < MOST_COUNTED && !budget.spent()),
                          count.first_recorded_at};
        bool nulls[] = {false, false, count.count == 0};
        return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
    });
}

}  // namespace tidemark
