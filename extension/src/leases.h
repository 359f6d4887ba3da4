// Who reads which partition: consumers take leases, keep them, and share partitions out evenly among themselves.
#pragma once

#include "subscription.h"

namespace tidemark {

constexpr int64 LONGEST_LEASE = 24 * 60 * 60 * 1000;

// What a consumer asks for.
struct LeaseRequest {
    std::string_view subscription, consumer;
    int64 lease;      // milliseconds, of the leases that it takes or renews
    bool renews_now;  // or when half of them is over
    bool rebalances;  // takes and gives, not only renews
};

// The arguments (name, consumer, …), with the lease at the number.
LeaseRequest lease_request(FunctionCallInfo fcinfo, int lease);

// What a consumer is to do about its leases, given what all others have.
struct LeasePlan {
    bool renews;
    int32 takes, gives;  // how many partitions
    bool has_too_many;   // may have to give, if what looks free is not
    bool joins;          // stands in line, or says again that it does
    bool repartitions;   // the next partitions can take over

    bool is_empty() const { return !renews && takes == 0 && !has_too_many && !joins && !repartitions; }
};

LeasePlan plan_leases(const SubscriptionTables& tables, const Subscription& subscription,
                      std::span<const Partition> partitions, const LeaseRequest& request);

// Does what is to be done, as far as nobody else is at the same partitions at this moment, and whether it has written
// anything. Reads what it changes anew, under snapshots of its own.
bool see_to_leases(const SubscriptionTables& tables, const LeaseRequest& request);

}  // namespace tidemark
