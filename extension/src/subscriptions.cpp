// Making, removing and resetting subscriptions.
#include "fencing.h"
#include "guard.h"
#include "locks.h"
#include "parking.h"
#include "subscriptions.h"
#include "snapshot_scope.h"

#include <algorithm>
#include <charconv>

extern "C" {
#include "access/stratnum.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

// A position that reading can go on from: of what is final.
void check_reachable(int64 position, int64 safe_position) {
    if (position < 0 || position > safe_position)
        throw bad_argument(
            "the position is out of range",
            "It is " + std::to_string(position) + ", and the safe position is " + std::to_string(safe_position) + ".",
            "Give a position from 0 to the safe position.");
}

}  // namespace

int64 start_argument(FunctionCallInfo fcinfo, int number, int64 safe_position) {
    const std::string_view start = view(text_argument(fcinfo, number, "start"));
    if (start == "beginning") return 0;
    if (start == "end") return safe_position;
    int64 position = 0;
    const auto [rest, problem] = std::from_chars(start.data(), start.data() + start.size(), position);
    if (problem != std::errc() || rest != start.data() + start.size())
        throw bad_argument("invalid start", "It is " + quoted(start) + ".",
                           "Give \"beginning\", \"end\", or a position in digits.");
    check_reachable(position, safe_position);
    return position;
}

void insert_subscription(FunctionCallInfo fcinfo, int filter, const SubscriptionTables& tables, std::string_view name,
                         int32 partitions, int64 start, bool is_projection) {
    StateRow row = tables.subscriptions.new_row();
    row.set_text(subscription::NAME, name);
    for (int i = 0; i < 3; i++)
        if (!PG_ARGISNULL(filter + i)) row.set(subscription::CATEGORY + i, PG_GETARG_DATUM(filter + i));
    row.set_integer(subscription::PARTITIONS, partitions);
    row.set(subscription::CREATED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    row.set(subscription::IS_PROJECTION, BoolGetDatum(is_projection));
    tables.subscriptions.insert(row);
    for (int32 i = 0; i < partitions; i++) tables.insert_partition(name, i, start, next_fence(0, i));
}

void remove_subscription(const SubscriptionTables& tables, const WholeSubscription& whole) {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, whole.subscription.name)};
    tables.parked.for_each(key, [&](const StateRow& row) { tables.parked.remove(row); });
    tables.consumers.for_each(key, [&](const StateRow& row) { tables.consumers.remove(row); });
    for (const Partition& partition : whole.partitions) tables.partition_rows.remove(partition.row);
    tables.subscriptions.remove(whole.subscription.row);
    wake_consumers(whole.subscription);
}

// es_create_subscription(name, category, event_types, stream_prefix, start, partitions) → whether it was made
TIDEMARK_FUNCTION(tidemark_create_subscription) {
    return pg_call([&] {
        require_read_write("es_create_subscription()");
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const EventFilter filter = filter_argument(fcinfo, 1);
        check_filter(filter);
        const int32 partitions = partitions_argument(fcinfo, 5);
        const LogTables& log = log_tables(fcinfo);
        const SubscriptionTables tables(log, RowExclusiveLock);
        Relation head = table_open(log.head, AccessShareLock);
        lock(subscription_lock(name));
        const SafeRead read = begin_safe_read(head, "es_create_subscription()");
        const int64 start = start_argument(fcinfo, 4, read.position);
        Subscription known;
        const bool is_new = !tables.find_subscription(name, &known);
        if (is_new)
            insert_subscription(fcinfo, 1, tables, name, partitions, start, false);
        else if (known.is_projection || !(filter == known.filter))
            throw sql_error(
                ERRCODE_DUPLICATE_OBJECT, "there is another subscription of that name",
                "Subscription " + quoted(name) + (known.is_projection ? " is a projection's." : " has another filter."),
                "Choose another name, or drop it with es_drop_subscription().");
        read.end();
        table_close(head, NoLock);
        tables.close();
        return BoolGetDatum(is_new);
    });
}

// es_drop_subscription(name) → whether there was one
TIDEMARK_FUNCTION(tidemark_drop_subscription) {
    return pg_call([&] {
        require_read_write("es_drop_subscription()");
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const SubscriptionTables tables(log_tables(fcinfo), RowExclusiveLock);
        lock(subscription_lock(name));
        const SnapshotScope snapshot;
        Subscription known;
        const bool exists = tables.find_subscription(name, &known);
        if (exists) tables.consumed_subscription(name);
        snapshot.end();
        if (exists) {
            const WholeSubscription whole(tables, name);
            remove_subscription(tables, whole);
            whole.end();
        }
        tables.close();
        return BoolGetDatum(exists);
    });
}

// es_reset_subscription(name, to_position)
TIDEMARK_FUNCTION(tidemark_reset_subscription) {
    return pg_call([&] {
        require_read_write("es_reset_subscription()");
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const int64 position = bigint_argument(fcinfo, 1, "position");
        const LogTables& log = log_tables(fcinfo);
        const SubscriptionTables tables(log, RowExclusiveLock);
        WholeSubscription whole(tables, name);
        if (whole.partitions.empty())
            throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a sync projection has no checkpoint",
                            "Projection " + quoted(name) + " is a part of each append.",
                            "CALL es_rebuild_projection(), or drop it and create it again.");
        Relation head = table_open(log.head, AccessShareLock);
        const SafeRead read = begin_safe_read(head, "es_reset_subscription()");
        check_reachable(position, read.position);
        for (Partition& partition : whole.partitions) {
            partition.row.set_bigint(partition::CHECKPOINT, position);
            partition.note_empty(0, 0);
            partition.clear_failure();
            partition.raise_fence();
            tables.partition_rows.update(&partition.row);
        }
        // What was parked above comes again by itself.
        for (const ParkedStream& parked : parked_streams(tables, name))
            if (parked.position() > position) tables.parked.remove(parked.row);
        if (whole.subscription.next_partitions > 0) {
            whole.subscription.row.set_bigint(subscription::BARRIER, position);
            tables.subscriptions.update(&whole.subscription.row);
        }
        wake_consumers(whole.subscription);
        read.end();
        whole.end();
        table_close(head, NoLock);
        tables.close();
        PG_RETURN_VOID();
    });
}

}  // namespace tidemark
