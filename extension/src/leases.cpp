#include "leases.h"

#include "guard.h"
#include "locks.h"
#include "partitioning.h"
#include "snapshot_scope.h"

#include <algorithm>

extern "C" {
#include "access/stratnum.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

enum ConsumerColumn : AttrNumber { CONSUMER_SUBSCRIPTION = 1, CONSUMER_NAME, CONSUMER_UNTIL, CONSUMER_CAME_BACK };

struct Member {
    std::string_view name;
    int32 partitions;
};

struct Members {
    Member* all;
    int32 count = 0;

    void add(std::string_view name, int32 partitions) {
        Member* known = std::find_if(all, all + count, [&](const Member& member) { return member.name == name; });
        if (known == all + count) all[count++] = {name, 0};
        known->partitions += partitions;
    }
};

// Who stands in line is soon forgotten when not heard of: others leave partitions for it to take.
constexpr int64 LONGEST_IN_LINE = 5000;  // milliseconds

bool is_due(TimestampTz until, int64 milliseconds, const LeaseRequest& request, TimestampTz now) {
    return request.renews_now || until - now < milliseconds * 1000 / 2;
}

int64 time_in_line(const LeaseRequest& request) { return std::min(request.lease, LONGEST_IN_LINE); }

// How many partitions the consumer should have: as many as all others, or one more where they cannot be the same. Those
// who have more already are the ones to have one more, so that as few as possible change hands.
int32 fair_share(Members members, std::string_view consumer, int32 partitions) {
    std::sort(members.all, members.all + members.count, [](const Member& one, const Member& other) {
        return one.partitions != other.partitions ? one.partitions > other.partitions : one.name < other.name;
    });
    const auto rank = static_cast<int32>(std::find_if(members.all, members.all + members.count,
                                                      [&](const Member& member) { return member.name == consumer; }) -
                                         members.all);
    return partitions / members.count + (rank < partitions % members.count ? 1 : 0);
}

// Those who stand in line.
template <typename Each>
void for_each_in_line(const SubscriptionTables& tables, std::string_view subscription, Each each) {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, subscription)};
    tables.consumers.for_each(key, each);
}

}  // namespace

LeasePlan plan_leases(const SubscriptionTables& tables, const Subscription& subscription,
                      std::span<const Partition> partitions, const LeaseRequest& request) {
    const TimestampTz now = GetCurrentTimestamp();
    LeasePlan plan = {};
    int32 mine = 0, taken = 0;
    for (const Partition& partition : partitions) {
        if (!partition.is_leased(now) && !partition.is_locked) continue;
        taken++;
        if (!partition.is_leased_to(request.consumer, now)) continue;
        mine++;
        plan.renews = plan.renews || is_due(partition.lease_until(), request.lease, request, now);
    }
    if (!request.rebalances) return plan;

    plan.repartitions = subscription.next_partitions > 0 &&
                        std::all_of(partitions.begin(), partitions.end(), [&](const Partition& partition) {
                            return partition.read_from() >= subscription.barrier;
                        });
    const auto free = static_cast<int32>(partitions.size()) - taken;
    if (partitions.size() == 1) {
        plan.takes = free;
        return plan;
    }

    TimestampTz in_line_until = 0;
    bool came_back = false;
    Members members = {static_cast<Member*>(palloc((partitions.size() + 1) * sizeof(Member)))};
    members.add(request.consumer, mine);
    for (const Partition& partition : partitions)
        if (partition.is_leased(now) && partition.consumer() != request.consumer) members.add(partition.consumer(), 1);
    int32 room = static_cast<int32>(partitions.size()) + 1;
    for_each_in_line(tables, request.subscription, [&](const StateRow& row) {
        if (row.bigint(CONSUMER_UNTIL) <= now) return;
        if (row.name(CONSUMER_NAME) == request.consumer) {
            in_line_until = row.bigint(CONSUMER_UNTIL);
            came_back = row.boolean(CONSUMER_CAME_BACK);
            return;
        }
        // Only who calls again is given partitions for: one that crashes each time it starts takes none out of service.
        if (!row.boolean(CONSUMER_CAME_BACK)) return;
        if (members.count == room) {
            room *= 2;
            members.all = static_cast<Member*>(repalloc(members.all, room * sizeof(Member)));
        }
        members.add(row.name(CONSUMER_NAME), 0);
    });
    const int32 share = fair_share(members, request.consumer, static_cast<int32>(partitions.size()));
    plan.takes = std::min(std::max(share - mine, 0), free);
    plan.has_too_many = mine > share;
    plan.gives = std::max(mine - share - free, 0);  // others take what is free first
    plan.joins =
        mine == 0 && plan.takes == 0 && (!came_back || is_due(in_line_until, time_in_line(request), request, now));
    return plan;
}

