// Runners whose lines are cut, whose servers restart and fail over, and who read from replicas: what they do happens
// exactly once.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "../support/cluster.hpp"
#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/proxy.hpp"
#include "../support/running.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

using Batch = std::span<const Event>;

void append_some(Connection& log, int count) {
    for (int i = 0; i < count; i++) log.append("s-" + std::to_string(i % 7), event("A"));
}

// How often each event was handed over, from any thread.
class Counts {
  public:
    void add(const Event& event) {
        const std::lock_guard lock(mutex_);
        counts_[event.position]++;
    }
    // Whether it was so many events, each once.
    bool are_once_each(std::size_t events) const {
        const std::lock_guard lock(mutex_);
        return counts_.size() == events &&
               std::all_of(counts_.begin(), counts_.end(), [](const auto& each) { return each.second == 1; });
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::int64_t, int> counts_;
};

}  // namespace

TEST_CASE(
    "A runner whose line is cut anywhere from the handler to the commit has the effect once, and acknowledges the "
    "event") {
    Database database;
    Connection log = database.connect();
    Subscription all = log.subscription("all");
    all.create();
    create_effects(log);
    int appended = 0, reconnects = 0, cuts = 0;
    for (const Side side : {Side::client, Side::server}) {
        for (const bool delivers_last : {false, true}) {
            for (std::size_t messages = 1;; messages++) {
                append_some(log, 1);
                Proxy proxy(Database::server_folder(), Database::server_port());
                std::atomic<bool> is_armed = false;
                Running running(quick_options(database.conninfo() + " " + proxy.conninfo()),
                                [&](Transaction& transaction, const Event& each) {
                                    if (!is_armed.exchange(true)) proxy.arm({side, messages, delivers_last});
                                    take_effect(transaction, each);
                                });
                REQUIRE(come_to_be(log, ++appended));
                all.wait_for(log.safe_position(), 20s);
                const bool has_cut = proxy.has_cut();
                proxy.disarm();
                const RunnerMetrics metrics = running.stop();
                CHECK(metrics.failures == 0);
                REQUIRE(equals_log(log));
                if (!has_cut) break;
                cuts++;
                reconnects += static_cast<int>(metrics.reconnects);
            }
        }
    }
    CHECK(cuts >= 30);
    CHECK(reconnects >= cuts / 2);
}

TEST_CASE("Runners live through sessions that are ended at any time, and have each effect once, in order") {
    Database database;
    Connection log = database.connect();
    Subscription all = log.subscription("all");
    all.create({.partitions = 4});
    create_effects(log);
    auto options = quick_options(database.conninfo());
    options.batch_size = 5;
    options.wait = 100ms;
    Running first(options, take_effect), second(options, [](Transaction&transaction, Batch events) {
        for (const Event& each : events) take_effect(transaction, each);
    });
    const auto both_fetch = [&] {
        return log
            .execute(
                "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND query LIKE '%es_fetch%'")
            .get<bool>(0, 0);
    };
    for (int round = 1; round <= 20; round++) {
        if (round % 2 == 0) REQUIRE(eventually(both_fetch));  // else they are at anything
        append_some(log, 20);
        log.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'");
        if (round % 5 == 0) REQUIRE(come_to_be(log, 20 * round));
    }
    REQUIRE(eventually(both_fetch));
    const RunnerMetrics one = first.stop(), other = second.stop();
    CHECK(one.reconnects >= 10);
    CHECK(other.reconnects >= 10);
    CHECK(one.failures + other.failures == 0);
    CHECK(one.events + other.events <= 400);  // of commits in doubt it cannot tell
    CHECK(equals_log(log));
}

TEST_CASE("A runner waits for a server that takes no writes for a while") {
    Database database;
    Connection log = database.connect();
    log.subscription("all").create();
    create_effects(log);
    std::atomic<int> reconnects = 0;
    auto options = quick_options(database.conninfo());
    options.on_metrics = [&](const RunnerMetrics& metrics) { reconnects = static_cast<int>(metrics.reconnects); };
    log.append("a-1", event("A"));
    log.execute("ALTER DATABASE \"" + database.name() + "\" SET default_transaction_read_only = on");
    Running running(options, take_effect);
    REQUIRE(eventually([&] { return reconnects >= 3; }));
    log.execute("ALTER DATABASE \"" + database.name() + "\" RESET default_transaction_read_only");
    REQUIRE(come_to_be(log, 1));
    CHECK(running.stop().problem.find("read-only") != std::string::npos);
}

