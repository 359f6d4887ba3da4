// Commands: what they decide on is still true when their events come into the log, or they decide again.
#include <catch2/catch.hpp>

#include <atomic>
#include <memory>

#include "../support/accounts.hpp"
#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

void transfer(Command& command, const std::string& from, const std::string& to, long amount) {
    if (command.load<Account>(from).balance < amount) throw InsufficientFunds("the account " + from + " is empty");
    command.append(stream_of<Account>(from), Withdrawn{amount, "transfer"});
    command.append(stream_of<Account>(to), Deposited{amount});
}

std::vector<std::string> streams_of(std::initializer_list<std::string> ids) {
    std::vector<std::string> streams;
    for (const std::string& id : ids) streams.push_back(stream_of<Account>(id));
    return streams;
}

}  // namespace

TEST_CASE("A command reads, decides and appends to its streams, and tells what became of each") {
    Database database;
    Connection connection = database.connect();
    CommandExecutor executor(connection, {.correlation_id = "transfer-7"});
    CHECK(executor.run({}, [](Command& command) {
        command.append(stream_of<Account>("ann"), Deposited{100});
        CHECK(command.attempt() == 1);
        return std::string("opened");
    }) == "opened");
    connection.append("rate-1", event("Set"));
    auto declared = streams_of({"ann", "bob"});
    declared.push_back("rate-1");
    const auto left = executor.run(declared, [](Command& command) {
        transfer(command, "ann", "bob", 30);
        command.append(stream_of<Account>("ann"), Withdrawn{1, "fee"}, {{"of", "bank"}});
        return std::make_unique<long>(command.load<Account>("ann").balance);  // as it was read
    });
    CHECK(*left == 100);
    const auto& results = executor.results();
    REQUIRE(results.size() == 3);
    CHECK(results[0].stream == stream_of<Account>("ann"));
    CHECK(results[0].first_version == 2);
    CHECK(results[0].version == 3);
    CHECK(results[1].stream == stream_of<Account>("bob"));
    CHECK(results[1].version == 1);
    CHECK(results[1].first_position == results[0].last_position + 1);
    CHECK(results[2].stream == "rate-1");
    CHECK(results[2].version == 1);
    CHECK(results[2].first_position == 0);
    CHECK(Accounts::load(connection, "ann")->balance == 69);
    const auto events = connection.read_stream(stream_of<Account>("ann")).to_vector();
    CHECK(events[1].metadata() == json({{"correlation_id", "transfer-7"}}));
    CHECK(events[2].metadata() == json({{"correlation_id", "transfer-7"}, {"of", "bank"}}));
}

TEST_CASE("A command that appends nothing checks nothing, and has no results") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    CommandExecutor executor(connection);
    executor.run({}, [](Command& command) { command.append("a-1", event("A")); });
    CHECK(executor.results().size() == 1);
    executor.run({"a-1"}, [&](Command& command) {
        CHECK(command.read("a-1").version == 1);
        other.append("a-1", event("A"));
        CHECK(command.read("a-1").version == 1);  // still as it was read
        CHECK(command.attempt() == 1);
    });
    CHECK(executor.results().empty());
    executor.run({}, [](Command& command) { command.append("b-1", event("B")); });
    CHECK_THROWS_AS(executor.run({}, [](Command&) { throw InsufficientFunds(""); }), InsufficientFunds);
    CHECK(executor.results().empty());
}

TEST_CASE("The declared streams are read of one moment") {
    Database database;
    Connection writer = database.connect(), connection = database.connect();
    std::atomic<bool> done = false;
    std::jthread writing([&] {
        for (int i = 0; i < 100; i++) {
            const std::vector<StreamWrite> writes = {{.stream = "a-1", .expected = i, .events = {event("A")}},
                                                     {.stream = "b-1", .expected = i, .events = {event("B")}}};
            writer.append_streams(writes);
        }
        done = true;
    });
    int unequal = 0;
    while (!done) {
        CommandExecutor(connection).run({"a-1", "b-1"}, [&](Command& command) {
            unequal += command.read("a-1").version != command.read("b-1").version;
        });
    }
    CHECK(unequal == 0);
}

TEST_CASE(
    "A stream that was only read is checked, declared or discovered, and if it is stale the command begins again") {
    for (const bool declares : {true, false}) {
        Database database;
        Connection connection = database.connect(), other = database.connect();
        other.append("rate-1", event("Set"));
        std::vector<CommandOptions::Conflict> reported;
        CommandExecutor executor(connection, {.first_delay = 1ms, .on_conflict = [&](const auto& conflict) {
                                                  reported.push_back(conflict);
                                              }});
        const auto streams = declares ? std::vector<std::string>{"rate-1"} : std::vector<std::string>{};
        const auto read = executor.run(streams, [&](Command& command) {
            const auto version = command.read("rate-1").version;
            if (command.attempt() < 3) other.append("rate-1", event("Set"));
            command.append("order-1", event("Placed"));
            return version;
        });
        CHECK(read == 3);
        REQUIRE(reported.size() == 2);
        for (int i = 0; i < 2; i++) {
            CHECK(reported[i].attempt == i + 1);
            CHECK(reported[i].conflicts == std::vector<VersionConflict>{{"rate-1", i + 1, i + 2}});
        }
        CHECK(connection.stream_version("order-1") == 1);
        CHECK(executor.results().size() == 2);
    }
}

