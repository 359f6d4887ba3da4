// The calls of projections: each does what its SQL function or procedure does.
#include <catch2/catch.hpp>

#include <future>

#include "../support/balances.hpp"
#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

using Mode = ProjectionDefinition::Mode;
using OnError = ProjectionDefinition::OnError;

// A database with the read model's tables, and its projection's name.
struct Fixture {
    Fixture() { create_balances(log); }

    Database database;
    Connection log = database.connect();
    Projection balances = log.projection("balances");
};

}  // namespace

TEST_CASE("A projection is made once, by its whole definition, and dropped, which leaves its tables") {
    Fixture fixture;
    Connection& log = fixture.log;
    Projection& balances = fixture.balances;
    CHECK(balances.name() == "balances");
    const ProjectionDefinition definition = {
        .handler = "add_up",
        .filter = {.category = "account", .types = {{"Changed", "it's \"odd\""}}, .stream_prefix = "account-"},
        .on_error = OnError::park,
        .retries = 3,
        .retry_delay = 1'500ms,
        .tables = {"balances", "public.counted"}};
    CHECK(balances.create(definition));
    CHECK(!balances.create(definition));
    auto other = definition;
    other.retries = 4;
    CHECK(state_of<server_error>([&] { balances.create(other); }) == "42710");
    const Rows made = log.execute(
        "SELECT handler, mode, on_error, retries, retry_milliseconds, tables::text, category, event_types::text, "
        "stream_prefix FROM es_projections JOIN es_subscriptions USING (name)");
    REQUIRE(made.size() == 1);
    CHECK_THAT(made.get<std::string>(0, "handler"), Catch::Contains("add_up"));
    CHECK(made.text(0, 1) == "async");
    CHECK(made.text(0, 2) == "park");
    CHECK(made.get<int>(0, 3) == 3);
    CHECK(made.get<int>(0, 4) == 1'500);
    CHECK_THAT(made.get<std::string>(0, 5), Catch::Contains("balances") && Catch::Contains("counted"));
    CHECK(made.text(0, 6) == "account");
    CHECK_THAT(made.get<std::string>(0, 7), Catch::Contains("Changed") && Catch::Contains("it's"));
    CHECK(made.text(0, 8) == "account-");

    const auto refused = [&](const ProjectionDefinition& wrong, const char* state) {
        CHECK(state_of<server_error>([&] { log.projection("wrong").create(wrong); }) == state);
    };
    refused({.handler = "no_such_function"}, "42883");
    refused({.handler = "add_up", .mode = Mode::sync, .retries = 1}, "22023");
    refused({.handler = "add_up", .tables = {"no_such_table"}}, "42P01");
    CHECK(state_of<server_error>([&] { log.subscription("balances").fetch("ann"); }) == "55000");
    CHECK(!log.projection("wrong").status());

    log.append("account-1", change(5));
    balances.run();
    CHECK(balances.drop());
    CHECK(!balances.drop());
    CHECK(balance_of(log, "account-1") == 5);
    CHECK(!balances.status());
    CHECK(log.projections().empty());
    CHECK(state_of<server_error>([&] { balances.run(); }) == "TM005");
    CHECK(state_of<server_error>([&] { balances.rebuild(); }) == "TM005");
    CHECK(state_of<server_error>([&] { balances.wait_for(1); }) == "TM005");
}

TEST_CASE("A synchronous projection is in each append, and what its handler refuses is not appended") {
    Fixture fixture;
    Connection& log = fixture.log;
    log.append("account-1", {change(10), change(20)});
    CHECK(fixture.balances.create({.handler = "add_up", .mode = Mode::sync}));
    CHECK(balance_of(log, "account-1") == 30);  // what was there already
    log.append("account-1", change(-5));
    CHECK(balance_of(log, "account-1") == 25);

    const auto refused = thrown_by<server_error>([&] {
        log.append_streams({{.stream = "account-2", .events = {change(26)}},
                            {.stream = "account-1", .expected = 3, .events = {change(-26)}}});
    });
    CHECK(refused.sqlstate() == "23514");
    CHECK(refused.constraint() == "no_debts");
    CHECK(refused.table() == "balances");
    CHECK(log.stream_version("account-2") == 0);
    CHECK(log.stream_version("account-1") == 3);
    CHECK(balance_of(log, "account-1") == 25);

    {
        Transaction transaction = log.begin();
        transaction.append("account-1", change(100));
        CHECK(balance_of(transaction, "account-1") == 125);
    }
    CHECK(balance_of(log, "account-1") == 25);
    CHECK(has_counted_all(log));
    CHECK_NOTHROW(fixture.balances.wait_for(log.safe_position()));
    CHECK(state_of<server_error>([&] { fixture.balances.run(); }) == "55000");
    CHECK_NOTHROW(Projection::run_all(log));
    const auto status = fixture.balances.status();
    REQUIRE(status);
    CHECK(status->mode == Mode::sync);
    CHECK(!status->checkpoint);
    CHECK(status->backlog == 0);
    CHECK(status->backlog_is_exact);
    CHECK(!status->failure);
}

TEST_CASE("An asynchronous projection is run to the safe position, in batches, and waited for") {
    Fixture fixture;
    Connection& log = fixture.log;
    Projection& balances = fixture.balances;
    for (int i = 0; i < 25; i++) log.append("account-" + std::to_string(i % 3), change(i));
    log.append("order-1", event("Placed"));
    CHECK(balances.create({.handler = "add_all_up", .filter = {.category = "account"}}));
    const auto last = log.safe_position();
    CHECK(state_of<server_error>([&] { balances.wait_for(last, 10ms); }) == "TM008");

    auto status = balances.status();
    REQUIRE(status);
    CHECK(status->name == "balances");
    CHECK(status->mode == Mode::async);
    CHECK_THAT(status->handler, Catch::Contains("add_all_up"));
    CHECK(status->checkpoint == 0);
    CHECK(status->backlog == 25);
    CHECK(status->backlog_is_exact);
    REQUIRE(status->oldest_undelivered_at);
    CHECK(*status->oldest_undelivered_at == log.read_after().begin()->recorded_at);
    REQUIRE(status->oldest_undelivered_age);
    CHECK(*status->oldest_undelivered_age > 0us);
    CHECK(!status->failure);
    CHECK(status->parked == 0);
    CHECK(!status->acked_at);
    CHECK(!status->rebuild);

    balances.run({.max_count = 10});
    CHECK_NOTHROW(balances.wait_for(last));
    CHECK(log.execute("SELECT sum(balance) FROM balances").get<long>(0, 0) == 24 * 25 / 2);
    CHECK(log.execute("SELECT count(DISTINCT xmin::text) FROM counted").get<int>(0, 0) == 3);
    status = balances.status();
    CHECK(status->checkpoint >= 25);
    CHECK(status->backlog == 0);
    CHECK(!status->oldest_undelivered_at);
    REQUIRE(status->acked_at);
    CHECK(*status->acked_at > log.read_after().begin()->recorded_at);

    log.projection("again").create({.handler = "add_up", .filter = {.category = "other"}});
    log.append("account-1", change(1));
    log.append("other-1", change(7));
    Projection::run_all(log);
    CHECK(balance_of(log, "other-1") == 7);
    CHECK(balances.status()->backlog == 0);
    const auto all = log.projections();
    REQUIRE(all.size() == 2);
    CHECK(all[0].name == "again");
    CHECK(all[1].name == "balances");

    log.projection("late").create({.handler = "add_up", .start = SubscriptionStart::end()});
    log.projection("late").run();
    CHECK(log.projection("late").status()->checkpoint >= last);
}

TEST_CASE("Running and rebuilding are refused in a transaction, which goes on") {
    Fixture fixture;
    fixture.balances.create({.handler = "add_up", .tables = {"balances", "counted"}});
    fixture.log.transact([](Transaction& transaction) {
        transaction.append("account-1", change(1));
        const auto refused = [](auto call) { CHECK(state_of<usage_error>(call) == "TM000"); };
        refused([&] { transaction.projection("balances").run(); });
        refused([&] { transaction.projection("balances").rebuild(); });
        refused([&] { Projection::run_all(transaction); });
        refused([&] { transaction.execute("SELECT 1"), Projection::run_all(transaction, {.duration = std::nullopt}); });
        CHECK(transaction.projection("balances").status());
    });
    CHECK(fixture.log.stream_version("account-1") == 1);
    fixture.balances.run();
    CHECK(balance_of(fixture.log, "account-1") == 1);
    // It may be made and dropped in one.
    {
        Transaction transaction = fixture.log.begin();
        CHECK(transaction.projection("balances").drop());
        CHECK(transaction.projection("other").create({.handler = "add_up"}));
    }
    CHECK(fixture.log.projections().size() == 1);
}

TEST_CASE("A projection that fails stops there, says so, and goes on when it is run after its handler was mended") {
    Fixture fixture;
    Connection& log = fixture.log;
    Projection& balances = fixture.balances;
    balances.create({.handler = "add_up"});
    log.append("account-1", {change(1), change(2), event("Bad"), change(3)});
    const auto failed = thrown_by<server_error>([&] { balances.run(); });
    CHECK(failed.sqlstate() == "TM006");
    CHECK_THAT(failed.detail(), Catch::Contains("it is bad"));
    CHECK(balance_of(log, "account-1") == 3);
    const auto status = balances.status();
    REQUIRE(status);
    CHECK(status->checkpoint == 2);
    REQUIRE(status->failure);
    CHECK(status->failure->position == 3);
    CHECK(status->failure->attempts == 1);
    CHECK_THAT(status->failure->error, Catch::Contains("it is bad"));
    CHECK(!status->failure->retry_at);
    CHECK(status->failure->at < std::chrono::system_clock::now() + 1min);
    CHECK(time_of([&] { CHECK(state_of<server_error>([&] { balances.wait_for(4, 60s); }) == "TM006"); }) < 30s);

    CHECK_NOTHROW(Projection::run_all(log));  // the others
    CHECK(state_of<server_error>([&] { balances.run(); }) == "TM006");
    CHECK(balances.status()->failure->attempts == 2);
    create_mended_handler(log);
    balances.run();
    CHECK_NOTHROW(balances.wait_for(4));
    CHECK(has_counted_all(log));
    CHECK(!balances.status()->failure);
}

TEST_CASE("A projection that parks sets the event and its stream aside, and has them again when they are unparked") {
    Fixture fixture;
    Connection& log = fixture.log;
    fixture.balances.create({.handler = "add_up", .on_error = OnError::park});
    log.append("account-1", {event("Bad"), change(1)});
    log.append("account-2", change(2));
    fixture.balances.run();
    CHECK_NOTHROW(fixture.balances.wait_for(3));
    CHECK(balance_of(log, "account-1") == 0);
    CHECK(balance_of(log, "account-2") == 2);
    CHECK(fixture.balances.status()->parked == 1);
    Subscription behind = log.subscription("balances");
    const auto parked = behind.parked();
    REQUIRE(parked.size() == 1);
    CHECK(parked[0].position == 1);
    CHECK(parked[0].held == 1);
    CHECK(behind.unpark(1, false));
    fixture.balances.run();
    CHECK(balance_of(log, "account-1") == 1);
    CHECK(behind.parked().empty());
}

TEST_CASE("A projection is rebuilt from the log, also one that is in each append") {
    for (const Mode mode : {Mode::async, Mode::sync}) {
        Fixture fixture;
        Connection& log = fixture.log;
        fixture.balances.create({.handler = "add_up", .mode = mode, .tables = {"balances", "counted"}});
        log.append("account-1", {change(10), change(20)});
        log.append("account-2", change(1));
        if (mode == Mode::async) fixture.balances.run();
        log.execute("UPDATE balances SET balance = 99 WHERE stream = 'account-1'");
        log.execute("DELETE FROM counted WHERE position = 1");
        fixture.balances.rebuild(2);
        CHECK(balance_of(log, "account-1") == 30);
        CHECK(balance_of(log, "account-2") == 1);
        CHECK(has_counted_all(log));
        CHECK(!fixture.balances.status()->rebuild);

        // One that fails changes nothing.
        log.execute(
            "CREATE OR REPLACE FUNCTION add_up(event es_events) RETURNS void LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'it is broken' USING ERRCODE = 'XX123'; END $$");
        CHECK_THROWS_AS(fixture.balances.rebuild(), server_error);
        CHECK(balance_of(log, "account-1") == 30);
    }
    Fixture fixture;
    fixture.balances.create({.handler = "add_up"});
    CHECK(state_of<server_error>([&] { fixture.balances.rebuild(); }) == "55000");  // it does not say which tables
}

TEST_CASE("A run with a duration follows the log, until it is over, times out, or is stopped") {
    Fixture fixture;
    Connection& log = fixture.log;
    fixture.balances.create({.handler = "add_up"});
    Connection running = fixture.database.connect();
    const auto follow = [&](auto run) {
        auto end = std::async(std::launch::async, run);
        for (int i = 0; i < 3; i++) fixture.balances.wait_for(log.append("account-1", change(1)).last_position, 20s);
        return end;
    };
    const auto took = time_of([&] { follow([&] { running.projection("balances").run({.duration = 1s}); }).get(); });
    CHECK(took >= 900ms);
    CHECK(took < 20s);

    running.set_timeout(1s);
    auto end = follow([&] { running.projection("balances").run({.duration = std::nullopt}); });
    CHECK(state_of<cancelled>([&] { end.get(); }) == "57014");

    running.set_timeout(0ms);
    std::stop_source stop;
    running.set_stop_token(stop.get_token());
    end = follow([&] { Projection::run_all(running, {.duration = std::nullopt}); });
    stop.request_stop();
    CHECK(state_of<cancelled>([&] { end.get(); }) == "57014");
    CHECK(has_counted_all(log));
    CHECK(balance_of(log, "account-1") == 9);
}