TEST_CASE("A runner lives through a server that is stopped and one that crashes") {
    Cluster cluster;
    {
        Connection log = cluster.connect();
        create_effects(log);
        log.subscription("all").create();
    }
    std::atomic<bool> is_lost = false;
    auto options = quick_options(cluster.conninfo());
    options.on_metrics = [&](const RunnerMetrics& metrics) { is_lost = metrics.reconnects > 0; };
    std::atomic<int> handled = 0;
    Running running(options, [&](Transaction& transaction, const Event& each) {
        take_effect(transaction, each);
        handled++;
    });
    std::int64_t expected = 0;
    for (const bool crashes : {false, true}) {
        {
            Connection log = cluster.connect();
            append_some(log, 50);
            expected += 50;
            REQUIRE(eventually([&] { return handled > 0; }));
        }
        is_lost = false;
        crashes ? cluster.crash() : cluster.stop();
        REQUIRE(eventually([&] { return is_lost.load(); }));
        cluster.start();
        Connection log = cluster.connect();
        append_some(log, 10);
        expected += 10;
        REQUIRE(come_to_be(log, static_cast<int>(expected)));
        CHECK(equals_log(log));
    }
    Connection log = cluster.connect();
    CHECK_NOTHROW(log.subscription("all").wait_for(log.safe_position()));
    const RunnerMetrics metrics = running.stop();
    CHECK(metrics.failures == 0);
    CHECK(metrics.reconnects >= 2);
    CHECK(metrics.last_position == log.safe_position());
}

TEST_CASE("A runner that knows both servers goes on with the new primary after a failover") {
    Cluster primary;
    Replica standby(primary);
    Connection log = primary.connect(), replica = standby.connect();
    create_effects(log);
    log.subscription("all").create();
    auto options =
        quick_options(Cluster::conninfo_of(primary.host() + "," + standby.host()) + " target_session_attrs=read-write");
    Running running(options, take_effect);
    append_some(log, 20);
    REQUIRE(come_to_be(log, 20));
    REQUIRE(Replica::catches_up(log, replica));
    primary.crash();
    standby.promote();
    append_some(replica, 20);
    REQUIRE(come_to_be(replica, 40));
    CHECK(equals_log(replica));
    CHECK(running.stop().failures == 0);
    CHECK(!replica.subscription("all").status().at(0).is_leased);
}

TEST_CASE(
    "A runner reads from a replica, acknowledges at the primary, and handles each event once however far behind "
    "the replica is") {
    Cluster primary;
    Replica standby(primary);
    Connection log = primary.connect(), replica = standby.connect();
    create_effects(log);
    Subscription all = log.subscription("all");
    all.create({.partitions = 2});
    REQUIRE(Replica::catches_up(log, replica));
    auto options = quick_options(primary.conninfo());
    options.read_from = {.conninfo = standby.conninfo()};
    options.batch_size = 4;
    options.wait = 500ms;
    options.lease = 5min;  // so that nothing becomes right by being asked about from time to time
    options.on_error.last = ErrorStrategy::Last::park;
    Counts counts;
    std::atomic<bool> is_bad = false;
    Running running(options, [&](Transaction& transaction, const Event& each) {
        counts.add(each);
        if (is_bad && each.type == "Bad") throw std::runtime_error("bad");
        take_effect(transaction, each);
    });
    append_some(log, 20);
    REQUIRE(come_to_be(log, 20));

    // What the replica has not heard of it does not deliver; what it has not heard of as done is not handled again.
    replica.execute("SELECT pg_wal_replay_pause()");
    append_some(log, 10);
    CHECK(all.status().at(0).backlog + all.status().at(1).backlog == 10);
    const auto offered = [&] {
        return replica.execute("SELECT count(*) FROM es_subscription_status WHERE is_leased").get<int>(0, 0);
    };
    CHECK(eventually([&] { return offered() == 2; }));
    CHECK(log.execute("SELECT count(*) FROM effects").get<int>(0, 0) == 20);
    replica.execute("SELECT pg_wal_replay_resume()");
    REQUIRE(come_to_be(log, 30));
    CHECK(counts.are_once_each(30));

    // A slow replica.
    replica.execute("ALTER SYSTEM SET recovery_min_apply_delay = '150ms'");
    replica.execute("SELECT pg_reload_conf()");
    append_some(log, 10);
    REQUIRE(come_to_be(log, 40));
    CHECK(counts.are_once_each(40));

    // Fences and partitions become others without its doing.
    all.reset(log.safe_position());
    append_some(log, 10);
    REQUIRE(come_to_be(log, 50));
    all.set_partitions(3);
    CHECK(eventually([&] { return all.status().size() == 3; }));
    CHECK(counts.are_once_each(50));

    is_bad = true;
    log.append("s-1", event("Bad"));
    log.append("s-1", event("A"));
    all.wait_for(log.safe_position(), 20s);
    CHECK(all.parked().size() == 1);
    is_bad = false;
    CHECK(all.unpark(all.parked().at(0).position));
    REQUIRE(come_to_be(log, 52));
    all.wait_for(log.safe_position(), 20s);
    const RunnerMetrics metrics = running.stop();
    CHECK(metrics.reconnects == 0);
    CHECK(metrics.events == 52);
    CHECK(equals_log(log));
    CHECK(!all.status().at(0).is_leased);
}
