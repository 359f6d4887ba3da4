// One run of a SubscriptionRunner.
#pragma once

#include <exception>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include <tidemark/connection.hpp>
#include <tidemark/subscription.hpp>
#include <tidemark/subscription_runner.hpp>

#include "lease_keeper.hpp"
#include "replica_feed.hpp"

namespace tidemark::detail {

class Consumer {
  public:
    Consumer(const SubscriptionRunner& runner, std::stop_token stop);

    RunnerMetrics run();

  private:
    // An event that the handler has failed at, and how often in a row.
    struct Suspect {
        std::int64_t position = 0;
        int attempts = 0;
    };

    Subscription subscription() { return primary_.subscription(options_.subscription); }
    Delivery next();
    // These return null, or what the run ends with. Each acknowledgement gives what is left of a delivery a new fence.
    std::exception_ptr work_off(Delivery& delivery);
    std::exception_ptr work_off_singly(Delivery& delivery);
    std::exception_ptr blame(const Delivery& delivery, const Event& event, std::exception_ptr failure);
    // These return null, or what the handler has thrown.
    std::exception_ptr attempt(Delivery& delivery, std::span<const Event> events);
    std::exception_ptr handle(std::span<const Event> events);
    std::exception_ptr handle_in_transaction(Delivery& delivery, std::span<const Event> events);

    void acknowledge(Delivery& delivery, std::span<const Event> events);
    void note_acknowledged(Delivery& delivery, std::span<const Event> events, std::int64_t fence);
    void park(const Delivery& delivery, const Event& event, const std::string& reason);
    bool still_has(const Delivery& delivery);
    void recover(const error& problem);
    void release() noexcept;
    void report(std::string problem = {}) noexcept;

    const SubscriptionRunner& runner_;
    const RunnerOptions& options_;
    const std::stop_token stop_;
    const std::string name_;
    Connection primary_;
    std::optional<ReplicaFeed> replica_;
    LeaseKeeper keeper_;
    RunnerMetrics metrics_;
    std::map<int, Suspect> suspects_;  // by partition
    int failures_to_connect_ = 0;      // in a row
};

}  // namespace tidemark::detail
