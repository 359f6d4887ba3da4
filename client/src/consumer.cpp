#include "consumer.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "backoff.hpp"
#include "recovery.hpp"

namespace tidemark::detail {

namespace {

constexpr std::string_view HELD_BY_ANOTHER = "55P03";
// How often what failed by a conflict with others is tried again at once.
constexpr int REPETITIONS = 3;
constexpr std::size_t LONGEST_ERROR = 2'000;

std::string unique_name(const std::string& prefix) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    return prefix + "@" + host.data() + ":" + std::to_string(::getpid()) + ":" + Uuid::make().to_string().substr(24);
}

bool is_conflict(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const wrong_expected_version&) {
        return true;
    } catch (const server_error& problem) {
        return problem.sqlstate().starts_with("40");
    } catch (...) {
        return false;
    }
}

// In UTF-8, whatever it was in.
std::string message_of(const std::exception_ptr& failure) {
    std::string message = "unknown";
    try {
        std::rethrow_exception(failure);
    } catch (const error& problem) {
        message = problem.what() + (problem.detail().empty() ? "" : ": " + problem.detail());
    } catch (const std::exception& problem) {
        message = problem.what();
    } catch (...) {
    }
    message = json(message.substr(0, LONGEST_ERROR)).dump(-1, ' ', false, json::error_handler_t::replace);
    return json::parse(message).get<std::string>();
}

}  // namespace

Consumer::Consumer(const SubscriptionRunner& runner, std::stop_token stop)
    : runner_(runner),
      options_(runner.options_),
      stop_(std::move(stop)),
      name_(unique_name(options_.consumer)),
      primary_(options_.connection),
      keeper_(options_.connection, options_.subscription, name_, options_.lease) {
    if (options_.read_from) replica_.emplace(*options_.read_from, options_.subscription, name_);
}

RunnerMetrics Consumer::run() {
    std::exception_ptr end;
    while (!end && !stop_.stop_requested()) {
        try {
            Delivery delivery = next();
            if (!delivery.events.empty()) end = work_off(delivery);
            failures_to_connect_ = 0;
        } catch (const error& problem) {
            // What is to be done of the delivery comes again.
            if (dynamic_cast<const lease_lost*>(&problem)) {
                metrics_.leases_lost++;
                report(problem.what());
            } else if (is_passing(problem)) {
                recover(problem);
            } else {
                end = std::current_exception();
            }
            if (replica_) replica_->ask_again();
        }
    }
    release();
    if (end) std::rethrow_exception(end);
    return metrics_;
}

Delivery Consumer::next() {
    const auto timeout = options_.connection.timeout;
    const auto patience = options_.wait + (timeout.count() > 0 ? timeout : options_.grace);
    const FetchOptions how = {options_.batch_size, options_.wait, options_.lease};
    try {
        const Waiting waiting(primary_, stop_, patience, timeout);
        if (!replica_) return subscription().fetch(name_, how);
        const Waiting for_replica(replica_->connection(), stop_, patience, timeout);
        return replica_->next(primary_, how);
    } catch (const cancelled&) {
        if (!stop_.stop_requested()) throw;
        return {};
    } catch (const server_error& refused) {
        if (refused.sqlstate() != HELD_BY_ANOTHER) throw;
        return {};  // it has waited for the lease, and does so again
    }
}

std::exception_ptr Consumer::work_off(Delivery& delivery) {
    const LeaseKeeper::Work work(keeper_);
    const std::span<const Event> events = delivery.events;
    const bool is_suspect = suspects_[delivery.partition].position == events.front().position;
    const bool acknowledges_later = runner_.by_event_ && !runner_.exactly_once_;
    if (!is_suspect && !delivery.redelivered && !acknowledges_later && events.size() > 1 &&
        !attempt(delivery, events)) {
        if (!runner_.exactly_once_) acknowledge(delivery, events);
        metrics_.batches++;
        report();
        return nullptr;
    }
    return work_off_singly(delivery);
}

// Without a transaction, acknowledges what was handled in the end, at a failure, or when it is to stop; but those
// redelivered each by itself.
std::exception_ptr Consumer::work_off_singly(Delivery& delivery) {
    std::span<const Event> left = delivery.events;
    std::size_t handled = 0;
    const auto acknowledge_handled = [&] {
        if (handled == 0) return;
        if (!runner_.exactly_once_) acknowledge(delivery, left.first(handled));
        left = left.subspan(handled);
        handled = 0;
    };
    while (handled < left.size()) {
        const Event& event = left[handled];
        if (auto failure = attempt(delivery, std::span(&event, 1))) {
            acknowledge_handled();
            return blame(delivery, event, std::move(failure));
        }
        handled++;
        if (runner_.exactly_once_ || delivery.redelivered) acknowledge_handled();
        if (stop_.stop_requested()) break;
    }
    acknowledge_handled();
    metrics_.batches += left.empty();
    report();
    return nullptr;
}

