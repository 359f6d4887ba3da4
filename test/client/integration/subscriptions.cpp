// The calls of subscriptions: each does what its SQL function does, on a connection and in a transaction.
#include <catch2/catch.hpp>

#include <set>

#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

using Positions = std::vector<std::int64_t>;

Positions positions_of(const Delivery& delivery) {
    Positions positions;
    for (const Event& each : delivery.events) positions.push_back(each.position);
    return positions;
}

}  // namespace

TEST_CASE("A subscription is made once, with a filter, a start and partitions, and dropped") {
    Database database;
    Connection log = database.connect();
    for (const char* stream : {"order-1", "stock-1", "order-2"}) log.append(stream, {event("Placed"), event("Paid")});
    Subscription orders = log.subscription("orders");
    CHECK(orders.name() == "orders");
    const SubscriptionDefinition definition = {.filter = {.category = "order", .types = {{"Paid", "it's \"odd\""}}}};
    CHECK(orders.create(definition));
    CHECK(!orders.create(definition));
    CHECK(state_of<server_error>([&] { orders.create({.filter = {.category = "stock"}}); }) == "42710");
    CHECK(state_of<server_error>([&] { log.subscription("x").create({.partitions = 0}); }) == "22023");
    CHECK(positions_of(orders.fetch("ann")) == Positions{2, 6});

    CHECK(log.subscription("prefix").create({.filter = {.stream_prefix = "order-2"}}));
    CHECK(positions_of(log.subscription("prefix").fetch("ann")) == Positions{5, 6});
    CHECK(log.subscription("late").create({.start = 4}));
    CHECK(positions_of(log.subscription("late").fetch("ann")) == Positions{5, 6});
    CHECK(log.subscription("new").create({.start = SubscriptionStart::end()}));
    CHECK(log.subscription("new").fetch("ann").events.empty());
    CHECK(log.subscription("shared").create({.partitions = 3}));
    CHECK(log.subscription("shared").status().size() == 3);

    CHECK(orders.drop());
    CHECK(!orders.drop());
    const auto unknown = [](auto call) { CHECK(state_of<server_error>(call) == "TM005"); };
    unknown([&] { orders.fetch("ann"); });
    unknown([&] { orders.claim("ann"); });
    unknown([&] { orders.wait_for(1); });
    unknown([&] { orders.set_partitions(2); });
    unknown([&] { orders.reset(0); });
    CHECK(orders.status().empty());
}

TEST_CASE("A delivery has events, partition and fence, and is acknowledged as a whole or up to a position") {
    Database database;
    Connection log = database.connect();
    log.append("a-1", {event("A", {{"number", 1}}), event("A"), event("A"), event("A")});
    Subscription all = log.subscription("all");
    all.create();
    const Delivery first = all.fetch("ann", {.max_count = 3});
    CHECK(positions_of(first) == Positions{1, 2, 3});
    CHECK(first.partition == 0);
    CHECK(first.fence > 0);
    CHECK(!first.redelivered);
    CHECK(first.events[0].stream == "a-1");
    CHECK(first.events[0].data()["number"] == 1);
    const auto second = all.ack(1, first.fence);
    CHECK(second > first.fence);
    CHECK(state_of<lease_lost>([&] { all.ack(2, first.fence); }) == "TM004");
    const auto third = all.ack(2, second);
    const Delivery rest = all.fetch("ann");
    CHECK(positions_of(rest) == Positions{3, 4});
    CHECK(rest.fence == third);
    CHECK(state_of<server_error>([&] { all.ack(2, third); }) == "TM009");
    CHECK(state_of<server_error>([&] { all.ack(1'000'000, third); }) == "22023");
    CHECK(all.ack(rest) > third);
    const Delivery nothing = all.fetch("ann");
    CHECK(nothing.events.empty());
    CHECK(state_of<usage_error>([&] { all.ack(nothing); }) == "TM000");
}

TEST_CASE("An acknowledgement in a transaction happens with it, or not at all") {
    Database database;
    Connection log = database.connect();
    log.append("a-1", {event("A"), event("A")});
    Subscription all = log.subscription("all");
    all.create();
    log.execute("CREATE TABLE effects (position bigint PRIMARY KEY)");
    const Delivery delivery = all.fetch("ann");
    {
        Transaction transaction = log.begin();
        transaction.execute("INSERT INTO effects VALUES ($1)", 2);
        transaction.subscription("all").ack(delivery);
    }
    CHECK(positions_of(all.fetch("ann")) == Positions{1, 2});
    log.transact([&](Transaction& transaction) {
        transaction.execute("INSERT INTO effects VALUES ($1)", 2);
        transaction.subscription("all").ack(delivery);
    });
    CHECK(all.fetch("ann").events.empty());
    CHECK(log.execute("SELECT FROM effects").size() == 1);
}

