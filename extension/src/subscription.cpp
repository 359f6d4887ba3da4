#include "subscription.h"

#include "guard.h"
#include "locks.h"
#include "waiting.h"

#include <algorithm>
#include <new>

extern "C" {
#include "utils/timestamp.h"
}

namespace tidemark {

// FNV-1a: of all platforms and versions of the server the same.
int32 partition_of(std::string_view stream_id, int32 partitions) {
    uint64 hash = 14695981039346656037u;
    for (const char byte : stream_id) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211u;
    return static_cast<int32>(hash % static_cast<uint32>(partitions));
}

int64 next_fence(int64 before, int32 partition) {
    constexpr int64 MICROSECONDS_2000_TO_2025 = int64(9132) * USECS_PER_DAY;
    constexpr int64 MICROSECONDS_PER_TICK = 250;
    const int64 ticks = (GetCurrentTimestamp() - MICROSECONDS_2000_TO_2025) / MICROSECONDS_PER_TICK;
    return std::max(before / MOST_PARTITIONS + 1, ticks) * MOST_PARTITIONS + partition;
}

int64 Partition::read_from() const {
    const bool skips = checkpoint() >= row.bigint(partition::EMPTY_AFTER);
    return skips ? std::max(checkpoint(), row.bigint(partition::EMPTY_TO)) : checkpoint();
}

void Partition::advance(int64 position) {
    row.set_bigint(partition::CHECKPOINT, position);
    row.set_bigint(partition::CHECKPOINT, read_from());
}

void Partition::note_empty(int64 after, int64 to) {
    row.set_bigint(partition::EMPTY_AFTER, after);
    row.set_bigint(partition::EMPTY_TO, to);
}

void Partition::raise_fence() { row.set_bigint(partition::FENCE, next_fence(fence(), number())); }

int32 Partition::note_failure(int64 position, text* error, TimestampTz retry_at) {
    const int32 attempts = attempts_at(position) + 1;
    row.set(partition::FAILED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    row.set_bigint(partition::FAILED_POSITION, position);
    row.set_integer(partition::ATTEMPTS, attempts);
    row.set(partition::FAILURE, PointerGetDatum(error));
    row.set_null(partition::RETRY_AT);
    if (retry_at != 0) row.set_bigint(partition::RETRY_AT, retry_at);
    return attempts;
}

void Partition::clear_failure() {
    row.set_null(partition::FAILED_AT);
    row.set_null(partition::FAILED_POSITION);
    row.set_integer(partition::ATTEMPTS, 0);
    row.set_null(partition::RETRY_AT);
    row.set_null(partition::FAILURE);
}

std::string_view name_argument(FunctionCallInfo fcinfo, int number, const char* what) {
    const std::string_view name = view(text_argument(fcinfo, number, what));
    check_name(name, what);
    return name;
}

int32 partitions_argument(FunctionCallInfo fcinfo, int number) {
    refuse_null(fcinfo, number, "partitions", "Leave it out, or give their number.");
    const int32 partitions = PG_GETARG_INT32(number);
    if (partitions < 1 || partitions > MOST_PARTITIONS)
        throw bad_argument("partitions is out of range", "It is " + std::to_string(partitions) + ".",
                           "Give a number from 1 to " + std::to_string(MOST_PARTITIONS) + ".");
    return partitions;
}

void wake_consumers(const Subscription& subscription) {
    wake_at_end(WaitGroup::everything());
    wake_at_end(WaitGroup::progress(subscription.name));
    if (subscription.filter.by_category) wake_at_end(WaitGroup::category(subscription.filter.category));
}

LOCKTAG subscription_lock(std::string_view name) { return lock_tag(LockKind::SUBSCRIPTION, lock_key(name)); }

LOCKTAG partition_lock(std::string_view name, int32 number) {
    return lock_tag(LockKind::PARTITION, lock_key(name, static_cast<uint64>(number)));
}

SubscriptionTables::SubscriptionTables(const LogTables& tables, LOCKMODE mode)
    : subscriptions(tables.subscriptions, mode),
      partition_rows(tables.partitions, mode),
      consumers(tables.consumers, mode),
      parked(tables.parked, mode) {}

void SubscriptionTables::close() const {
    subscriptions.close();
    partition_rows.close();
    consumers.close();
    parked.close();
}

bool find_subscription(const StateTable& subscriptions, std::string_view name, Subscription* found) {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, name)};
    StateRow row;
    if (!subscriptions.find(key, &row)) return false;
    *found = {name,
              make_filter(row.value(subscription::CATEGORY), row.value(subscription::EVENT_TYPES),
                          row.value(subscription::STREAM_PREFIX)),
              row.boolean(subscription::IS_PROJECTION),
              row.integer(subscription::PARTITIONS),
              row.integer(subscription::NEXT_PARTITIONS),
              row.bigint(subscription::BARRIER, PG_INT64_MAX),
              row};
    return true;
}

Subscription SubscriptionTables::subscription(std::string_view name) const {
    Subscription found;
    if (!find_subscription(name, &found))
        throw sql_error(UNKNOWN_SUBSCRIPTION, "there is no such subscription", "It is named " + quoted(name) + ".",
                        "Create it with es_create_subscription().");
    return found;
}

Subscription SubscriptionTables::consumed_subscription(std::string_view name) const {
    const Subscription found = subscription(name);
    if (found.is_projection)
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the subscription is a projection's",
                        "Projection " + quoted(name) + " has no consumers.",
                        "CALL es_run_projection() or the background worker projects its events; "
                        "es_drop_projection() removes it.");
    return found;
}

bool SubscriptionTables::find_partition(std::string_view name, int32 number, StateRow* row) const {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, name), integer_key(2, number)};
    return partition_rows.find(key, row);
}

Partition SubscriptionTables::partition(std::string_view name, int32 number) const {
    StateRow row;
    if (!find_partition(name, number, &row))
        throw corrupted("a partition of a subscription is missing",
                        "It is number " + std::to_string(number) + " of " + quoted(name) + ".");
    return Partition(row);
}

std::span<Partition> SubscriptionTables::partitions(const Subscription& subscription) const {
    auto* all = static_cast<Partition*>(palloc(subscription.partitions * sizeof(Partition)));
    for (int32 i = 0; i < subscription.partitions; i++) new (&all[i]) Partition(partition(subscription.name, i));
    return {all, static_cast<size_t>(subscription.partitions)};
}

void SubscriptionTables::insert_partition(std::string_view name, int32 number, int64 checkpoint, int64 fence) const {
    StateRow row = partition_rows.new_row();
    row.set_text(partition::SUBSCRIPTION, name);
    row.set_integer(partition::NUMBER, number);
    row.set_bigint(partition::CHECKPOINT, checkpoint);
    row.set_bigint(partition::EMPTY_AFTER, 0);
    row.set_bigint(partition::EMPTY_TO, 0);
    row.set_bigint(partition::FENCE, fence);
    row.set_integer(partition::ATTEMPTS, 0);
    partition_rows.insert(row);
}

}  // namespace tidemark
