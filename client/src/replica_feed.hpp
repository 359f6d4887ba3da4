// Events from a replica, for a consumer whose leases are on the primary.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <stop_token>
#include <string>

#include <tidemark/connection.hpp>
#include <tidemark/subscription.hpp>

namespace tidemark::detail {

// The replica hears of leases and acknowledgements a moment later than the primary. What it offers out of date has an
// old fence, and is left out.
class ReplicaFeed {
  public:
    ReplicaFeed(ConnectionOptions replica, std::string subscription, std::string consumer)
        : replica_(std::move(replica)), subscription_(std::move(subscription)), consumer_(std::move(consumer)) {}

    Delivery next(Connection& primary, FetchOptions options);

    // What the consumer has acknowledged at the primary has raised the fence.
    void note_fence(int partition, std::int64_t fence) { fences_[partition] = fence; }
    // The leases may be others now.
    void ask_again() { ask_at_ = {}; }

    Connection& connection() { return replica_; }

  private:
    using Clock = std::chrono::steady_clock;

    void ask(Connection& primary, std::chrono::milliseconds lease);
    std::int64_t fence_of(int partition) const;

    Connection replica_;
    const std::string subscription_, consumer_;
    std::map<int, std::int64_t> fences_;  // of the leases, by partition
    Clock::time_point ask_at_{};
};

}  // namespace tidemark::detail
