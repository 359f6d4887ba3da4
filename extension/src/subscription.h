// Subscriptions: durable cursors over the log, in partitions.
//
// Which partition an event belongs to depends on its stream's id alone, so that each stream is read in order by whoever
// has the partition. A partition has a checkpoint, a lease and a fence. The fence is a number that rises whenever what
// was delivered before must not be acknowledged any more: with each new holder of the lease, and where an event is
// acknowledged or parked, or the cursor is moved: so a delivery is acknowledged once, and none that overlaps it. Modulo
// MOST_PARTITIONS it is the partition's number.
//
// Locks, each held until the transaction ends: SUBSCRIPTION for who has which partition and how many there are;
// PARTITION for the row of one, whose checkpoint may move without the former. Who needs both takes them in this order,
// and partitions in theirs.
#pragma once

#include "event_filter.h"
#include "state_table.h"

#include <span>

namespace tidemark {

constexpr int MOST_PARTITIONS = 1024;

// The partition of a stream. Must not change ever: checkpoints depend on it.
int32 partition_of(std::string_view stream_id, int32 partitions);

// A fence above the one before. It is above every other one of the partition too that anybody can have seen, also
// where a crash or a failover has lost the row that said so: it follows the clock. Below 2^53 until 2090.
int64 next_fence(int64 before, int32 partition);

namespace subscription {
enum Column : AttrNumber {
    NAME = 1,
    CATEGORY,
    EVENT_TYPES,
    STREAM_PREFIX,
    PARTITIONS,
    NEXT_PARTITIONS,
    BARRIER,
    CREATED_AT,
    IS_PROJECTION
};
}
namespace partition {
enum Column : AttrNumber {
    SUBSCRIPTION = 1,
    NUMBER,
    CHECKPOINT,
    EMPTY_AFTER,
    EMPTY_TO,
    FENCE,
    CONSUMER,
    LEASE_MILLISECONDS,
    LEASE_UNTIL,
    ACKED_AT,
    FAILED_AT,
    FAILED_POSITION,
    ATTEMPTS,
    RETRY_AT,
    FAILURE,
};
}

struct Subscription {
    std::string_view name;
    EventFilter filter;
    bool is_projection;
    int32 partitions;       // of a sync projection none
    int32 next_partitions;  // 0: they stay as they are
    int64 barrier;  // no partition goes beyond before the next partitions take over; PG_INT64_MAX: there is none
    StateRow row;
};

struct Partition {
    explicit Partition(const StateRow& row) : row(row) {}

    int32 number() const { return row.integer(partition::NUMBER); }
    int64 checkpoint() const { return row.bigint(partition::CHECKPOINT); }
    int64 fence() const { return row.bigint(partition::FENCE); }
    std::string_view consumer() const { return row.name(partition::CONSUMER); }
    int64 lease() const { return row.bigint(partition::LEASE_MILLISECONDS); }
    TimestampTz lease_until() const { return row.bigint(partition::LEASE_UNTIL); }
    bool is_leased(TimestampTz now) const { return !row.is_null(partition::CONSUMER) && lease_until() > now; }
    bool is_leased_to(std::string_view name, TimestampTz now) const { return is_leased(now) && consumer() == name; }
    int32 attempts_at(int64 position) const {
        return row.bigint(partition::FAILED_POSITION, -1) == position ? row.integer(partition::ATTEMPTS) : 0;
    }
    bool is_put_off(TimestampTz now) const { return row.bigint(partition::RETRY_AT) > now; }
    bool has_failed_for_good() const { return !row.is_null(partition::FAILED_AT) && row.is_null(partition::RETRY_AT); }

    // Where reading goes on: no event above the checkpoint up to there is the partition's.
    int64 read_from() const;
    // The checkpoint goes to the position, and over what is known to be empty behind it.
    void advance(int64 position);
    // It is known that no event of the partition lies between the two.
    void note_empty(int64 after, int64 to);
    void raise_fence();
    // The event at the position could not be handled. Returns how often in a row. retry_at: 0 where nobody is to try
    // again by himself.
    int32 note_failure(int64 position, text* error, TimestampTz retry_at);
    void clear_failure();

    StateRow row;
    bool is_locked = false;  // by another transaction, whoever's the lease was; where that was found out
};

// Arguments: the name of a subscription or consumer; a number of partitions.
std::string_view name_argument(FunctionCallInfo fcinfo, int number, const char* what);
int32 partitions_argument(FunctionCallInfo fcinfo, int number);

// When the transaction commits, wakes those who wait for events of the subscription, for a part in it, or for it.
void wake_consumers(const Subscription& subscription);

LOCKTAG subscription_lock(std::string_view name);
LOCKTAG partition_lock(std::string_view name, int32 number);

// The subscription of that name in es_subscriptions, and whether there is one.
bool find_subscription(const StateTable& subscriptions, std::string_view name, Subscription* found);

// The tables of subscriptions, open. All reads are under the active snapshot.
struct SubscriptionTables {
    SubscriptionTables(const LogTables& tables, LOCKMODE mode);
    void close() const;

    // Throws TM005 where there is none of the name.
    Subscription subscription(std::string_view name) const;
    // The same, for what only consumers do: 55000 where it is a projection's.
    Subscription consumed_subscription(std::string_view name) const;
    bool find_subscription(std::string_view name, Subscription* found) const {
        return tidemark::find_subscription(subscriptions, name, found);
    }
    // Throws TM002 where the row is missing.
    Partition partition(std::string_view name, int32 number) const;
    bool find_partition(std::string_view name, int32 number, StateRow* row) const;
    // All of them, by number.
    std::span<Partition> partitions(const Subscription& subscription) const;
    void insert_partition(std::string_view name, int32 number, int64 checkpoint, int64 fence) const;

    StateTable subscriptions, partition_rows, consumers, parked;
};

}  // namespace tidemark
