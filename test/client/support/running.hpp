// Runners at work, and what they are to do in tests.
#pragma once

#include <future>
#include <stop_token>
#include <string>
#include <utility>

#include <tidemark/tidemark.hpp>

#include "expect.hpp"

namespace tidemark::test {

// A runner at work in a thread of its own.
class Running {
  public:
    template <typename Handler>
    Running(RunnerOptions options, Handler handler)
        : result_(std::async(std::launch::async,
                             [this, runner = SubscriptionRunner(std::move(options), handler)]() mutable {
                                 return runner.run(stop_.get_token());
                             })) {}
    ~Running() { stop_.request_stop(); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    void request_stop() { stop_.request_stop(); }
    // Stops it, and returns what run() returns, or throws what that throws.
    RunnerMetrics stop() {
        request_stop();
        return end();
    }
    // Waits for its end.
    RunnerMetrics end() { return result_.get(); }

  private:
    std::stop_source stop_;
    std::future<RunnerMetrics> result_;
};

// Of a subscription named "all"; quick in all that it waits for.
inline RunnerOptions quick_options(const std::string& conninfo) {
    return {.connection = {.conninfo = conninfo},
            .subscription = "all",
            .reconnect_first_delay = std::chrono::milliseconds(1),
            .reconnect_max_delay = std::chrono::milliseconds(50)};
}

// A read model: the positions of the events that were handled, each of which can be there once.
inline void create_effects(Connection& log) {
    log.execute("CREATE TABLE effects (number serial, position bigint PRIMARY KEY)");
}
inline void take_effect(Transaction& transaction, const Event& event) {
    transaction.execute("INSERT INTO effects (position) VALUES ($1)", event.position);
}
// Whether it comes to have so many.
inline bool come_to_be(Connection& log, int count) {
    return eventually([&] { return log.execute("SELECT count(*) FROM effects").get<int>(0, 0) == count; });
}
// Whether it has every event of the log, and has come by those of each stream in order.
inline bool equals_log(Connection& log) {
    return log
        .execute(
            "SELECT count(*) = count(number) AND bool_and(number > before OR before IS NULL) FROM "
            "(SELECT number, lag(number) OVER (PARTITION BY stream_id ORDER BY version) AS before "
            "FROM es_events LEFT JOIN effects USING (position)) AS each")
        .get<bool>(0, 0);
}

}  // namespace tidemark::test
