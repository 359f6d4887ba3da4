// Runners of projections: what they keep going, through what, and what they end with.
#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <mutex>

#include "../support/balances.hpp"
#include "../support/cluster.hpp"
#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/proxy.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

// A runner at work in a thread of its own, quick in all that it waits for.
class Running {
  public:
    explicit Running(ProjectionRunnerOptions options) {
        options.reconnect_first_delay = 1ms;
        options.reconnect_max_delay = 50ms;
        options.on_problem = [this](const error& problem) {
            const std::lock_guard lock(mutex_);
            problems_.push_back(problem.sqlstate());
        };
        end_ = std::async(std::launch::async, [this, runner = ProjectionRunner(std::move(options))]() mutable {
            runner.run(stop_.get_token());
        });
    }
    ~Running() { stop_.request_stop(); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    // Throws what run() throws.
    void stop() {
        stop_.request_stop();
        end();
    }
    void end() { end_.get(); }
    std::vector<std::string> problems() {
        const std::lock_guard lock(mutex_);
        return problems_;
    }

  private:
    std::mutex mutex_;
    std::vector<std::string> problems_;
    std::stop_source stop_;
    std::future<void> end_;
};

void append_some(Connection& log, int count) {
    for (int i = 0; i < count; i++) log.append("account-" + std::to_string(i % 7), change(1));
}

// A projection of all events, and as many in the log.
struct Fixture {
    explicit Fixture(int count = 0) {
        create_balances(log);
        balances.create({.handler = "add_up"});
        append_some(log, count);
    }
    ProjectionRunnerOptions options() const { return {.connection = {.conninfo = database.conninfo()}}; }
    // Whether all that is in the log comes to be projected, once.
    bool catches_up() {
        balances.wait_for(log.safe_position(), 20s);
        return has_counted_all(log);
    }
    // How many runners are in their procedure.
    int runs() {
        return log
            .execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
                "AND query LIKE 'CALL%'")
            .get<int>(0, 0);
    }

    Database database;
    Connection log = database.connect();
    Projection balances = log.projection("balances");
};

}  // namespace

TEST_CASE("A runner keeps the projection of its name, or all of them, as events come, until it is told to stop") {
    for (const bool has_name : {true, false}) {
        Fixture fixture(10);
        auto options = fixture.options();
        if (has_name) options.projection = "balances";
        options.max_count = 3;
        Running running(options);
        CHECK(fixture.catches_up());
        CHECK(fixture.log.execute("SELECT count(DISTINCT xmin::text) FROM counted").get<int>(0, 0) >= 4);
        append_some(fixture.log, 10);
        CHECK(fixture.catches_up());
        CHECK(time_of([&] { running.stop(); }) < 10s);
        CHECK(running.problems().empty());
        append_some(fixture.log, 1);
        CHECK(state_of<server_error>([&] { fixture.balances.wait_for(fixture.log.safe_position(), 10ms); }) == "TM008");
    }
}

TEST_CASE("A runner of all projections has those that come later, and goes on with the others when one fails") {
    Fixture fixture;
    Connection& log = fixture.log;
    Running running(fixture.options());
    append_some(log, 5);
    CHECK(fixture.catches_up());
    log.execute("CREATE TABLE seen (position bigint PRIMARY KEY)");
    log.execute(
        "CREATE FUNCTION see(event es_events) RETURNS void LANGUAGE sql AS "
        "$$ INSERT INTO seen VALUES (event.position) $$");
    log.projection("seen").create({.handler = "see"});
    log.projection("seen").wait_for(log.safe_position(), 30s);
    const auto bad = log.append("account-1", {event("Bad"), change(1)}).last_position;
    CHECK_NOTHROW(log.projection("seen").wait_for(bad, 20s));
    CHECK(eventually([&] { return fixture.balances.status()->failure.has_value(); }));
    append_some(log, 3);
    CHECK_NOTHROW(log.projection("seen").wait_for(log.safe_position(), 20s));
    CHECK(log.execute("SELECT count(*) FROM seen").get<int>(0, 0) == 10);
    running.stop();
}

TEST_CASE("A runner goes on by itself where an event is to be tried again, when its cause is mended") {
    for (const bool has_name : {true, false}) {
        Fixture fixture;
        fixture.balances.drop();
        fixture.balances.create(
            {.handler = "add_up",
             .on_error = has_name ? ProjectionDefinition::OnError::retry : ProjectionDefinition::OnError::fail,
             .retries = has_name ? 0 : 1'000,
             .retry_delay = 1ms});
        std::mutex mutex;
        std::vector<std::string> notices;
        auto options = fixture.options();
        if (has_name) options.projection = "balances";
        options.connection.on_notice = [&](std::string_view notice) {
            const std::lock_guard lock(mutex);
            notices.emplace_back(notice);
        };
        Running running(options);
        append_some(fixture.log, 3);
        fixture.log.append("account-1", event("Bad"));
        append_some(fixture.log, 3);
        CHECK(eventually([&] {
            const auto failure = fixture.balances.status()->failure;
            return failure && failure->attempts >= 3 && failure->position == 4 && failure->retry_at;
        }));
        create_mended_handler(fixture.log);
        CHECK(fixture.catches_up());
        running.stop();
        CHECK(running.problems().empty());
        REQUIRE(!notices.empty());
        CHECK_THAT(notices.front(), Catch::Contains("balances") && Catch::Contains("it is bad"));
    }
}

