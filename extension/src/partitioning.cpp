#include "partitioning.h"

#include "fencing.h"
#include "guard.h"
#include "locks.h"
#include "snapshot_scope.h"

#include <algorithm>

namespace tidemark {

namespace {

// The caller holds all locks of the subscription.
void replace_partitions(const SubscriptionTables& tables, Subscription subscription,
                        std::span<const Partition> partitions) {
    int64 fence = 0;
    for (const Partition& partition : partitions) {
        fence = std::max(fence, partition.fence());
        tables.partition_rows.remove(partition.row);
    }
    for (int32 i = 0; i < subscription.next_partitions; i++)
        tables.insert_partition(subscription.name, i, subscription.barrier, next_fence(fence, i));
    subscription.row.set_integer(subscription::PARTITIONS, subscription.next_partitions);
    subscription.row.set_null(subscription::NEXT_PARTITIONS);
    subscription.row.set_null(subscription::BARRIER);
    tables.subscriptions.update(&subscription.row);
    wake_consumers(subscription);
}

}  // namespace

bool repartition(const SubscriptionTables& tables, const Subscription& subscription) {
    for (int32 i = 0; i < subscription.partitions; i++) {
        if (try_lock(partition_lock(subscription.name, i))) continue;
        while (i-- > 0) unlock(partition_lock(subscription.name, i));
        return false;
    }
    const SnapshotScope snapshot;
    replace_partitions(tables, subscription, tables.partitions(subscription));
    snapshot.end();
    return true;
}

// es_set_partitions(name, partitions)
TIDEMARK_FUNCTION(tidemark_set_partitions) {
    return pg_call([&] {
        require_read_write("es_set_partitions()");
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const int32 wanted = partitions_argument(fcinfo, 1);
        const SubscriptionTables tables(log_tables(fcinfo), RowExclusiveLock);
        WholeSubscription whole(tables, name);
        tables.consumed_subscription(name);
        Subscription& subscription = whole.subscription;
        if (wanted == subscription.partitions) {
            subscription.row.set_null(subscription::NEXT_PARTITIONS);
            subscription.row.set_null(subscription::BARRIER);
            tables.subscriptions.update(&subscription.row);
        } else {
            int64 least = PG_INT64_MAX, most = 0;
            for (Partition& partition : whole.partitions) {
                least = std::min(least, partition.checkpoint());
                most = std::max(most, partition.checkpoint());
                partition.note_empty(0, 0);  // which could lead beyond the barrier
                partition.clear_failure();   // whose pause, before an event beyond it, would keep all others waiting
                partition.raise_fence();
                tables.partition_rows.update(&partition.row);
            }
            subscription.next_partitions = wanted;
            subscription.barrier = most;
            subscription.row.set_integer(subscription::NEXT_PARTITIONS, wanted);
            subscription.row.set_bigint(subscription::BARRIER, most);
            tables.subscriptions.update(&subscription.row);
            if (least == most) replace_partitions(tables, subscription, whole.partitions);
        }
        wake_consumers(subscription);
        whole.end();
        tables.close();
        PG_RETURN_VOID();
    });
}

// es_partition_of(stream_id, partitions)
TIDEMARK_FUNCTION(tidemark_partition_of) {
    return pg_call([&] {
        const std::string_view stream_id = view(text_argument(fcinfo, 0, "stream id"));
        return Int32GetDatum(partition_of(stream_id, partitions_argument(fcinfo, 1)));
    });
}

}  // namespace tidemark
