// Runners: what they hand over, acknowledge, and do about handlers that fail, take long, or are to stop.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <latch>
#include <map>
#include <memory>
#include <mutex>

#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/running.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

using Positions = std::vector<std::int64_t>;
using Batch = std::span<const Event>;
using Last = ErrorStrategy::Last;

struct Failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A database with a subscription named "all" to a log of so many events, in one stream or several.
struct Fixture {
    explicit Fixture(int count = 0, int streams = 1, int partitions = 1) {
        all.create({.partitions = partitions});
        create_effects(log);
        for (int i = 0; i < count; i++) log.append("s-" + std::to_string(i % streams), event("A", {{"number", i + 1}}));
    }
    RunnerOptions options() const { return quick_options(database.conninfo()); }
    std::int64_t checkpoint() { return all.status().at(0).checkpoint; }

    Database database;
    Connection log = database.connect();
    Subscription all = log.subscription("all");
};

// What a handler has seen, from any thread.
class Seen {
  public:
    void add(std::int64_t position) {
        const std::lock_guard lock(mutex_);
        positions_.push_back(position);
    }
    Positions positions() const {
        const std::lock_guard lock(mutex_);
        return positions_;
    }

  private:
    mutable std::mutex mutex_;
    Positions positions_;
};

}  // namespace

TEST_CASE("Handlers take events or batches, with a transaction or without, and get each event once and in order") {
    Positions all_positions(25);
    for (int i = 0; i < 25; i++) all_positions[i] = i + 1;
    const auto check = [&](auto make_handler, bool is_exactly_once) {
        Fixture fixture(25, 3);
        auto options = fixture.options();
        options.batch_size = 10;
        Seen seen;
        CHECK(SubscriptionRunner(options, make_handler(seen)).is_exactly_once() == is_exactly_once);
        Running running(options, make_handler(seen));
        fixture.all.wait_for(25, 20s);
        const RunnerMetrics metrics = running.stop();
        CHECK(seen.positions() == all_positions);
        CHECK(metrics.events == 25);
        CHECK(metrics.batches == 3);
        CHECK(metrics.last_position == 25);
        CHECK(fixture.checkpoint() == 25);
    };
    check([](Seen& seen) { return [&](const Event& each) { seen.add(each.position); }; }, false);
    check([](Seen& seen) { return [&](Transaction&, const Event& each) { seen.add(each.position); }; }, true);
    const auto add_all = [](Seen& seen, Batch events) {
        CHECK((events.size() == 10 || events.size() == 5));
        for (const Event& each : events) seen.add(each.position);
    };
    check([&](Seen& seen) { return [&](Batch events) { add_all(seen, events); }; }, false);
    check([&](Seen& seen) { return [&](Transaction&, Batch events) { add_all(seen, events); }; }, true);
}

TEST_CASE(
    "Events that come while a runner waits are handled as they come, and those it does not subscribe to are not") {
    Fixture fixture;
    fixture.all.drop();
    fixture.all.create({.filter = {.types = {{"A"}}}});
    Seen seen;
    Running running(fixture.options(), [&](const Event& each) { seen.add(each.position); });
    for (int i = 0; i < 5; i++) {
        fixture.log.append("b-1", event("B"));
        const auto position = fixture.log.append("a-1", event("A")).last_position;
        fixture.all.wait_for(position, 20s);
        CHECK(seen.positions().back() == position);
    }
    CHECK(seen.positions() == Positions{2, 4, 6, 8, 10});
}

TEST_CASE(
    "A runner that is to stop at an event does so with all before it done once, throws what the handler threw, "
    "and whoever mends the handler goes on there") {
    Fixture fixture(12, 3);
    auto options = fixture.options();
    Running running(options, [](Transaction& transaction, const Event& each) {
        take_effect(transaction, each);
        if (each.position == 7) throw Failed("seven is too many");
    });
    CHECK_THROWS_WITH(running.end(), "seven is too many");
    CHECK(fixture.log.execute("SELECT max(position) = 6 AND count(*) = 6 FROM effects").get<bool>(0, 0));
    const PartitionStatus status = fixture.all.status().at(0);
    CHECK(status.checkpoint == 6);
    CHECK(!status.is_leased);
    REQUIRE(status.failure);
    CHECK(status.failure->position == 7);
    CHECK(status.failure->attempts == 1);
    CHECK(status.failure->error == "seven is too many");
    CHECK(state_of<server_error>([&] { fixture.all.wait_for(12); }) == "TM006");

    Running mended(options, take_effect);
    REQUIRE(come_to_be(fixture.log, 12));
    CHECK_NOTHROW(fixture.all.wait_for(12));
    CHECK(mended.stop().events == 6);
    CHECK(equals_log(fixture.log));
}

