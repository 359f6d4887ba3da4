// Subscriptions: named cursors over the log that the server keeps, each with one partition or more, and the leases
// under which consumers move them on. SubscriptionRunner has the loop that most consumers want.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tidemark/event.hpp>
#include <tidemark/operations.hpp>

namespace tidemark {

// After which position a new subscription begins.
class SubscriptionStart {
  public:
    constexpr SubscriptionStart(std::int64_t position) : position_(position) {}  // NOLINT: meant to convert

    static constexpr SubscriptionStart beginning() { return {0}; }
    static constexpr SubscriptionStart end() { return {END}; }  // the safe position, when it is created

    // As the SQL function takes it.
    std::string text() const { return position_ == END ? "end" : std::to_string(position_); }

  private:
    static constexpr std::int64_t END = std::numeric_limits<std::int64_t>::min();
    std::int64_t position_;
};

// What a subscription consists of. A stream's events are in one partition, in order.
struct SubscriptionDefinition {
    EventFilter filter{};
    SubscriptionStart start = SubscriptionStart::beginning();
    int partitions = 1;
};

struct FetchOptions {
    std::int64_t max_count = 100;
    std::chrono::milliseconds wait{0};  // for events, or for the lease of the only partition
    std::chrono::milliseconds lease{30'000};
};

// What a consumer has to handle next: events of one partition, in position order.
struct Delivery {
    std::vector<Event> events;  // empty: there is nothing for this consumer
    int partition = 0;
    std::int64_t fence = 0;  // the number of the delivery, by which it is acknowledged once
    bool redelivered =
        false;  // they had been parked, or held behind a parked one: acknowledge each at its own position
};

struct PartitionLease {
    int partition;
    std::int64_t fence;
    std::int64_t checkpoint;  // all events up to it are done
    Timestamp lease_until;
    std::optional<Timestamp> retry_at;  // nothing of the partition is delivered before, as an event of it has failed
};

struct ParkedEvent {
    std::string stream;
    std::int64_t position;
    std::string type;
    std::optional<std::string> reason;
    Timestamp parked_at;
    int times;          // how often it was parked
    std::int64_t held;  // later events of the stream that wait behind it
    bool redelivering;
};

struct PartitionStatus {
    // Of the event that could not be handled last, as long as nothing was acknowledged after.
    struct Failure {
        Timestamp at;
        std::int64_t position;
        int attempts;
        std::optional<Timestamp> retry_at;
        std::string error;
    };

    int partition;
    std::int64_t checkpoint;
    std::int64_t backlog;   // events to be delivered yet; they are not counted any further than to 1,000,
    bool backlog_is_exact;  // and this says whether that was far enough
    std::optional<Timestamp> oldest_undelivered_at;
    std::optional<std::chrono::microseconds> oldest_undelivered_age;
    std::optional<std::string> consumer;
    std::optional<Timestamp> lease_until;
    std::int64_t fence;
    bool is_leased;
    std::optional<Timestamp> acked_at;
    std::optional<Failure> failure;
    std::int64_t parked;
    int partitions;
    std::optional<int> next_partitions;
};

// A subscription, by its name; whether there is one is seen by its calls, which throw server_error with TM005 where
// there is none. Comes from Connection::subscription() or Transaction::subscription(), and is used on that connection
// or in that transaction, which must live as long. Every call is one SQL call, and promises what that promises. On a
// connection those that change something throw commit_in_doubt where the answer is lost; status(), or the next
// fetch(), tells what became of them.
class Subscription {
  public:
    Subscription(Operations& log, std::string name) : log_(&log), name_(std::move(name)) {}

    const std::string& name() const { return name_; }

    // False where it is there already with the same definition; whatever its start was. Throws server_error with 42710
    // where it is there with another one.
    bool create(const SubscriptionDefinition& definition = {});
    // False where there is none. Waits for acknowledgements in progress.
    bool drop();
    // Nothing is lost, reordered or delivered twice by it; deliveries in flight become void.
    void set_partitions(int partitions);
    // Moves all checkpoints to a position, forward or back. Deliveries in flight become void, parked events above the
    // position come again.
    void reset(std::int64_t position);

    // The next events of one of the consumer's partitions, after taking or renewing its leases. Each life of a process
    // should be a consumer of its own. Throws server_error with 55P03 where another consumer holds the only partition.
    // On a replica it takes no leases; the consumer must have them by claim() on the primary.
    Delivery fetch(std::string_view consumer, const FetchOptions& options = {});
    // The leases alone, without waiting: those that the consumer has now. Without rebalance it is given no other ones.
    std::vector<PartitionLease> claim(std::string_view consumer,
                                      std::chrono::milliseconds lease = std::chrono::milliseconds(30'000),
                                      bool rebalance = true);
    // Gives all leases of the consumer back, and returns how many that were.
    int release(std::string_view consumer);

    // The events up to that position are done. In the transaction that has the effects of the events, these happen
    // exactly once. Returns the partition's new fence, by which the rest of the delivery is acknowledged. Throws
    // lease_lost where the fence is out of date: another consumer has taken over, or the events were acknowledged
    // already; nothing has changed then.
    std::int64_t ack(std::int64_t position, std::int64_t fence);
    // All of it.
    std::int64_t ack(const Delivery& delivery);
    // The event at the position could not be handled, and status() says so until something is acknowledged. With
    // retry_after the partition rests until then; without, wait_for() fails. Returns how often in a row it was that
    // event.
    int fail(std::int64_t position, std::int64_t fence, std::string_view error,
             std::optional<std::chrono::milliseconds> retry_after = {});
    // As ack(), but the event is set aside, and later ones of its stream are held behind it. Returns the partition's
    // new fence: what else was delivered is void, fetch again.
    std::int64_t park(std::int64_t position, std::int64_t fence, std::optional<std::string_view> reason = {});

    std::vector<ParkedEvent> parked();
    // The parked event and those held behind it are delivered again; or without redeliver, only those behind it. False
    // where none is parked at that position.
    bool unpark(std::int64_t position, bool redeliver = true);

    // Returns when all events up to the position are acknowledged or parked. Throws server_error: TM008 where that took
    // longer than the timeout, TM006 at once where an event has failed and is not to be tried again.
    void wait_for(std::int64_t position, std::chrono::milliseconds timeout = std::chrono::milliseconds(5'000));

    // Of each partition.
    std::vector<PartitionStatus> status();

    // Which of so many partitions the events of a stream are in, from 0.
    static int partition_of(Operations& log, std::string_view stream, int partitions);

  private:
    detail::Session& session() const { return log_->session(); }

    Operations* log_;
    std::string name_;
};

}  // namespace tidemark
