#include "lease_keeper.hpp"

#include <condition_variable>
#include <mutex>
#include <utility>

#include <tidemark/subscription.hpp>

namespace tidemark::detail {

LeaseKeeper::LeaseKeeper(ConnectionOptions options, std::string subscription, std::string consumer,
                         std::chrono::milliseconds lease)
    : subscription_(std::move(subscription)),
      consumer_(std::move(consumer)),
      lease_(lease),
      thread_([this, options = std::move(options)](std::stop_token stop) { keep(std::move(stop), options); }) {}

// Renews in time, as fetch() leaves half of a lease at least. A renewal that fails is tried again; whether the lease
// was lost over it, the acknowledgement tells.
void LeaseKeeper::keep(std::stop_token stop, ConnectionOptions options) const {
    options.timeout = options.connect_timeout = lease_;
    options.on_notice = {};  // it is not made to be called by two threads
    Connection connection(std::move(options));
    connection.set_stop_token(stop);
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    for (std::uint64_t seen = 0;;) {
        never.wait_for(lock, stop, lease_ / 6, [] { return false; });
        if (stop.stop_requested()) return;
        const auto work = work_.load();
        if (work == std::exchange(seen, work) && work != 0) {
            try {
                connection.subscription(subscription_).claim(consumer_, lease_, false);
            } catch (const error&) {
            }
        }
    }
}

}  // namespace tidemark::detail
