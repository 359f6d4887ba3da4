// Connections shared by threads: at most so many, opened when they are needed, checked before they are handed out.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <stop_token>
#include <utility>

#include <tidemark/connection.hpp>

namespace tidemark {

struct PoolOptions {
    std::size_t max_size = 10;
    // A connection that was idle for longer is asked whether it is alive before it is handed out.
    std::chrono::milliseconds check_after{30'000};
    // How long acquire() waits for a connection to come back; zero: for ever.
    std::chrono::milliseconds acquire_timeout{30'000};
};

// Every member function may be called from any thread. The pool must outlive what it has lent.
class Pool {
  public:
    // A connection that is one's own until the lease ends; it goes back then, without a stop token and with the pool's
    // timeout.
    class Lease {
      public:
        Lease(Lease&& other) noexcept;
        Lease& operator=(Lease&&) = delete;
        ~Lease();

        Connection& operator*() { return connection_; }
        Connection* operator->() { return &connection_; }

      private:
        friend class Pool;
        Lease(Pool& pool, Connection connection) : pool_(&pool), connection_(std::move(connection)) {}

        Pool* pool_;
        Connection connection_;
    };

    explicit Pool(ConnectionOptions options, PoolOptions pool_options = {});
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // Throws cancelled where none came back in time, or the token was triggered.
    Lease acquire(std::stop_token stop = {});

    // Runs body(connection) with a connection of the pool.
    template <typename Body>
    decltype(auto) with(Body&& body) {
        Lease lease = acquire();
        return body(*lease);
    }

    // How many connections are lent.
    std::size_t in_use() const;

  private:
    using Clock = std::chrono::steady_clock;
    struct Idle {
        Connection connection;
        Clock::time_point since;
    };

    void give_back(Connection connection) noexcept;

    const ConnectionOptions options_;
    const PoolOptions pool_options_;
    mutable std::mutex mutex_;
    std::condition_variable_any returned_;
    std::deque<Idle> idle_;  // the last one used is the next one used
    std::size_t in_use_ = 0;
};

}  // namespace tidemark