TEST_CASE("A runner ends with what no waiting mends, and tells of it") {
    Fixture fixture(2);
    auto options = fixture.options();
    options.projection = "balances";
    {
        Running running(options);
        fixture.catches_up();
        fixture.log.append("account-1", event("Bad"));
        const auto failed = thrown_by<server_error>([&] { running.end(); });
        CHECK(failed.sqlstate() == "TM006");
        CHECK_THAT(failed.detail(), Catch::Contains("it is bad"));
        CHECK(running.problems() == std::vector<std::string>{"TM006"});
        CHECK(fixture.balances.status()->failure);
    }
    const auto ends_with = [](const ProjectionRunnerOptions& wrong, const char* state) {
        Running running(wrong);
        CHECK(state_of<server_error>([&] { running.end(); }) == state);
        CHECK(running.problems() == std::vector<std::string>{state});
    };
    options.projection = "none";
    ends_with(options, "TM005");
    options.connection.conninfo += " options='-c role=tidemark_writer'";
    ends_with(options, "42501");
}

TEST_CASE("A runner without room in its batches, without a name that could be one, or in a hurry is refused") {
    const auto refused = [](const ProjectionRunnerOptions& options) {
        CHECK(state_of<usage_error>([&] { ProjectionRunner runner(options); }) == "TM000");
    };
    refused({.max_count = 0});
    refused({.projection = ""});
    refused({.reconnect_first_delay = -1ms});
    refused({.reconnect_max_delay = -1ms});
    CHECK(ProjectionRunner({.projection = "a"}).options().projection == "a");
}

TEST_CASE("Runners live through sessions that are ended at any time, and project each event once") {
    Fixture fixture;
    auto options = fixture.options();
    options.max_count = 5;
    Running first(options);
    options.projection = "balances";
    Running second(options);
    for (int round = 1; round <= 20; round++) {
        if (round % 2 == 0) REQUIRE(eventually([&] { return fixture.runs() == 2; }));  // else in whatever they are at
        append_some(fixture.log, 20);
        fixture.log.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'");
        if (round % 5 == 0) REQUIRE(fixture.catches_up());
    }
    REQUIRE(eventually([&] { return fixture.runs() == 2; }));  // both have told of the last end
    first.stop();
    second.stop();
    CHECK(first.problems().size() >= 10);
    CHECK(second.problems().size() >= 10);
    CHECK(has_counted_all(fixture.log));
}

TEST_CASE("A runner whose line is cut connects again, and one that cannot waits for its server or the stop") {
    Fixture fixture;
    Proxy proxy(Database::server_folder(), Database::server_port());
    auto options = fixture.options();
    options.connection.conninfo += " " + proxy.conninfo();
    Running running(options);
    for (const bool delivers_last : {true, false}) {
        append_some(fixture.log, 1);
        REQUIRE(fixture.catches_up());
        REQUIRE(fixture.runs() == 1);
        proxy.arm({Side::server, 1, delivers_last});
        append_some(fixture.log, 1);
        fixture.log.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = current_database() AND "
            "query LIKE "
            "'CALL%'");
        REQUIRE(eventually([&] { return proxy.has_cut(); }));
        append_some(fixture.log, 1);
        REQUIRE(fixture.catches_up());
    }
    running.stop();
    CHECK(running.problems().size() == 2);

    options.connection.conninfo = "host=/nowhere";
    Running lost(options);
    REQUIRE(eventually([&] { return lost.problems().size() >= 3; }));
    CHECK(time_of([&] { lost.stop(); }) < 10s);
    CHECK(lost.problems().front() == "08001");
}

TEST_CASE(
    "A runner lives through a server that takes no writes for a while, one that is stopped, and one that crashes") {
    Cluster cluster;
    std::optional<Running> running;
    {
        Connection log = cluster.connect();
        create_balances(log);
        log.projection("balances").create({.handler = "add_up"});
        log.execute("ALTER DATABASE log SET default_transaction_read_only = on");
        running.emplace(ProjectionRunnerOptions{.connection = {.conninfo = cluster.conninfo()}});
        REQUIRE(eventually([&] { return running->problems().size() >= 3; }));
        CHECK(running->problems().back() == "25006");
        log.execute("ALTER DATABASE log RESET default_transaction_read_only");
    }
    for (const bool crashes : {false, true}) {
        {
            Connection log = cluster.connect();
            append_some(log, 50);
            REQUIRE(eventually([&] { return balance_of(log, "account-0") > 0; }));
        }
        const auto before = running->problems().size();
        crashes ? cluster.crash() : cluster.stop();
        REQUIRE(eventually([&] { return running->problems().size() > before; }));
        cluster.start();
        Connection log = cluster.connect();
        append_some(log, 10);
        log.projection("balances").wait_for(log.safe_position(), 20s);
        CHECK(has_counted_all(log));
    }
    running->stop();
}

TEST_CASE("After a failover a runner that knows both servers goes on with the new primary") {
    Cluster primary;
    Replica standby(primary);
    Connection log = primary.connect(), replica = standby.connect();
    create_balances(log);
    log.projection("balances").create({.handler = "add_up"});
    Running running({.connection = {.conninfo = Cluster::conninfo_of(primary.host() + "," + standby.host()) +
                                                " target_session_attrs=read-write"}});
    append_some(log, 20);
    log.projection("balances").wait_for(log.safe_position(), 20s);
    REQUIRE(Replica::catches_up(log, replica));
    primary.crash();
    standby.promote();
    append_some(replica, 20);
    replica.projection("balances").wait_for(replica.safe_position(), 20s);
    CHECK(has_counted_all(replica));
    running.stop();
}