TEST_CASE("Without a transaction, what was handled before an event that failed is not handled again") {
    Fixture fixture(12);
    Seen seen;
    const auto handler = [&](int bad) {
        return [&, bad](const Event& each) {
            if (each.position == bad) throw Failed("bad");
            seen.add(each.position);
        };
    };
    CHECK_THROWS_AS(Running(fixture.options(), handler(7)).end(), Failed);
    CHECK(fixture.checkpoint() == 6);
    CHECK_THROWS_AS(Running(fixture.options(), handler(8)).end(), Failed);
    CHECK(fixture.checkpoint() == 7);
    Running running(fixture.options(), handler(0));
    REQUIRE(eventually([&] { return fixture.checkpoint() == 12; }));
    CHECK(seen.positions() == Positions{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

TEST_CASE("A batch that fails is handed over event by event, so that the one to blame is found") {
    Fixture fixture(10);
    for (const bool in_transaction : {true, false}) {
        auto options = fixture.options();
        options.on_error.last = Last::park;
        const auto refuse_six = [](Batch events) {
            for (const Event& each : events)
                if (each.data()["number"] == 6) throw Failed("six");
        };
        std::atomic<int> calls = 0;
        const auto start = [&]() -> std::unique_ptr<Running> {
            if (in_transaction)
                return std::make_unique<Running>(options, [&](Transaction&, Batch events) {
                    calls++;
                    refuse_six(events);
                });
            return std::make_unique<Running>(options, [&](Batch events) {
                calls++;
                refuse_six(events);
            });
        };
        auto running = start();
        fixture.all.wait_for(10, 20s);
        const RunnerMetrics metrics = running->stop();
        CHECK(calls == 1 + 6);  // all, six of them, and then those that follow are held behind the sixth
        CHECK(metrics.events == 5);
        CHECK(metrics.failures == 1);
        CHECK(metrics.parked == 1);
        const auto parked = fixture.all.parked();
        REQUIRE(parked.size() == 1);
        CHECK(parked[0].position == 6);
        CHECK(parked[0].reason == "six");
        fixture.all.reset(0);
    }
}

TEST_CASE("An event that fails is set aside, other streams go on, and it comes again when it is unparked, in order") {
    Fixture fixture(30, 3);
    auto options = fixture.options();
    options.on_error.last = Last::park;
    options.batch_size = 7;
    std::atomic<bool> is_mended = false;
    const auto handler = [&](Transaction& transaction, const Event& each) {
        if (!is_mended && (each.position == 4 || each.position == 11)) throw Failed("not now");
        take_effect(transaction, each);
    };
    Running running(options, handler);
    fixture.all.wait_for(30, 20s);
    // Of two streams the first event and three are done, the third is through.
    CHECK(fixture.log.execute("SELECT count(*) FROM effects").get<int>(0, 0) == 1 + 3 + 10);
    CHECK(fixture.all.parked().size() == 2);
    CHECK(fixture.log.execute("SELECT count(*) FROM effects JOIN es_events USING (position) WHERE stream_id = 's-2'")
              .get<int>(0, 0) == 10);
    CHECK(fixture.all.unpark(4));
    CHECK(eventually([&] { return fixture.all.parked().at(0).times == 2; }));
    is_mended = true;
    for (const ParkedEvent& each : fixture.all.parked()) CHECK(fixture.all.unpark(each.position));
    REQUIRE(come_to_be(fixture.log, 30));
    const RunnerMetrics metrics = running.stop();
    CHECK(metrics.parked == 3);
    CHECK(metrics.events == 30);
    CHECK(fixture.all.parked().empty());
    CHECK(equals_log(fixture.log));
}

TEST_CASE("What is unparked is acknowledged without a transaction, too, each event by itself") {
    Fixture fixture(5);
    auto options = fixture.options();
    options.on_error.last = Last::park;
    std::atomic<bool> is_mended = false;
    Seen seen;
    Running running(options, [&](const Event& each) {
        if (!is_mended && each.position == 2) throw Failed("not now");
        seen.add(each.position);
    });
    fixture.all.wait_for(5, 20s);
    is_mended = true;
    CHECK(fixture.all.unpark(2));
    CHECK(eventually([&] { return fixture.all.parked().empty(); }));
    // What had not come up to be held comes in the ordinary way now.
    fixture.all.wait_for(5, 20s);
    CHECK(running.stop().events == 5);
    CHECK(seen.positions() == Positions{1, 2, 3, 4, 5});
}

TEST_CASE("An event that fails is tried again after growing delays, while other partitions go on, and then parked") {
    Fixture fixture(20, 10, 2);
    const auto bad = *fixture.log.read_after().begin();
    const int bad_partition = Subscription::partition_of(fixture.log, bad.stream, 2);
    auto options = fixture.options();
    options.batch_size = 1;
    options.on_error = {.last = Last::park, .retries = 3, .first_delay = 100ms, .max_delay = 200ms};
    std::mutex mutex;
    std::vector<std::chrono::steady_clock::time_point> tried;
    std::atomic<int> others = 0, others_before_last = -1;
    std::atomic<bool> has_parked = false;
    options.on_metrics = [&](const RunnerMetrics& metrics) { has_parked = metrics.parked > 0; };
    Running running(options, [&](Transaction& transaction, const Event& each) {
        if (each.position == bad.position) {
            const std::lock_guard lock(mutex);
            tried.push_back(std::chrono::steady_clock::now());
            if (tried.size() == 4) others_before_last = others.load();
            throw Failed("never");
        }
        take_effect(transaction, each);
        others += Subscription::partition_of(transaction, each.stream, 2) != bad_partition;
    });
    REQUIRE(eventually([&] { return has_parked.load(); }));
    fixture.all.wait_for(20, 20s);
    const RunnerMetrics metrics = running.stop();
    CHECK(metrics.failures == 4);
    CHECK(metrics.problem == "never");
    REQUIRE(tried.size() == 4);
    CHECK(tried[1] - tried[0] >= 95ms);
    CHECK(tried[2] - tried[1] >= 195ms);
    CHECK(tried[3] - tried[2] >= 195ms);
    CHECK(tried[3] - tried[2] < 10s);
    CHECK(others_before_last > 0);
    CHECK(fixture.all.parked().at(0).position == bad.position);
    CHECK(fixture.log.execute("SELECT count(*) FROM effects").get<int>(0, 0) == 18);
}

TEST_CASE("What runners before it have tried counts") {
    Fixture fixture(1);
    const Delivery delivery = fixture.all.fetch("before");
    for (int i = 0; i < 2; i++) fixture.all.fail(1, delivery.fence, "before", 1ms);
    fixture.all.release("before");
    auto options = fixture.options();
    options.on_error = {.last = Last::park, .retries = 2, .first_delay = 1ms};
    std::atomic<int> calls = 0;
    Running running(options, [&](const Event&) {
        calls++;
        throw Failed("again");
    });
    CHECK(eventually([&] { return fixture.all.parked().size() == 1; }));
    CHECK(running.stop().failures == 1);
    CHECK(calls == 1);
}

TEST_CASE("An event that comes to be handled while it is tried again is done as any other, and the failure forgotten") {
    Fixture fixture(3);
    auto options = fixture.options();
    options.on_error = {.retries = ErrorStrategy::FOR_EVER, .first_delay = 1ms, .max_delay = 5ms};
    std::atomic<int> failures = 0;
    Running running(options, [&](Transaction& transaction, const Event& each) {
        take_effect(transaction, each);
        if (each.position == 2 && failures < 5 && ++failures) throw Failed("not yet");
    });
    REQUIRE(come_to_be(fixture.log, 3));
    CHECK_NOTHROW(fixture.all.wait_for(3));
    CHECK(running.stop().events == 3);
    CHECK(failures == 5);
    CHECK(!fixture.all.status().at(0).failure);
    CHECK(equals_log(fixture.log));
}

TEST_CASE("What fails by a conflict with others is tried again at once, and nobody is blamed") {
    Fixture fixture(1);
    int calls = 0;
    Running running(fixture.options(), [&](Transaction& transaction, const Event& each) {
        take_effect(transaction, each);
        // Somebody else has the version that a handler has decided for.
        const int others = ++calls;
        if (others == 1) transaction.append("s-0", event("B"), 7);
        if (others == 2) transaction.execute("DO $$BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END$$");
        if (others == 3) transaction.execute("DO $$BEGIN RAISE 'retry' USING ERRCODE = '40001'; END$$");
    });
    REQUIRE(come_to_be(fixture.log, 1));
    const RunnerMetrics metrics = running.stop();
    CHECK(calls == 4);
    CHECK(metrics.reconnects == 0);
    CHECK(metrics.failures == 0);
    CHECK(metrics.events == 1);
}

TEST_CASE("What the handler leaves in its transaction that cannot be committed is its failure") {
    Fixture fixture(1);
    Running fails(fixture.options(), [](Transaction& transaction, const Event&) { transaction.execute("SELECT 1/0"); });
    CHECK(state_of<server_error>([&] { fails.end(); }) == "22012");
    fixture.log.execute("CREATE TABLE deferred (position bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    Running swallows(fixture.options(), [](Transaction& transaction, const Event&) {
        CHECK_THROWS_AS(transaction.execute("SELECT 1/0"), server_error);
    });
    CHECK(state_of<server_error>([&] { swallows.end(); }) == "25P02");
    Running defers(fixture.options(), [](Transaction& transaction, const Event&) {
        transaction.execute("INSERT INTO deferred VALUES (1), (1)");
    });
    CHECK(state_of<server_error>([&] { defers.end(); }) == "23505");
    CHECK(fixture.all.status().at(0).failure->attempts == 3);
    Running throws(fixture.options(), [](Transaction&, const Event&) { throw 7; });
    CHECK_THROWS_AS(throws.end(), int);
    CHECK(fixture.all.status().at(0).failure->error == "unknown");
    Running mumbles(fixture.options(), [](const Event&) { throw Failed("\xff\xfe!"); });
    CHECK_THROWS_AS(mumbles.end(), Failed);
    CHECK(fixture.all.status().at(0).failure->error == "\uFFFD\uFFFD!");
    Running ends(fixture.options(), [](Transaction& transaction, const Event&) { transaction.commit(); });
    CHECK(state_of<usage_error>([&] { ends.end(); }) == "TM000");
    CHECK(fixture.checkpoint() == 0);
}

TEST_CASE("A stop while it waits for events ends a runner at once") {
    Fixture fixture;
    auto options = fixture.options();
    options.wait = 1min;
    Running running(options, [](const Event&) {});
    REQUIRE(eventually([&] {
        return !fixture.log
                    .execute(
                        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
                        "AND pid <> pg_backend_pid() AND state = 'active' AND wait_event IS NOT NULL")
                    .empty();
    }));
    CHECK(time_of([&] { CHECK(running.stop().reconnects == 0); }) < 10s);
    CHECK(!fixture.all.status().at(0).is_leased);
}

TEST_CASE("A stop lets the handler finish, what it did is acknowledged, and the lease is free at once") {
    for (const bool by_event : {false, true}) {
        Fixture fixture(5);
        std::latch in_handler(1), may_go_on(1);
        std::atomic<int> handled = 0;
        const auto handle = [&] {
            if (++handled > 1) return;
            in_handler.count_down();
            may_go_on.wait();
        };
        const auto start = [&]() -> std::unique_ptr<Running> {
            if (by_event) return std::make_unique<Running>(fixture.options(), [&](const Event&) { handle(); });
            return std::make_unique<Running>(fixture.options(), [&](Transaction& transaction, Batch events) {
                handle();
                for (const Event& each : events) take_effect(transaction, each);
            });
        };
        auto running = start();
        in_handler.wait();
        running->request_stop();
        may_go_on.count_down();
        const RunnerMetrics metrics = running->end();
        CHECK(handled == 1);
        CHECK(metrics.events == (by_event ? 1 : 5));
        const PartitionStatus status = fixture.all.status().at(0);
        CHECK(status.checkpoint == metrics.events);
        CHECK(!status.is_leased);
        CHECK(fixture.all.fetch("next").events.size() == std::size_t(by_event ? 4 : 0));
        if (!by_event) CHECK(equals_log(fixture.log));
    }
}

TEST_CASE("A handler that fails because it was stopped is not blamed, and its event comes again") {
    Fixture fixture(1);
    std::latch in_handler(1), may_go_on(1);
    Running running(fixture.options(), [&](const Event&) {
        in_handler.count_down();
        may_go_on.wait();
        throw Failed("stopped");
    });
    in_handler.wait();
    running.request_stop();
    may_go_on.count_down();
    CHECK(running.end().failures == 0);
    const PartitionStatus status = fixture.all.status().at(0);
    CHECK(status.checkpoint == 0);
    CHECK(!status.failure);
}

TEST_CASE("A handler that takes longer than the lease keeps it") {
    Fixture fixture(2);
    auto options = fixture.options();
    options.lease = 400ms;
    Connection other = fixture.database.connect();
    std::atomic<int> refused = 0;
    Running running(options, [&](Transaction& transaction, Batch events) {
        for (const Event& each : events) take_effect(transaction, each);
        if (refused > 0) return;
        for (int i = 0; i < 3; i++)
            refused += state_of<server_error>([&] { other.subscription("all").fetch("intruder", {.wait = 400ms}); }) ==
                       "55P03";
    });
    REQUIRE(come_to_be(fixture.log, 2));
    const RunnerMetrics metrics = running.stop();
    CHECK(refused == 3);
    CHECK(metrics.leases_lost == 0);
    CHECK(metrics.events == 2);
}

TEST_CASE("A lease that is lost drops the batch with its effects, and the runner goes on") {
    for (const bool in_transaction : {true, false}) {
        Fixture fixture(4);
        Connection admin = fixture.database.connect();
        std::atomic<int> calls = 0;
        const auto lose_once = [&] {
            if (++calls == 1) admin.subscription("all").reset(0);  // all fences rise
        };
        const auto start = [&]() -> std::unique_ptr<Running> {
            if (in_transaction)
                return std::make_unique<Running>(fixture.options(), [&](Transaction& transaction, Batch events) {
                    for (const Event& each : events) take_effect(transaction, each);
                    lose_once();
                });
            return std::make_unique<Running>(fixture.options(), [&](Batch) { lose_once(); });
        };
        auto running = start();
        fixture.all.wait_for(4, 20s);
        const RunnerMetrics metrics = running->stop();
        CHECK(calls == 2);
        CHECK(metrics.leases_lost == 1);
        CHECK(metrics.failures == 0);
        CHECK(metrics.events == 4);
        if (in_transaction) CHECK(equals_log(fixture.log));
    }
}

TEST_CASE("An event is not blamed where the lease was lost while its handler failed") {
    Fixture fixture(1);
    Connection admin = fixture.database.connect();
    std::atomic<int> calls = 0;
    Running running(fixture.options(), [&](const Event&) {
        if (++calls > 1) return;
        admin.subscription("all").reset(0);
        throw Failed("and failed, too");
    });
    fixture.all.wait_for(1, 20s);
    const RunnerMetrics metrics = running.stop();
    CHECK(metrics.leases_lost == 1);
    CHECK(metrics.failures == 0);
}

TEST_CASE("A runner takes over from one that stopped at once, and from one that died when its lease is over") {
    Fixture fixture(6);
    const Delivery left = fixture.all.fetch("dead", {.max_count = 2, .lease = 1500ms});
    const auto fence = fixture.all.ack(1, left.fence);
    auto options = fixture.options();
    options.wait = 200ms;  // and again
    Running first(options, take_effect);
    REQUIRE(come_to_be(fixture.log, 5));  // all but what the dead one had done
    CHECK(state_of<lease_lost>([&] { fixture.all.ack(2, fence); }) == "TM004");
    Running second(options, take_effect);  // stands in line
    CHECK(first.stop().events == 5);
    fixture.log.append("s-0", event("A"));
    CHECK(time_of([&] { REQUIRE(come_to_be(fixture.log, 6)); }) < 8s);
    CHECK(second.stop().events == 1);
}

TEST_CASE(
    "Runners share the partitions out, also when one comes or goes and their number changes, and each stream is in "
    "order") {
    Fixture fixture(0, 1, 6);
    std::atomic<bool> done = false;
    std::atomic<int> appended = 0;
    std::jthread writer([&] {
        Connection mine = fixture.database.connect();
        for (int i = 0; !done || i % 40 != 0; i++, appended++) mine.append("s-" + std::to_string(i % 40), event("A"));
    });
    auto options = fixture.options();
    options.batch_size = 20;
    options.wait = 200ms;
    Running first(options, take_effect);
    std::vector<std::unique_ptr<Running>> others;
    const auto owners = [&] {
        std::map<std::string, int> partitions;
        for (const PartitionStatus& each : fixture.all.status())
            if (each.is_leased) partitions[*each.consumer]++;
        return partitions;
    };
    const auto come_to_share = [&](std::size_t runners) {
        return eventually([&] {
            const auto now = owners();
            int least = 6, sum = 0;
            for (const auto& [name, count] : now) least = std::min(least, count), sum += count;
            return now.size() == runners && sum == 6 && least == 6 / static_cast<int>(runners);
        });
    };
    CHECK(come_to_share(1));
    for (int i = 0; i < 2; i++) others.push_back(std::make_unique<Running>(options, take_effect));
    CHECK(come_to_share(3));
    std::int64_t events = first.stop().events;
    CHECK(come_to_share(2));
    fixture.all.set_partitions(4);
    CHECK(eventually([&] { return fixture.all.status().size() == 4; }));
    done = true;
    writer.join();
    REQUIRE(come_to_be(fixture.log, appended));
    for (auto& each : others) events += each->stop().events;
    CHECK(events == appended);
    CHECK(equals_log(fixture.log));
}

TEST_CASE("The metrics are told after every batch and failure") {
    Fixture fixture(10);
    auto options = fixture.options();
    options.batch_size = 4;
    options.on_error.last = Last::park;
    std::mutex mutex;
    std::vector<RunnerMetrics> told;
    options.on_metrics = [&](const RunnerMetrics& metrics) {
        const std::lock_guard lock(mutex);
        told.push_back(metrics);
        throw Failed("what the hook throws is dropped");
    };
    Running running(options, [](const Event& each) {
        if (each.position == 10) throw Failed("ten");
    });
    fixture.all.wait_for(10, 20s);
    running.stop();
    REQUIRE(told.size() == 3);
    CHECK(told[0].events == 4);
    CHECK(told[0].last_position == 4);
    CHECK(told[0].batches == 1);
    CHECK(told[0].lag < 1min);
    CHECK(told[0].problem.empty());
    CHECK(told[1].events == 8);
    CHECK(told[1].batches == 2);
    CHECK(told[2].events == 9);
    CHECK(told[2].last_position == 9);
    CHECK(told[2].failures == 1);
    CHECK(told[2].parked == 1);
    CHECK(told[2].problem == "ten");
}

TEST_CASE("A runner ends with what no waiting mends, and refuses options that cannot be") {
    Fixture fixture;
    auto options = fixture.options();
    const auto handler = [](const Event&) {};
    options.subscription = "nosuch";
    CHECK(state_of<server_error>([&] { Running(options, handler).end(); }) == "TM005");
    const auto refuses = [&](auto change) {
        auto wrong = fixture.options();
        change(wrong);
        CHECK(state_of<usage_error>([&] { SubscriptionRunner(wrong, handler); }) == "TM000");
    };
    refuses([](RunnerOptions& wrong) { wrong.subscription = ""; });
    refuses([](RunnerOptions& wrong) { wrong.batch_size = 0; });
    refuses([](RunnerOptions& wrong) { wrong.wait = 0ms; });
    refuses([](RunnerOptions& wrong) { wrong.wait = 2min; });
    refuses([](RunnerOptions& wrong) { wrong.lease = 0ms; });
    refuses([](RunnerOptions& wrong) { wrong.grace = 0ms; });
    refuses([](RunnerOptions& wrong) { wrong.on_error.retries = -1; });
    refuses([](RunnerOptions& wrong) { wrong.reconnect_first_delay = -1ms; });
}
