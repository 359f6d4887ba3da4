#include <tidemark/subscription_runner.hpp>

#include "consumer.hpp"

namespace tidemark {

RunnerMetrics SubscriptionRunner::run(std::stop_token stop) { return detail::Consumer(*this, std::move(stop)).run(); }

void SubscriptionRunner::check() const {
    const auto require = [](bool holds, const char* what) {
        if (!holds) throw usage_error(std::string("a runner needs ") + what);
    };
    require(!options_.subscription.empty(), "a subscription");
    require(options_.batch_size >= 1, "room for an event at least in a batch");
    require(options_.wait.count() >= 1 && options_.wait <= std::chrono::minutes(1), "a wait of a minute at most");
    require(options_.lease.count() >= 1, "a lease that takes some time");
    require(options_.grace.count() >= 1, "some grace");
    require(options_.on_error.retries >= 0 && options_.on_error.first_delay.count() >= 0 &&
                options_.on_error.max_delay.count() >= 0 && options_.reconnect_first_delay.count() >= 0 &&
                options_.reconnect_max_delay.count() >= 0,
            "retries and delays of zero or more");
}

}  // namespace tidemark