TEST_CASE("A stream that is written without being read is appended to whatever it says") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    CommandExecutor executor(connection, {.max_attempts = 1});
    executor.run({}, [&](Command& command) {
        other.append("a-1", event("A"));
        command.append("a-1", event("A"));
    });
    CHECK(connection.stream_version("a-1") == 2);
}

TEST_CASE("After the last attempt the conflict is thrown, and delays grow within their bounds up to then") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    std::vector<CommandOptions::Conflict> reported;
    CommandExecutor executor(connection, {.max_attempts = 6,
                                          .first_delay = 4ms,
                                          .max_delay = 20ms,
                                          .on_conflict = [&](const auto& conflict) { reported.push_back(conflict); }});
    int attempts = 0;
    const Seconds time = time_of([&] {
        const auto problem = thrown_by<wrong_expected_version>([&] {
            executor.run({"a-1"}, [&](Command& command) {
                attempts++;
                other.append("a-1", event("A"));
                command.append("a-1", event("Late"));
            });
        });
        CHECK(problem.conflicts() == std::vector<VersionConflict>{{"a-1", 5, 6}});
    });
    CHECK(attempts == 6);
    REQUIRE(reported.size() == 6);
    auto waited = 0ms;
    auto most = 4ms;
    for (const auto& conflict : reported) {
        INFO("attempt " << conflict.attempt << ", delay " << conflict.delay.count());
        waited += conflict.delay;
        if (conflict.attempt == 6) {
            CHECK(conflict.delay == 0ms);
        } else {
            CHECK(conflict.delay >= most / 2);
            CHECK(conflict.delay <= most);
        }
        most = std::min(2 * most, 20ms);
    }
    CHECK(time >= waited);
    CHECK(executor.results().empty());
    CHECK(connection.read_after(0, {.types = {{"Late"}}}).to_vector().empty());
}

TEST_CASE("What a decision throws is not retried, nor what the server refuses, and nothing is appended") {
    Database database;
    Connection connection = database.connect();
    int attempts = 0;
    CommandExecutor executor(connection);
    CHECK_THROWS_AS(executor.run(streams_of({"ann", "bob"}),
                                 [&](Command& command) {
                                     attempts++;
                                     command.append(stream_of<Account>("bob"), Deposited{1});
                                     transfer(command, "ann", "bob", 5);
                                 }),
                    InsufficientFunds);
    CHECK(attempts == 1);
    // A conflict of the decision's own is no conflict of the command.
    CHECK(state_of<wrong_expected_version>([&] {
              executor.run({}, [&](Command&) {
                  attempts++;
                  connection.append("a-1", event("A"), 9);
              });
          }) == "TM001");
    CHECK(attempts == 2);
    CHECK(state_of<server_error>([&] {
              executor.run({}, [&](Command& command) {
                  attempts++;
                  command.append("a-1", event("A"));
                  command.append("b-1", event(""));
              });
          }) == "22023");
    CHECK(attempts == 3);
    CHECK(connection.head_position() == 0);
}

TEST_CASE("A stop token ends a command between its attempts") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    std::stop_source stop;
    connection.set_stop_token(stop.get_token());
    CommandExecutor executor(
        connection, {.first_delay = 1h, .max_delay = 1h, .on_conflict = [&](const auto&) { stop.request_stop(); }});
    CHECK(time_of([&] {
              CHECK(state_of<cancelled>([&] {
                        executor.run({"a-1"}, [&](Command& command) {
                            other.append("a-1", event("A"));
                            command.append("a-1", event("A"));
                        });
                    }) == "57014");
          }) < 5s);
}

TEST_CASE("Transfers in a circle by three threads all succeed, and the total is what it was") {
    constexpr int ROUNDS = 60;
    Database database;
    Connection connection = database.connect();
    const std::vector<std::string> ids = {"a", "b", "c"};
    for (const std::string& id : ids) {
        auto account = Accounts::load(connection, id);
        account.record(Deposited{1'000});
        Accounts::save(connection, account);
    }
    Pool pool({.conninfo = database.conninfo()});
    std::atomic<int> conflicts = 0, failures = 0, done = 0;
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < 3; i++) {
            threads.emplace_back([&, from = ids[i], to = ids[(i + 1) % 3]] {
                Pool::Lease lease = pool.acquire();
                CommandExecutor executor(*lease, {.max_attempts = 1'000,
                                                  .first_delay = 1ms,
                                                  .max_delay = 16ms,
                                                  .on_conflict = [&](const auto&) { conflicts++; }});
                try {
                    for (int round = 0; round < ROUNDS; round++, done++)
                        executor.run(streams_of({from, to}), [&](Command& command) { transfer(command, from, to, 1); });
                } catch (const std::exception&) {
                    failures++;
                }
            });
        }
    }
    CHECK(failures == 0);
    CHECK(done == 3 * ROUNDS);
    CHECK(conflicts > 0);
    for (const std::string& id : ids) {
        const auto account = Accounts::load(connection, id);
        CHECK(account->balance == 1'000);
        CHECK(account.version() == 1 + 2 * ROUNDS);
    }
    CHECK(connection.execute("SELECT count(*) FROM es_verify()").get<int>(0, 0) == 0);
}
