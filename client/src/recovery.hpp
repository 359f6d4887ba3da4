// What runners live through, and how they wait.
#pragma once

#include <chrono>
#include <stop_token>

#include <tidemark/connection.hpp>
#include <tidemark/error.hpp>

namespace tidemark::detail {

// Whether it passes by waiting, and connecting again: lost connections, timeouts, conflicts, a server that is out of
// resources or shuts down, or has become a replica.
bool is_passing(const error& problem);

// The connection heeds the token within its life, and its calls take so long at most.
class Waiting {
  public:
    Waiting(Connection& connection, const std::stop_token& stop, std::chrono::milliseconds timeout,
            std::chrono::milliseconds usual_timeout)
        : connection_(connection), usual_timeout_(usual_timeout) {
        connection.set_stop_token(stop);
        connection.set_timeout(timeout);
    }
    ~Waiting() {
        connection_.set_timeout(usual_timeout_);
        connection_.set_stop_token({});
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

  private:
    Connection& connection_;
    const std::chrono::milliseconds usual_timeout_;
};

// Sleeps, until the token is triggered at most.
void rest(Connection& connection, const std::stop_token& stop, std::chrono::milliseconds time);

}  // namespace tidemark::detail
