#include <tidemark/pool.hpp>

namespace tidemark {

Pool::Pool(ConnectionOptions options, PoolOptions pool_options)
    : options_(std::move(options)), pool_options_(pool_options) {
    if (pool_options_.max_size == 0) throw usage_error("a pool needs room for a connection at least");
}

Pool::Lease Pool::acquire(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    const auto has_room = [&] { return in_use_ < pool_options_.max_size; };
    const bool waits_for_ever = pool_options_.acquire_timeout.count() == 0;
    if (!(waits_for_ever ? returned_.wait(lock, stop, has_room)
                         : returned_.wait_for(lock, stop, pool_options_.acquire_timeout, has_room)))
        throw cancelled("no connection came back to the pool in time", "57014");
    in_use_++;
    if (idle_.empty()) {
        lock.unlock();
        return Lease(*this, Connection(options_));
    }
    Idle idle = std::move(idle_.back());
    idle_.pop_back();
    lock.unlock();
    Lease lease(*this, std::move(idle.connection));
    // One that does not answer opens a new session at its first call.
    if (Clock::now() - idle.since > pool_options_.check_after && !lease->is_alive()) lease->close();
    return lease;
}

void Pool::give_back(Connection connection) noexcept {
    try {
        // What somebody has left open ends with its session.
        if (connection.in_transaction()) connection = Connection(options_);
        connection.set_timeout(options_.timeout);
        connection.set_stop_token({});
        const std::lock_guard lock(mutex_);
        in_use_--;
        idle_.push_back({std::move(connection), Clock::now()});
    } catch (const std::exception&) {
        const std::lock_guard lock(mutex_);
        in_use_--;
    }
    returned_.notify_one();
}

std::size_t Pool::in_use() const {
    const std::lock_guard lock(mutex_);
    return in_use_;
}

Pool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}

Pool::Lease::~Lease() {
    if (pool_) pool_->give_back(std::move(connection_));
}

}  // namespace tidemark