TEST_CASE("While one consumer holds the lease another is refused, and after it was given back the old fence is void") {
    Database database;
    Connection log = database.connect();
    log.append("a-1", {event("A"), event("A")});
    Subscription all = log.subscription("all");
    all.create();
    const Delivery old = all.fetch("ann", {.lease = 10s});
    const auto refused = thrown_by<server_error>([&] { all.fetch("bob", {.wait = 10ms}); });
    CHECK(refused.sqlstate() == "55P03");
    CHECK_THAT(refused.detail(), Catch::Contains("ann"));

    const auto leases = all.claim("ann", 1min);
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].partition == 0);
    CHECK(leases[0].fence == old.fence);
    CHECK(leases[0].checkpoint == 0);
    CHECK(!leases[0].retry_at);
    CHECK(leases[0].lease_until > std::chrono::system_clock::now() + 30s);
    CHECK(all.claim("bob", 1min, false).empty());

    CHECK(all.release("ann") == 1);
    CHECK(all.release("ann") == 0);
    const Delivery taken = all.fetch("bob");
    CHECK(taken.fence > old.fence);
    const auto lost = [](auto call) { CHECK(state_of<lease_lost>(call) == "TM004"); };
    lost([&] { all.ack(old); });
    lost([&] { all.fail(1, old.fence, "too late"); });
    lost([&] { all.park(1, old.fence); });
    lost([&] { log.transact([&](Transaction& transaction) { transaction.subscription("all").ack(old); }); });
    all.ack(taken);
}

TEST_CASE(
    "An event that failed is reported until something is acknowledged, and fails those who wait unless it is retried") {
    Database database;
    Connection log = database.connect();
    log.append("a-1", {event("A"), event("A")});
    Subscription all = log.subscription("all");
    all.create();
    CHECK(state_of<server_error>([&] { all.wait_for(2, 10ms); }) == "TM008");
    const Delivery delivery = all.fetch("ann");
    CHECK(all.fail(1, delivery.fence, "it is \"broken\"") == 1);
    CHECK(state_of<server_error>([&] { all.wait_for(2, 10s); }) == "TM006");
    CHECK(all.fail(1, delivery.fence, "still broken", 1h) == 2);
    CHECK(state_of<server_error>([&] { all.wait_for(2, 10ms); }) == "TM008");
    CHECK(all.fetch("ann").events.empty());
    const auto leases = all.claim("ann");
    REQUIRE(leases.size() == 1);
    REQUIRE(leases[0].retry_at);
    CHECK(*leases[0].retry_at > std::chrono::system_clock::now() + 30min);

    const auto failing = all.status().at(0);
    REQUIRE(failing.failure);
    CHECK(failing.failure->position == 1);
    CHECK(failing.failure->attempts == 2);
    CHECK(failing.failure->error == "still broken");
    CHECK(failing.failure->retry_at == leases[0].retry_at);
    CHECK(failing.failure->at < std::chrono::system_clock::now() + 1min);

    all.ack(2, delivery.fence);
    CHECK(!all.status().at(0).failure);
    CHECK_NOTHROW(all.wait_for(2));
}

TEST_CASE("The status tells of each partition where it is, who has it, and what is left") {
    Database database;
    Connection log = database.connect();
    log.append("a-1", {event("A"), event("A"), event("A")});
    Subscription all = log.subscription("all");
    all.create();
    const auto before = all.status();
    REQUIRE(before.size() == 1);
    CHECK(before[0].partition == 0);
    CHECK(before[0].checkpoint == 0);
    CHECK(before[0].backlog == 3);
    CHECK(before[0].backlog_is_exact);
    REQUIRE(before[0].oldest_undelivered_at);
    CHECK(*before[0].oldest_undelivered_at == log.read_after().begin()->recorded_at);
    REQUIRE(before[0].oldest_undelivered_age);
    CHECK(*before[0].oldest_undelivered_age > 0us);
    CHECK(*before[0].oldest_undelivered_age < 1min);
    CHECK(!before[0].consumer);
    CHECK(!before[0].is_leased);
    CHECK(!before[0].acked_at);
    CHECK(!before[0].failure);
    CHECK(before[0].parked == 0);
    CHECK(before[0].partitions == 1);
    CHECK(!before[0].next_partitions);

    const Delivery delivery = all.fetch("ann", {.max_count = 2});
    const auto fence = all.ack(delivery);
    const PartitionStatus now = all.status().at(0);
    CHECK(now.checkpoint == 2);
    CHECK(now.backlog == 1);
    CHECK(now.consumer == "ann");
    CHECK(now.is_leased);
    CHECK(now.fence == fence);
    REQUIRE(now.lease_until);
    CHECK(*now.lease_until > *before[0].oldest_undelivered_at);
    CHECK(now.acked_at);
}

