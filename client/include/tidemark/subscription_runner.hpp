// The loop of a consumer: fetch, handle, acknowledge, until it is told to stop.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

#include <tidemark/connection.hpp>
#include <tidemark/event.hpp>
#include <tidemark/transaction.hpp>

namespace tidemark {

namespace detail {
class Consumer;
}

// What becomes of an event at which its handler throws, when it is handed over alone: it is handled again so many
// times, and then, or at once, the runner stops, or sets the event aside and goes on.
struct ErrorStrategy {
    enum class Last { stop, park };
    static constexpr int FOR_EVER = std::numeric_limits<int>::max();

    Last last = Last::stop;
    int retries = 0;
    // Before the first retry; doubled before each further one. The server keeps count and time, so that they outlive
    // the runner; the subscription's other partitions go on meanwhile.
    std::chrono::milliseconds first_delay{1'000};
    std::chrono::milliseconds max_delay{300'000};
};

// What a runner has done since it began.
struct RunnerMetrics {
    std::int64_t events = 0;    // handled and acknowledged
    std::int64_t batches = 0;   // all events of which were
    std::int64_t failures = 0;  // that the handler was to blame for
    std::int64_t parked = 0;
    std::int64_t leases_lost = 0;  // before what was handled under them was acknowledged
    std::int64_t reconnects = 0;   // to the server, tried after it was lost
    std::int64_t last_position = 0;
    // From when the last event was recorded until it was acknowledged, by this machine's clock.
    std::chrono::milliseconds lag{0};
    std::string problem{};  // what the last of the failures, lost leases and lost connections said
};

struct RunnerOptions {
    ConnectionOptions connection{};
    std::string subscription{};
    // Where events are read from, if not from there: a replica. Leases and acknowledgements stay with `connection`.
    std::optional<ConnectionOptions> read_from{};
    // What the consumer's name begins with, that status() shows; the runner adds what makes it unique.
    std::string consumer = "runner";
    int batch_size = 100;
    // How long a call of fetch() may wait for events; and how long one may take that has nothing to wait for, where the
    // connection has no timeout.
    std::chrono::milliseconds wait{10'000};
    std::chrono::milliseconds grace{30'000};
    // After a crash another consumer takes over when this has passed. While a handler is at work its lease is renewed.
    std::chrono::milliseconds lease{30'000};
    ErrorStrategy on_error{};
    // Before it connects again; doubled each time that it could not.
    std::chrono::milliseconds reconnect_first_delay{100};
    std::chrono::milliseconds reconnect_max_delay{10'000};
    // Called by the runner's thread after every batch, failure, lost lease and lost connection. What it throws is
    // dropped.
    std::function<void(const RunnerMetrics&)> on_metrics{};
};

// Hands the events of a subscription to a handler, which takes them one by one or in batches, and with a transaction or
// without:
//
//     [](Transaction& transaction, const Event& event) { … }
//     [](Transaction& transaction, std::span<const Event> events) { … }
//     [](const Event& event) { … }
//     [](std::span<const Event> events) { … }
//
// With a transaction, events are acknowledged in it when the handler returns: what the handler does by it happens
// exactly once. A batch is one transaction. Without, events are acknowledged after the handler has returned, so after
// a crash or a lost lease some are handled again: at least once.
//
// A handler that throws has failed. A batch that fails is handed over again event by event, so that ErrorStrategy
// meets the one event that is to blame. What fails by a conflict with others (TM001, serialization, deadlock) is tried
// thrice more at once. Lost connections and servers that restart or fail over are waited for; where conninfo has
// several hosts, add target_session_attrs=read-write. A lease that is lost drops the batch: whoever has it now goes
// on.
//
// For one thread at a time. Subscriptions with several partitions are shared out among their consumers: run as many.
class SubscriptionRunner {
  public:
    // Throws usage_error for options that cannot be.
    template <typename Handler>
    SubscriptionRunner(RunnerOptions options, Handler handler) : options_(std::move(options)) {
        constexpr bool batch = std::invocable<Handler&, std::span<const Event>>;
        constexpr bool event = std::invocable<Handler&, const Event&>;
        constexpr bool batch_in_transaction = std::invocable<Handler&, Transaction&, std::span<const Event>>;
        constexpr bool event_in_transaction = std::invocable<Handler&, Transaction&, const Event&>;
        static_assert(batch + event + batch_in_transaction + event_in_transaction == 1,
                      "a handler takes an Event or a span of them, after a Transaction or alone");
        exactly_once_ = batch_in_transaction || event_in_transaction;
        by_event_ = event || event_in_transaction;
        handler_ = [handler = std::move(handler)](Transaction* transaction, std::span<const Event> events) mutable {
            if constexpr (batch_in_transaction) {
                handler(*transaction, events);
            } else if constexpr (event_in_transaction) {
                for (const Event& each : events) handler(*transaction, each);
            } else if constexpr (batch) {
                handler(events);
            } else {
                for (const Event& each : events) handler(each);
            }
        };
        check();
    }

    // Runs until the token is triggered; finishes then what the handler has been given, and gives the leases back.
    // Throws what the handler threw, where the strategy is to stop, and server_error for what no waiting mends: no
    // such subscription (TM005), no rights, …
    RunnerMetrics run(std::stop_token stop);

    bool is_exactly_once() const { return exactly_once_; }
    const RunnerOptions& options() const { return options_; }

  private:
    friend class detail::Consumer;
    void check() const;

    RunnerOptions options_;
    std::function<void(Transaction*, std::span<const Event>)> handler_;
    bool exactly_once_ = false;
    bool by_event_ = false;
};

}  // namespace tidemark
