// Renews the leases of a consumer while its handler is at work.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <thread>

#include <tidemark/connection.hpp>

namespace tidemark::detail {

// Works in a thread and on a connection of its own, which is opened when a handler first takes longer than a sixth of
// the lease.
class LeaseKeeper {
  public:
    // A handler is at work within its life.
    class Work {
      public:
        explicit Work(LeaseKeeper& keeper) : keeper_(keeper) { keeper.work_ = ++keeper.works_; }
        ~Work() { keeper_.work_ = 0; }
        Work(const Work&) = delete;
        Work& operator=(const Work&) = delete;

      private:
        LeaseKeeper& keeper_;
    };

    LeaseKeeper(ConnectionOptions options, std::string subscription, std::string consumer,
                std::chrono::milliseconds lease);

  private:
    void keep(std::stop_token stop, ConnectionOptions options) const;

    const std::string subscription_, consumer_;
    const std::chrono::milliseconds lease_;
    std::uint64_t works_ = 0;
    std::atomic<std::uint64_t> work_{0};  // the number of the one in progress; 0: none is
    std::jthread thread_;                 // the last, as it uses the others
};

}  // namespace tidemark::detail
