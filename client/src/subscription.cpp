#include <tidemark/subscription.hpp>

#include "binary.hpp"
#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

namespace {

PartitionStatus to_status(const PGresult* result, int row) {
    PartitionStatus status = {
        .partition = int_at(result, row, 0),
        .checkpoint = integer_at(result, row, 1),
        .backlog = integer_at(result, row, 2),
        .backlog_is_exact = integer_at(result, row, 3) != 0,
        .oldest_undelivered_at = time_or_null(result, row, 4),
        .oldest_undelivered_age = optional_at<std::chrono::microseconds>(integer_at, result, row, 5),
        .consumer = text_or_null(result, row, 6),
        .lease_until = time_or_null(result, row, 7),
        .fence = integer_at(result, row, 8),
        .is_leased = integer_at(result, row, 9) != 0,
        .acked_at = time_or_null(result, row, 10),
        .failure = {},
        .parked = integer_at(result, row, 16),
        .partitions = int_at(result, row, 17),
        .next_partitions = optional_at<int>(int_at, result, row, 18),
    };
    if (const auto failed_at = time_or_null(result, row, 11))
        status.failure = {*failed_at, integer_at(result, row, 12), int_at(result, row, 13),
                          time_or_null(result, row, 14), text_at(result, row, 15)};
    return status;
}

// The answer of one value.
std::int64_t value_of(const Result& result) { return integer_at(result.get(), 0, 0); }

}  // namespace

Subscription Operations::subscription(std::string name) { return {*this, std::move(name)}; }

bool Subscription::create(const SubscriptionDefinition& definition) {
    const EventFilter& filter = definition.filter;
    const Parameter parameters[] = {
        name_, filter.category, filter.types, filter.stream_prefix, definition.start.text(), definition.partitions};
    return value_of(session().call(session().statements().create_subscription, parameters)) != 0;
}

bool Subscription::drop() {
    const Parameter parameters[] = {name_};
    return value_of(session().call(session().statements().drop_subscription, parameters)) != 0;
}

void Subscription::set_partitions(int partitions) {
    const Parameter parameters[] = {name_, partitions};
    session().call(session().statements().set_partitions, parameters);
}

void Subscription::reset(std::int64_t position) {
    const Parameter parameters[] = {name_, position};
    session().call(session().statements().reset_subscription, parameters);
}

Delivery Subscription::fetch(std::string_view consumer, const FetchOptions& options) {
    const Parameter parameters[] = {name_, consumer, options.max_count, interval(options.wait),
                                    interval(options.lease)};
    const Result result = session().call(session().statements().fetch, parameters);
    if (PQntuples(result.get()) == 0) return {};
    return {.events = to_events(result.get()),
            .partition = int_at(result.get(), 0, 10),
            .fence = integer_at(result.get(), 0, 11),
            .redelivered = integer_at(result.get(), 0, 12) != 0};
}

std::vector<PartitionLease> Subscription::claim(std::string_view consumer, std::chrono::milliseconds lease,
                                                bool rebalance) {
    const Parameter parameters[] = {name_, consumer, interval(lease), rebalance};
    return rows_of<PartitionLease>(
        session().call(session().statements().claim, parameters).get(), [](const PGresult* result, int row) {
            return PartitionLease{int_at(result, row, 0), integer_at(result, row, 1), integer_at(result, row, 2),
                                  timestamp_at(result, row, 3), time_or_null(result, row, 4)};
        });
}

int Subscription::release(std::string_view consumer) {
    const Parameter parameters[] = {name_, consumer};
    return static_cast<int>(value_of(session().call(session().statements().release, parameters)));
}

std::int64_t Subscription::ack(std::int64_t position, std::int64_t fence) {
    const Parameter parameters[] = {name_, position, fence};
    return value_of(session().call(session().statements().ack, parameters));
}

std::int64_t Subscription::ack(const Delivery& delivery) {
    if (delivery.events.empty()) throw usage_error("there is nothing in the delivery to acknowledge");
    if (!delivery.redelivered) return ack(delivery.events.back().position, delivery.fence);
    // They lie below the checkpoint, which says nothing of them.
    std::int64_t fence = delivery.fence;
    for (const Event& event : delivery.events) fence = ack(event.position, fence);
    return fence;
}

int Subscription::fail(std::int64_t position, std::int64_t fence, std::string_view error,
                       std::optional<std::chrono::milliseconds> retry_after) {
    const Parameter parameters[] = {name_, position, fence, error,
                                    retry_after ? interval(*retry_after) : Parameter(std::nullopt)};
    return static_cast<int>(value_of(session().call(session().statements().fail, parameters)));
}

std::int64_t Subscription::park(std::int64_t position, std::int64_t fence, std::optional<std::string_view> reason) {
    const Parameter parameters[] = {name_, position, fence, nullable(reason)};
    return value_of(session().call(session().statements().park, parameters));
}

std::vector<ParkedEvent> Subscription::parked() {
    const Parameter parameters[] = {name_};
    return rows_of<ParkedEvent>(
        session().call(session().statements().parked, parameters).get(), [](const PGresult* result, int row) {
            return ParkedEvent{text_at(result, row, 0),      integer_at(result, row, 1),     text_at(result, row, 2),
                               text_or_null(result, row, 3), timestamp_at(result, row, 4),   int_at(result, row, 5),
                               integer_at(result, row, 6),   integer_at(result, row, 7) != 0};
        });
}

bool Subscription::unpark(std::int64_t position, bool redeliver) {
    const Parameter parameters[] = {name_, position, redeliver};
    return value_of(session().call(session().statements().unpark, parameters)) != 0;
}

void Subscription::wait_for(std::int64_t position, std::chrono::milliseconds timeout) {
    const Parameter parameters[] = {name_, position, interval(timeout)};
    session().call(session().statements().wait_for, parameters);
}

std::vector<PartitionStatus> Subscription::status() {
    const Parameter parameters[] = {name_};
    return rows_of<PartitionStatus>(session().call(session().statements().status, parameters).get(), to_status);
}

int Subscription::partition_of(Operations& log, std::string_view stream, int partitions) {
    Session& session = log.session();
    const Parameter parameters[] = {stream, partitions};
    return static_cast<int>(value_of(session.call(session.statements().partition_of, parameters)));
}

}  // namespace tidemark