namespace {

TimestampTz end_of(int64 milliseconds) { return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds); }

enum class Change { TAKE, RENEW, GIVE };

bool applies(Change change, const Partition& partition, const LeaseRequest& request) {
    const TimestampTz now = GetCurrentTimestamp();
    if (change == Change::TAKE) return !partition.is_leased(now);
    return partition.is_leased_to(request.consumer, now);
}

void apply(Change change, Partition& partition, const LeaseRequest& request) {
    if (change == Change::GIVE) {
        partition.row.set_null(partition::CONSUMER);
        partition.row.set_null(partition::LEASE_UNTIL);
        return;
    }
    if (change == Change::TAKE) {
        partition.raise_fence();
        partition.row.set_text(partition::CONSUMER, request.consumer);
    }
    partition.row.set_bigint(partition::LEASE_MILLISECONDS, request.lease);
    partition.row.set_bigint(partition::LEASE_UNTIL, end_of(request.lease));
}

// Changes up to `most` of the partitions that it applies to, the last ones first, and passes over those that others are
// at. Returns how many.
int32 change_leases(Change change, int32 most, const SubscriptionTables& tables, std::span<const Partition> partitions,
                    const LeaseRequest& request) {
    int32 changed = 0;
    for (auto i = static_cast<int32>(partitions.size()) - 1; i >= 0 && changed < most; i--) {
        const LOCKTAG tag = partition_lock(request.subscription, i);
        if (!applies(change, partitions[i], request) || !try_lock(tag)) continue;
        // Read anew: it may have changed before it was locked.
        const SnapshotScope snapshot;
        StateRow row;
        const bool exists = tables.find_partition(request.subscription, i, &row);
        snapshot.end();
        Partition partition(row);
        if (exists && applies(change, partition, request)) {
            apply(change, partition, request);
            tables.partition_rows.update(&partition.row);
            changed++;
        } else {
            unlock(tag);
        }
    }
    return changed;
}

// Stands in line, or leaves it; and sees off those that have not been heard of for longer than they said.
void change_line(const SubscriptionTables& tables, const LeaseRequest& request, bool joins) {
    const TimestampTz now = GetCurrentTimestamp();
    bool known = false;
    for_each_in_line(tables, request.subscription, [&](StateRow row) {
        if (joins && row.name(CONSUMER_NAME) == request.consumer) {
            known = true;
            row.set_bigint(CONSUMER_UNTIL, end_of(time_in_line(request)));
            row.set(CONSUMER_CAME_BACK, BoolGetDatum(true));
            tables.consumers.update(&row);
        } else if (row.bigint(CONSUMER_UNTIL) <= now || row.name(CONSUMER_NAME) == request.consumer) {
            tables.consumers.remove(row);
        }
    });
    if (!joins || known) return;
    StateRow row = tables.consumers.new_row();
    row.set_text(CONSUMER_SUBSCRIPTION, request.subscription);
    row.set_text(CONSUMER_NAME, request.consumer);
    row.set_bigint(CONSUMER_UNTIL, end_of(time_in_line(request)));
    row.set(CONSUMER_CAME_BACK, BoolGetDatum(false));
    tables.consumers.insert(row);
}

// Partitions whose leases are over can still be in the hands of a transaction that has acknowledged and is open.
void find_locked(std::span<Partition> partitions, std::string_view subscription) {
    const TimestampTz now = GetCurrentTimestamp();
    for (Partition& partition : partitions) {
        if (partition.is_leased(now)) continue;
        const LOCKTAG tag = partition_lock(subscription, partition.number());
        partition.is_locked = !try_lock(tag);
        if (!partition.is_locked) unlock(tag);
    }
}

// Takes, gives and stands in line, which only one consumer at a time does. Whether it has written anything.
bool rebalance(const LeasePlan& plan, const SubscriptionTables& tables, const Subscription& subscription,
               std::span<const Partition> partitions, const LeaseRequest& request) {
    if (plan.repartitions) return repartition(tables, subscription);
    const int32 taken = change_leases(Change::TAKE, plan.takes, tables, partitions, request);
    const int32 given = change_leases(Change::GIVE, plan.gives, tables, partitions, request);
    if (plan.joins || taken > 0) change_line(tables, request, plan.joins);
    // Who stands in line looks again when partitions are given back; who has them, when somebody joins the line.
    if (given > 0 || plan.joins) wake_consumers(subscription);
    return taken > 0 || given > 0 || plan.joins;
}