TEST_CASE("An event is parked with all that follows it in its stream, listed, and delivered again or given up") {
    Database database;
    Connection log = database.connect();
    log.append("a-1", {event("Bad"), event("A")});
    log.append("b-1", {event("B"), event("B")});
    Subscription all = log.subscription("all");
    all.create();
    const Delivery delivery = all.fetch("ann");
    const auto fence = all.park(1, delivery.fence, "cannot be");
    CHECK(fence > delivery.fence);
    CHECK(state_of<lease_lost>([&] { all.ack(delivery); }) == "TM004");
    const Delivery rest = all.fetch("ann");
    CHECK(positions_of(rest) == Positions{3, 4});
    CHECK(rest.fence == fence);
    all.ack(rest);

    const auto parked = all.parked();
    REQUIRE(parked.size() == 1);
    CHECK(parked[0].stream == "a-1");
    CHECK(parked[0].position == 1);
    CHECK(parked[0].type == "Bad");
    CHECK(parked[0].reason == "cannot be");
    CHECK(parked[0].times == 1);
    CHECK(parked[0].held == 1);
    CHECK(!parked[0].redelivering);
    CHECK(all.status().at(0).parked == 1);

    CHECK(!all.unpark(2'000));
    CHECK(all.unpark(1));
    CHECK(all.parked().at(0).redelivering);
    const Delivery again = all.fetch("ann");
    CHECK(again.redelivered);
    CHECK(positions_of(again) == Positions{1, 2});
    CHECK(all.park(1, again.fence) > again.fence);
    CHECK(all.parked().at(0).times == 2);
    CHECK(!all.parked().at(0).reason);

    CHECK(all.unpark(1, false));
    const Delivery held = all.fetch("ann");
    CHECK(positions_of(held) == Positions{2});
    all.ack(held);
    CHECK(all.parked().empty());
    CHECK(all.fetch("ann").events.empty());

    all.reset(0);
    const Delivery once_more = all.fetch("ann");
    CHECK(positions_of(once_more) == Positions{1, 2, 3, 4});
    all.park(1, once_more.fence);
    all.ack(all.fetch("ann"));
    CHECK(all.unpark(1));
    const Delivery whole = all.fetch("ann");
    CHECK(positions_of(whole) == Positions{1, 2});
    CHECK(all.ack(whole) > whole.fence);  // each of its events
    CHECK(all.parked().empty());
}

TEST_CASE("A stream's events are in the partition that partition_of tells, of which there can be more at any time") {
    Database database;
    Connection log = database.connect();
    for (int i = 0; i < 20; i++) log.append("a-" + std::to_string(i), event("A"));
    Subscription all = log.subscription("all");
    all.create({.partitions = 2});
    all.set_partitions(4);
    std::set<int> seen;
    for (int delivered = 0; delivered < 20;) {
        const Delivery delivery = all.fetch("ann", {.wait = 10s});
        REQUIRE(!delivery.events.empty());
        seen.insert(delivery.partition);
        for (const Event& each : delivery.events) {
            CHECK(Subscription::partition_of(log, each.stream, 4) == delivery.partition);
            delivered++;
        }
        all.ack(delivery);
    }
    CHECK(seen == std::set<int>{0, 1, 2, 3});
    CHECK(state_of<server_error>([&] { Subscription::partition_of(log, "a-1", 0); }) == "22023");
}

TEST_CASE("Reading a page waits for events that are to come, and so does fetching") {
    Database database;
    Connection log = database.connect(), writer = database.connect();
    Subscription all = log.subscription("all");
    all.create();
    all.claim("ann");
    CHECK(time_of([&] { CHECK(log.read_page(0, 10, {}, 100ms).empty()); }) >= 90ms);
    const auto waits_for_an_event = [&](auto read) {
        std::jthread appender([&, pid = log.backend_pid()] {
            // Neither idle nor working.
            eventually([&] {
                return !writer
                            .execute(
                                "SELECT 1 FROM pg_stat_activity WHERE pid = $1::int AND state = 'active' "
                                "AND wait_event IS NOT NULL",
                                pid)
                            .empty();
            });
            writer.append("a-1", event("A"));
        });
        CHECK(time_of([&] { CHECK(read().size() == 1); }) < 20s);
    };
    waits_for_an_event([&] { return log.read_page(0, 10, {}, 50s); });
    all.ack(all.fetch("ann"));
    waits_for_an_event([&] { return all.fetch("ann", {.wait = 50s}).events; });
}
