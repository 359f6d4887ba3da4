// Who reads which partition: consumers take leases, keep them, and share partitions out evenly among themselves.
#pragma once

#include "subscription.h"

namespace tidemark {

constexpr int64 LONGEST_LEASE = 24 * 60 * 60 * 1000;

enum class Renewal {
    NONE,
    WHEN_DUE,  // when half of the lease is over
    NOW,
};

// What a consumer is to do about its leases, given what all others have.
struct LeasePlan {
    bool renews;
    int32 takes, gives;  // how many partitions
    bool has_too_many;   // may have to give, if what looks free is not
    bool joins;          // stands in line, or says again that it does
    bool repartitions;   // the next partitions can take over

    // Changes who has what, which only one consumer at a time does.
    bool is_structural() const { return takes > 0 || has_too_many || joins || repartitions; }
    bool is_empty() const { return !renews && !is_structural(); }
};

// What a consumer asks for.
struct LeaseRequest {
    std::string_view subscription, consumer;
    int64 lease;  // milliseconds, of the leases that it takes or renews
    Renewal renewal;
    bool rebalances;  // takes and gives, not only renews
};

LeasePlan plan_leases(const SubscriptionTables& tables, const Subscription& subscription,
                      std::span<const Partition> partitions, const LeaseRequest& request);

// Does what the plan says, as far as nobody else is at the same partitions at this moment, and whether it has written
// anything. Reads what it changes anew, under snapshots of its own.
bool carry_out(const LeasePlan& plan, const SubscriptionTables& tables, const LeaseRequest& request);

// Plans and carries out what is to be done. Whether anything was written.
bool see_to_leases(const SubscriptionTables& tables, const LeaseRequest& request);

// Gives back all leases of a consumer, and its place in the line. Waits for what it is just acknowledging. Returns how
// many.
int32 release_leases(const SubscriptionTables& tables, std::string_view subscription, std::string_view consumer);

}  // namespace tidemark