std::exception_ptr Consumer::attempt(Delivery& delivery, std::span<const Event> events) {
    for (int left = REPETITIONS;; left--) {
        auto failure = runner_.exactly_once_ ? handle_in_transaction(delivery, events) : handle(events);
        if (!failure || left == 0 || !is_conflict(failure) || stop_.stop_requested()) return failure;
    }
}

std::exception_ptr Consumer::handle(std::span<const Event> events) {
    try {
        runner_.handler_(nullptr, events);
        return nullptr;
    } catch (...) {
        return std::current_exception();
    }
}

std::exception_ptr Consumer::handle_in_transaction(Delivery& delivery, std::span<const Event> events) {
    Transaction transaction = primary_.begin();
    try {
        runner_.handler_(&transaction, events);
    } catch (...) {
        auto failure = std::current_exception();
        // Of a connection that was lost the event is not to blame.
        if (!primary_.is_alive()) throw connection_lost("the connection was lost while a handler used it");
        return failure;
    }
    try {
        const auto fence = transaction.subscription(options_.subscription).ack(events.back().position, delivery.fence);
        transaction.commit();
        note_acknowledged(delivery, events, fence);
        return nullptr;
    } catch (const lease_lost&) {
        throw;
    } catch (const cancelled&) {
        throw;
    } catch (const server_error&) {
        // The handler has left a transaction that had failed, or what a deferred constraint refuses.
        return std::current_exception();
    }
}

void Consumer::acknowledge(Delivery& delivery, std::span<const Event> events) {
    note_acknowledged(delivery, events, subscription().ack(events.back().position, delivery.fence));
}

void Consumer::note_acknowledged(Delivery& delivery, std::span<const Event> events, std::int64_t fence) {
    const Event& last = events.back();
    delivery.fence = fence;
    if (replica_) replica_->note_fence(delivery.partition, fence);
    suspects_.erase(delivery.partition);
    metrics_.events += static_cast<std::int64_t>(events.size());
    metrics_.last_position = last.position;
    const auto lag = std::chrono::system_clock::now() - last.recorded_at;
    metrics_.lag = std::max(std::chrono::milliseconds(0), std::chrono::floor<std::chrono::milliseconds>(lag));
}

std::exception_ptr Consumer::blame(const Delivery& delivery, const Event& event, std::exception_ptr failure) {
    // Perhaps it failed because it was stopped; perhaps because the effect is there already, of a commit in doubt.
    if (stop_.stop_requested()) return nullptr;
    if (!still_has(delivery)) throw lease_lost("the lease was lost while a handler failed", "TM004");
    const ErrorStrategy& strategy = options_.on_error;
    const std::string message = message_of(failure);
    metrics_.failures++;
    const bool parks = strategy.last == ErrorStrategy::Last::park;
    Suspect& suspect = suspects_[delivery.partition];
    if (suspect.position != event.position) suspect = {event.position, 0};
    bool is_last = suspect.attempts >= strategy.retries;
    if (!is_last || !parks) {
        const auto delay = delay_after(suspect.attempts + 1, strategy.first_delay, strategy.max_delay);
        suspect.attempts =
            subscription().fail(event.position, delivery.fence, message, is_last ? std::nullopt : std::optional(delay));
        is_last = suspect.attempts > strategy.retries;  // others may have tried before
    }
    if (is_last && parks) park(delivery, event, message);
    report(message);
    return is_last && !parks ? failure : nullptr;
}

void Consumer::park(const Delivery& delivery, const Event& event, const std::string& reason) {
    const auto fence = subscription().park(event.position, delivery.fence, reason);
    if (replica_) replica_->note_fence(delivery.partition, fence);
    metrics_.parked++;
    suspects_.erase(delivery.partition);
}

// Whether the lease is the consumer's, and the delivery not acknowledged.
bool Consumer::still_has(const Delivery& delivery) {
    const auto leases = subscription().claim(name_, options_.lease, false);
    return std::any_of(leases.begin(), leases.end(), [&](const PartitionLease& lease) {
        return lease.partition == delivery.partition && lease.fence == delivery.fence;
    });
}

void Consumer::recover(const error& problem) {
    primary_.close();
    if (replica_) replica_->connection().close();
    metrics_.reconnects++;
    report(problem.what());
    rest(primary_, stop_,
         random_delay_after(++failures_to_connect_, options_.reconnect_first_delay, options_.reconnect_max_delay));
}

// A lease that cannot be given back expires.
void Consumer::release() noexcept {
    for (int left = REPETITIONS; left > 0; left--) {
        try {
            primary_.set_timeout(std::chrono::seconds(5));
            subscription().release(name_);
            return;
        } catch (const connection_lost&) {
            primary_.close();
        } catch (const error&) {
            return;
        }
    }
}

void Consumer::report(std::string problem) noexcept {
    if (!problem.empty()) metrics_.problem = std::move(problem);
    try {
        if (options_.on_metrics) options_.on_metrics(metrics_);
    } catch (...) {
    }
}

}  // namespace tidemark::detail
