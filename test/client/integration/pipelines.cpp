// Pipelines: many appends in flight, each a transaction of its own.
#include <catch2/catch.hpp>

#include <memory>
#include <numeric>

#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/proxy.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("Thousands of appends are made in their order, and answered in it") {
    Database database;
    Connection connection = database.connect();
    std::vector<std::int64_t> positions;
    Pipeline pipeline(connection);
    for (int i = 0; i < 5'000; i++)
        pipeline.append("a-" + std::to_string(i % 7), event("A"), i / 7,
                        [&](const Pipeline::Answer& answer) { positions.push_back(answer.get().first_position); });
    pipeline.finish();
    std::vector<std::int64_t> all(5'000);
    std::iota(all.begin(), all.end(), 1);
    CHECK(positions == all);
    CHECK(connection.stream_version("a-0") == 715);
}

TEST_CASE("At most so many appends are unanswered, and of one at a time the last one") {
    Database database;
    Connection connection = database.connect();
    for (const std::size_t most : {1, 3}) {
        std::size_t answered = 0;
        Pipeline pipeline(connection, most);
        for (std::size_t sent = 1; sent <= 20; sent++) {
            pipeline.append("a-1", event("A"), ExpectedVersion::any(), [&](const auto&) { answered++; });
            CHECK(answered == sent - std::min(sent, most));
        }
        pipeline.finish();
        CHECK(answered == 20);
    }
    CHECK(state_of<usage_error>([&] { Pipeline pipeline(connection, 0); }) == "TM000");
}

TEST_CASE("An append that fails hinders no other, and its error is that of a plain append") {
    Database database;
    Connection connection = database.connect();
    connection.execute("CREATE UNIQUE INDEX one_name ON es_events ((data->>'name'))");
    std::vector<std::string> answers;
    const auto note = [&](const Pipeline::Answer& answer) {
        CHECK(answer.has_failed() == (answer.failure() != nullptr));
        try {
            answers.push_back(std::to_string(answer.get().version));
        } catch (const wrong_expected_version& problem) {
            answers.push_back("conflict with " + std::to_string(problem.conflicts().at(0).actual));
        } catch (const server_error& problem) {
            answers.push_back(problem.sqlstate() + problem.constraint());
        }
    };
    const NewEvent twice = event("A");
    Pipeline pipeline(connection, 4);
    pipeline.append("a-1", event("A", {{"name", "ann"}}), 0, note);
    pipeline.append("a-1", event("A"), 0, note);
    pipeline.append("a-1", event("A"), 1, note);
    pipeline.append("a-1", event("A", {{"name", "ann"}}), 2, note);
    pipeline.append("a-1", event(""), 2, note);
    pipeline.append("a-1", twice, 2, note);
    pipeline.append("b-1", twice, 0, note);
    pipeline.append("a-1", std::vector{event("A"), event("A")}, 3, note);
    pipeline.append("a-1", std::vector<NewEvent>(), 5, note);
    pipeline.finish();
    CHECK(answers ==
          std::vector<std::string>{"1", "conflict with 1", "2", "23505one_name", "22023", "3", "TM003", "5", "5"});
}

TEST_CASE("An append that fails by its commit, as by a deferred constraint, hinders no other, either") {
    Database database;
    Connection connection = database.connect();
    connection.execute("CREATE TABLE allowed (type text PRIMARY KEY)");
    connection.execute("INSERT INTO allowed VALUES ('Allowed')");
    connection.execute(
        "ALTER TABLE es_events ADD CONSTRAINT is_allowed FOREIGN KEY (event_type) REFERENCES allowed "
        "DEFERRABLE INITIALLY DEFERRED");
    const auto plain = thrown_by<server_error>([&] { connection.append("a-1", event("Other")); });
    CHECK(plain.sqlstate() == "23503");
    CHECK(plain.constraint() == "is_allowed");
    std::vector<std::string> answers;
    const auto note = [&](const Pipeline::Answer& answer) {
        try {
            answers.push_back(std::to_string(answer.get().version));
        } catch (const server_error& problem) {
            answers.push_back(problem.sqlstate());
        }
    };
    Pipeline pipeline(connection);
    for (const char* type : {"Allowed", "Other", "Allowed", "Other"})
        pipeline.append("a-1", event(type), ExpectedVersion::any(), note);
    pipeline.finish();
    CHECK(answers == std::vector<std::string>{"1", "23503", "2", "23503"});
    CHECK(connection.stream_version("a-1") == 2);
}

TEST_CASE("The first failure that no handler takes is thrown by finish(), once, and the pipeline goes on") {
    Database database;
    Connection connection = database.connect();
    Pipeline pipeline(connection, 1);
    pipeline.append("a-1", event("A"), 5);
    pipeline.append("a-1", event(""));
    pipeline.append("a-1", event("A"));
    CHECK(state_of<wrong_expected_version>([&] { pipeline.finish(); }) == "TM001");
    CHECK_NOTHROW(pipeline.finish());
    pipeline.append("a-1", event("A"), 1);
    CHECK_NOTHROW(pipeline.finish());
    CHECK(connection.append("a-1", event("A")).version == 3);  // after finish() the connection is free
    pipeline.append("a-1", event("A"), 3);
    pipeline.finish();
    CHECK(connection.stream_version("a-1") == 4);
}

TEST_CASE("While appends are in flight the connection refuses all else, and nothing is mixed up") {
    Database database;
    Connection connection = database.connect();
    connection.append("b-1", {event("B"), event("B")});
    {
        Pipeline pipeline(connection);
        pipeline.append("a-1", event("A"));
        const auto refuses = [&](auto call) { CHECK(state_of<usage_error>(call) == "TM000"); };
        refuses([&] { connection.stream_version("b-1"); });
        refuses([&] { connection.append("b-1", event("B")); });
        refuses([&] { connection.execute("SELECT 1"); });
        refuses([&] { connection.begin(); });
        refuses([&] { Pipeline another(connection); });
        pipeline.append("a-1", event("A"));
        pipeline.finish();
        CHECK(connection.stream_version("a-1") == 2);

        Transaction transaction = connection.begin();
        refuses([&] { pipeline.append("a-1", event("A")); });
    }
    CHECK(connection.stream_version("a-1") == 2);
    CHECK(connection.stream_version("b-1") == 2);
}

TEST_CASE("A pipeline that is destroyed makes its appends, and keeps failures to itself") {
    Database database;
    Connection connection = database.connect();
    {
        Pipeline pipeline(connection);
        for (int i = 0; i < 100; i++) pipeline.append("a-1", event("A"), i == 50 ? 7 : -2);
    }
    CHECK(connection.stream_version("a-1") == 99);
    { Pipeline unused(connection); }
    CHECK(connection.append("a-1", event("A")).version == 100);
}

TEST_CASE("A handler that throws ends the call that called it, and no answer is lost") {
    Database database;
    Connection connection = database.connect();
    int answered = 0;
    const auto complain = [&](const Pipeline::Answer&) {
        if (++answered % 2 == 0) throw std::runtime_error("of one's own");
    };
    Pipeline pipeline(connection);
    for (int i = 0; i < 4; i++) pipeline.append("a-1", event("A"), ExpectedVersion::any(), complain);
    CHECK_THROWS_AS(pipeline.finish(), std::runtime_error);
    CHECK(answered == 2);
    CHECK_THROWS_AS(pipeline.finish(), std::runtime_error);
    CHECK(answered == 4);
    CHECK_NOTHROW(pipeline.finish());
    CHECK(connection.stream_version("a-1") == 4);

    // One that throws what the library does is not taken for the loss of this connection.
    pipeline.append("a-1", event("A"), ExpectedVersion::any(),
                    [](const auto&) { throw connection_lost("of another connection"); });
    pipeline.append("a-1", event("A"), ExpectedVersion::any(), [&](const auto&) { answered++; });
    CHECK(state_of<connection_lost>([&] { pipeline.finish(); }) == "08006");
    pipeline.finish();
    CHECK(answered == 5);
    CHECK(connection.stream_version("a-1") == 6);
}

TEST_CASE("A pipeline is destroyed with handlers that throw: all of them are called, and nothing is thrown") {
    Database database;
    Connection connection = database.connect();
    int answered = 0;
    {
        Pipeline pipeline(connection);
        for (int i = 0; i < 3; i++)
            pipeline.append("a-1", event("A"), 0, [&](const Pipeline::Answer& answer) {
                answered++;
                answer.get();
                throw std::runtime_error("of one's own");
            });
    }
    CHECK(answered == 3);
    CHECK(connection.append("a-1", event("A"), 1).version == 2);
}

TEST_CASE("A handler may append further events to its pipeline") {
    Database database;
    Connection connection = database.connect();
    Pipeline pipeline(connection, 2);
    int answered = 0;
    const std::function<void(const Pipeline::Answer&)> go_on = [&](const Pipeline::Answer& answer) {
        answered++;
        if (answer.get().version < 10) pipeline.append("a-1", event("A"), answer.get().version, go_on);
    };
    pipeline.append("a-1", event("A"), 0, go_on);
    pipeline.finish();
    CHECK(answered == 10);
    CHECK(connection.stream_version("a-1") == 10);
}

TEST_CASE("Events larger than the buffers on the way, and of mixed numbers, pass") {
    Database database;
    Connection connection = database.connect();
    std::int64_t version = 0;
    Pipeline pipeline(connection, 16);
    for (const std::size_t count : {1u, 3u, 0u, 1u, 200u, 2u, 1u}) {
        std::vector<NewEvent> events;
        for (std::size_t i = 0; i < count; i++) events.push_back(event("A", std::string(2'000'000 / (count + 1), 'x')));
        pipeline.append("a-1", events, version);
        version += static_cast<std::int64_t>(count);
    }
    pipeline.finish();
    CHECK(connection.stream_version("a-1") == version);
    CHECK(connection.read_stream("a-1").begin()->data_text.size() == 1'000'002);
}

TEST_CASE("A pipeline that runs into its timeout tells how many appends have no answer, and the connection works on") {
    Database database;
    Connection connection = database.connect(), blocker = database.connect();
    int answered = 0;
    {
        Transaction transaction = blocker.begin();
        transaction.lock_stream("a-1");
        Pipeline pipeline(connection);
        const auto count = [&](const Pipeline::Answer&) { answered++; };
        pipeline.append("b-1", event("B"), ExpectedVersion::any(), count);
        pipeline.finish();
        connection.set_timeout(100ms);
        pipeline.append("a-1", event("A"), ExpectedVersion::any(), count);
        pipeline.append("a-1", event("A"), ExpectedVersion::any(), count);
        const Seconds time = time_of([&] {
            const auto doubt = thrown_by<commit_in_doubt>([&] { pipeline.finish(); });
            CHECK_THAT(doubt.what(), Catch::Contains("without an answer: 2"));
        });
        CHECK(time >= 90ms);
        CHECK(time < 5s);
        CHECK(answered == 1);
    }
    connection.set_timeout(0ms);
    CHECK(connection.append("b-1", event("B"), 1).version == 2);
}

TEST_CASE("A stop token ends a pipeline, and one that was triggered before lets nothing be sent") {
    Database database;
    Connection direct = database.connect(), connection = database.connect(), blocker = database.connect();
    connection.safe_position();
    std::stop_source stop;
    {
        Transaction transaction = blocker.begin();
        transaction.lock_stream("a-1");
        connection.set_stop_token(stop.get_token());
        Pipeline pipeline(connection);
        pipeline.append("a-1", event("A"));
        std::jthread stopper([&, pid = connection.backend_pid()] {
            comes_to_wait(direct, pid);
            stop.request_stop();
        });
        CHECK(state_of<commit_in_doubt>([&] { pipeline.finish(); }) == "08007");
        stopper.join();
        CHECK(state_of<cancelled>([&] { pipeline.append("b-1", event("B")); }) == "57014");
        connection.set_stop_token({});
        CHECK_NOTHROW(pipeline.finish());
    }
    CHECK(direct.stream_version("b-1") == 0);  // who was told that it was cancelled may do it again
    CHECK(connection.append("b-1", event("B"), 0).version == 1);
}

TEST_CASE("A pipeline whose session is ended goes on in another one, and makes each append once") {
    Database database;
    Connection direct = database.connect(), connection = database.connect();
    std::vector<std::int64_t> versions;
    Pipeline pipeline(connection, 8);
    for (int i = 0; i < 200; i++) {
        pipeline.append("a-1", event("A"), i,
                        [&](const Pipeline::Answer& answer) { versions.push_back(answer.get().version); });
        if (i % 60 == 30) terminate(direct, connection.backend_pid());
    }
    pipeline.finish();
    CHECK(versions.size() == 200);
    CHECK(std::is_sorted(versions.begin(), versions.end()));
    CHECK(connection.stream_version("a-1") == 200);
}

TEST_CASE("A pipeline to a server that is gone says what is in doubt, and takes no more") {
    Database database;
    auto proxy = std::make_unique<Proxy>(Database::server_folder(), Database::server_port());
    Connection connection(database.conninfo() + " " + proxy->conninfo());
    connection.append("a-1", event("A"));
    Pipeline pipeline(connection);
    pipeline.append("a-1", event("A"));
    pipeline.finish();
    proxy->freeze();
    pipeline.append("a-1", event("A"));
    pipeline.append("a-1", event("A"));
    proxy.reset();
    const auto doubt = thrown_by<commit_in_doubt>([&] { pipeline.finish(); });
    CHECK_THAT(doubt.what(), Catch::Contains("without an answer: 2"));
    CHECK(state_of<connection_lost>([&] { pipeline.append("a-1", event("A")); }) == "08001");
    CHECK_NOTHROW(pipeline.finish());  // what was not sent is not waited for
}

TEST_CASE("A pipeline in a database without the extension says so, and can be destroyed") {
    Connection connection(Database::server() + " dbname=postgres");
    Pipeline pipeline(connection);
    for (int i = 0; i < 2; i++) CHECK(state_of<server_error>([&] { pipeline.append("a-1", event("A")); }) == "42883");
}