// One round. *again: the next partitions have taken over, and there are leases to be had of them.
bool see_to_leases(const SubscriptionTables& tables, const LeaseRequest& request, bool* again) {
    const LOCKTAG tag = subscription_lock(request.subscription);
    const bool alone = request.rebalances && try_lock(tag);
    const SnapshotScope snapshot;
    const Subscription subscription = tables.consumed_subscription(request.subscription);
    const std::span<Partition> partitions = tables.partitions(subscription);
    if (alone) find_locked(partitions, request.subscription);
    const LeasePlan plan = plan_leases(tables, subscription, partitions, request);
    const bool renewed =
        plan.renews && change_leases(Change::RENEW, subscription.partitions, tables, partitions, request) > 0;
    const bool rebalanced = alone && rebalance(plan, tables, subscription, partitions, request);
    if (alone && !rebalanced) unlock(tag);
    snapshot.end();
    *again = rebalanced && plan.repartitions;
    return renewed || rebalanced;
}

}  // namespace

bool see_to_leases(const SubscriptionTables& tables, const LeaseRequest& request) {
    bool written = false, again = true;
    while (again) written = see_to_leases(tables, request, &again) || written;
    return written;
}

LeaseRequest lease_request(FunctionCallInfo fcinfo, int lease) {
    return {name_argument(fcinfo, 0, "subscription name"), name_argument(fcinfo, 1, "consumer name"),
            milliseconds_argument(fcinfo, lease, "lease", 1, LONGEST_LEASE), false, true};
}

// es_claim(name, consumer, lease, rebalance) → setof (partition, fence, checkpoint, lease_until, retry_at)
TIDEMARK_FUNCTION(tidemark_claim) {
    return pg_call([&] {
        require_read_write("es_claim()");
        LeaseRequest request = lease_request(fcinfo, 2);
        request.renews_now = true;
        refuse_null(fcinfo, 3, "rebalance", "Leave it out to take and give partitions.");
        request.rebalances = PG_GETARG_BOOL(3);
        const SubscriptionTables tables(log_tables(fcinfo), RowExclusiveLock);
        see_to_leases(tables, request);

        InitMaterializedSRF(fcinfo, 0);
        const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        const SnapshotScope snapshot;
        for (const Partition& partition : tables.partitions(tables.subscription(request.subscription))) {
            if (!partition.is_leased_to(request.consumer, GetCurrentTimestamp())) continue;
            Datum values[] = {Int32GetDatum(partition.number()), Int64GetDatum(partition.fence()),
                              Int64GetDatum(partition.checkpoint()), TimestampTzGetDatum(partition.lease_until()),
                              partition.row.value(partition::RETRY_AT).value};
            bool nulls[] = {false, false, false, false, partition.row.is_null(partition::RETRY_AT)};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        }
        snapshot.end();
        tables.close();
        return Datum(0);
    });
}

// es_release(name, consumer) → how many partitions
TIDEMARK_FUNCTION(tidemark_release) {
    return pg_call([&] {
        require_read_write("es_release()");
        const LeaseRequest request = {name_argument(fcinfo, 0, "subscription name"),
                                      name_argument(fcinfo, 1, "consumer name"), 0, false, true};
        const SubscriptionTables tables(log_tables(fcinfo), RowExclusiveLock);
        const SnapshotScope snapshot;
        const Subscription subscription = tables.consumed_subscription(request.subscription);
        const std::span<const Partition> partitions = tables.partitions(subscription);
        // What it is just acknowledging is waited for.
        for (const Partition& partition : partitions)
            if (applies(Change::GIVE, partition, request))
                lock(partition_lock(request.subscription, partition.number()));
        const int32 released = change_leases(Change::GIVE, subscription.partitions, tables, partitions, request);
        // Its place in the line is not waited for, as partitions are locked already, which come after that. Who is not
        // heard of is forgotten.
        if (try_lock(subscription_lock(request.subscription))) change_line(tables, request, false);
        wake_consumers(subscription);
        snapshot.end();
        tables.close();
        return Int32GetDatum(released);
    });
}

}  // namespace tidemark
