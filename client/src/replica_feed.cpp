#include "replica_feed.hpp"

#include <algorithm>
#include <limits>

namespace tidemark::detail {

using namespace std::chrono_literals;

namespace {

// How long a replica is given to hear of what has happened, before it is asked again.
constexpr std::chrono::milliseconds REPLICATION{10};
// How often a consumer without a lease asks for one.
constexpr std::chrono::milliseconds IN_LINE{250};

}  // namespace

Delivery ReplicaFeed::next(Connection& primary, FetchOptions options) {
    if (Clock::now() >= ask_at_) ask(primary, options.lease);
    if (fences_.empty()) {
        primary.pause(std::min(options.wait, IN_LINE));
        ask_again();
        return {};
    }
    options.wait = std::min(options.wait, options.lease / 6);
    Delivery delivery = replica_.subscription(subscription_).fetch(consumer_, options);
    if (delivery.events.empty()) {
        // What else fetching does, only the primary can do: move checkpoints over what is not for the subscription, and
        // have other partitions take over. What it returns, the replica will have in time.
        primary.subscription(subscription_).fetch(consumer_, {.max_count = 1, .lease = options.lease});
        ask_again();
        return delivery;
    }
    // The higher fence is the newer one.
    if (delivery.fence > fence_of(delivery.partition)) ask(primary, options.lease);
    if (delivery.fence == fence_of(delivery.partition)) return delivery;
    primary.pause(REPLICATION);
    return {};
}

void ReplicaFeed::ask(Connection& primary, std::chrono::milliseconds lease) {
    fences_.clear();
    for (const PartitionLease& each : primary.subscription(subscription_).claim(consumer_, lease))
        fences_[each.partition] = each.fence;
    ask_at_ = Clock::now() + lease / 4;
}

// Of a partition that it has no lease of, above all others.
std::int64_t ReplicaFeed::fence_of(int partition) const {
    const auto fence = fences_.find(partition);
    return fence == fences_.end() ? std::numeric_limits<std::int64_t>::max() : fence->second;
}

}  // namespace tidemark::detail
