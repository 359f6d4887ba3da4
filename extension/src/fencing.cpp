#include "fencing.h"

#include "guard.h"
#include "locks.h"
#include "projection.h"
#include "waiting.h"

#include <algorithm>

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

int32 partition_number(int64 fence) { return fence > 0 ? static_cast<int32>(fence % MOST_PARTITIONS) : 0; }

SafeRead read_locked(FunctionCallInfo fcinfo, Relation head, const char* function) {
    lock(partition_lock(name_argument(fcinfo, 0, "subscription name"),
                        partition_number(bigint_argument(fcinfo, 2, "fence"))));
    return begin_safe_read(head, function);
}

sql_error out_of_date(const char* why) {
    return {LEASE_LOST, "the fence is out of date", why,
            "Roll back, drop what was delivered under it, and fetch again."};
}

Partition fenced_partition(const SubscriptionTables& tables, std::string_view name, int64 fence) {
    StateRow row;
    if (!tables.find_partition(name, partition_number(fence), &row))
        throw out_of_date("The fence is of a partition that is no more.");
    const Partition partition(row);
    if (partition.fence() == fence) return partition;
    const char* why = psprintf("The fence is " INT64_FORMAT ", and that of partition %d is " INT64_FORMAT " now.",
                               fence, partition.number(), partition.fence());
    if (partition.is_leased(GetCurrentTimestamp()))
        why = psprintf("%s Its consumer is \"%.*s\".", why, static_cast<int>(partition.consumer().size()),
                       partition.consumer().data());
    throw out_of_date(why);
}

}  // namespace

FencedCall::FencedCall(FunctionCallInfo fcinfo, const char* function)
    : position(bigint_argument(fcinfo, 1, "position")),
      events(table_open(log_tables(fcinfo).events, AccessShareLock)),
      head(table_open(log_tables(fcinfo).head, AccessShareLock)),
      tables(log_tables(fcinfo), RowExclusiveLock),
      read(read_locked(fcinfo, head, function)),
      subscription(tables.consumed_subscription(name_argument(fcinfo, 0, "subscription name"))),
      partition(fenced_partition(tables, subscription.name, PG_GETARG_INT64(2))) {
    const int64 most = std::min(read.position, subscription.barrier);
    if (position <= 0 || position > most)
        throw bad_argument(
            "the position cannot have been delivered",
            "It is " + std::to_string(position) + ", and the last that can is " + std::to_string(most) + ".",
            "Give the position of an event that es_fetch() has returned.");
}

void FencedCall::store() {
    tables.partition_rows.update(&partition.row);
    wake_at_end(WaitGroup::progress(subscription.name));
    // The last partition to come to the barrier makes the next ones take over.
    if (subscription.next_partitions > 0) wake_consumers(subscription);
}

int64 FencedCall::store_acknowledged() {
    const TimestampTz now = GetCurrentTimestamp();
    partition.raise_fence();
    partition.row.set(partition::ACKED_AT, TimestampTzGetDatum(now));
    partition.clear_failure();
    if (!partition.consumer().empty())
        partition.row.set_bigint(partition::LEASE_UNTIL, TimestampTzPlusMilliseconds(now, partition.lease()));
    store();
    return partition.fence();
}

void FencedCall::end() const {
    read.end();
    tables.close();
    table_close(head, NoLock);
    table_close(events, NoLock);
}

text* to_keep(std::string_view reason) {
    constexpr int LONGEST_REASON = 2000;  // bytes
    const int bytes = pg_mbcliplen(reason.data(), static_cast<int>(reason.size()), LONGEST_REASON);
    return make_text(reason.substr(0, static_cast<size_t>(bytes)));
}

namespace {

Subscription lock_subscription(const SubscriptionTables& tables, std::string_view name) {
    if (is_projecting(name))
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a handler cannot change its own projection",
                        "It is " + quoted(name) + ", in the midst of a batch.", "Do so in another session.");
    lock(subscription_lock(name));
    PushActiveSnapshot(GetLatestSnapshot());
    const Subscription subscription = tables.subscription(name);
    for (int32 i = 0; i < subscription.partitions; i++) lock(partition_lock(name, i));
    PopActiveSnapshot();
    PushActiveSnapshot(GetLatestSnapshot());
    return subscription;
}

}  // namespace

WholeSubscription::WholeSubscription(const SubscriptionTables& tables, std::string_view name)
    : subscription(lock_subscription(tables, name)), partitions(tables.partitions(subscription)) {}

}  // namespace tidemark
