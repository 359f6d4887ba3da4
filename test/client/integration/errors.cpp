// What goes wrong arrives as the error that tells of it, with all that it says, and nothing else leaves the library.
#include <catch2/catch.hpp>

#include <future>

#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/proxy.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("A wrong expected version tells each expectation that failed, with both versions") {
    Database database;
    Connection connection = database.connect();
    connection.append("a-1", {event("A"), event("A")});
    const auto conflict = [&](auto call) {
        const auto problem = thrown_by<wrong_expected_version>(call);
        CHECK(problem.sqlstate() == "TM001");
        CHECK_THAT(problem.detail(), Catch::StartsWith("[{\"stream\": "));
        CHECK_THAT(problem.hint(), Catch::Contains("Read the stream again"));
        return problem.conflicts();
    };
    using Conflicts = std::vector<VersionConflict>;
    CHECK(conflict([&] { connection.append("a-1", event("A"), 1); }) == Conflicts{{"a-1", 1, 2}});
    CHECK(conflict([&] { connection.append("a-1", {event("A"), event("A")}, 0); }) == Conflicts{{"a-1", -1, 2}});
    CHECK(conflict([&] { connection.append("b-1", event("A"), 9); }) == Conflicts{{"b-1", 9, 0}});
    CHECK(conflict([&] { connection.append("b-1", event("A"), ExpectedVersion::stream_exists()); }) ==
          Conflicts{{"b-1", -4, 0}});
    CHECK(conflict([&] { connection.append("a-1", {}, 1); }) == Conflicts{{"a-1", 1, 2}});

    const std::string odd = "c-\"\\ {[,]} \xc3\xa9";
    const std::vector<StreamWrite> writes = {{.stream = odd, .expected = 3, .events = {event("A")}},
                                             {.stream = "a-1", .expected = 2, .events = {event("A")}},
                                             {.stream = "b-1", .expected = ExpectedVersion::stream_exists()}};
    const Conflicts both = {{odd, 3, 0}, {"b-1", -4, 0}};
    CHECK(conflict([&] { connection.append_streams(writes); }) == both);
    CHECK(connection.try_append_streams(writes).conflicts() == both);
    CHECK(connection.try_append("a-1", event("A"), 1).conflicts() == Conflicts{{"a-1", 1, 2}});
    CHECK(state_of<usage_error>([&] { *connection.try_append("a-1", event("A"), 1); }) == "TM000");
    CHECK(connection.try_append("a-1", event("A"), 2).conflicts().empty());
    CHECK(connection.stream_version("a-1") == 3);
    CHECK(connection.head_position() == 3);
}

TEST_CASE("What the server refuses tells its SQLSTATE, detail, hint, constraint and table") {
    Database database;
    Connection connection = database.connect();
    const NewEvent once = event("A", {{"name", "ann"}});
    connection.append("a-1", once, 0);
    CHECK(connection.append("a-1", once, 0).is_duplicate);
    CHECK(state_of<server_error>([&] { connection.append("b-1", once, 0); }) == "TM003");
    CHECK(state_of<server_error>([&] { connection.append("b-1", event("")); }) == "22023");
    CHECK(state_of<server_error>([&] { connection.append("", event("A")); }) == "22023");
    CHECK(state_of<server_error>([&] { connection.append("a-1", event("A"), -7); }) == "22023");
    CHECK(state_of<server_error>([&] { connection.append("a-1", event("A"), 1, "b"); }) == "22023");
    CHECK(state_of<server_error>([&] { connection.append("a-1", NewEvent{.type = "A", .schema_version = 0}); }) ==
          "22023");
    CHECK(state_of<server_error>([&] { connection.append("a-1", NewEvent{.type = "A", .metadata = json::array()}); }) ==
          "22023");
    const auto place = thrown_by<server_error>([&] { connection.append("a-1", {event("A"), event("")}); });
    CHECK_THAT(place.detail(), Catch::Contains("events[1]"));

    connection.execute("CREATE UNIQUE INDEX one_name ON es_events ((data->>'name'))");
    const auto taken = thrown_by<server_error>([&] { connection.append("b-1", event("A", {{"name", "ann"}})); });
    CHECK(taken.sqlstate() == "23505");
    CHECK(taken.constraint() == "one_name");
    CHECK(taken.table() == "es_events");
    CHECK_THAT(taken.detail(), Catch::Contains("ann"));

    const auto syntax = thrown_by<server_error>([&] { connection.execute("SELEC"); });
    CHECK(syntax.sqlstate() == "42601");
    CHECK(syntax.constraint().empty());
    const auto raised = thrown_by<server_error>([&] {
        connection.execute("DO $$BEGIN RAISE 'what' USING ERRCODE = 'XX123', DETAIL = 'why', HINT = 'how'; END$$");
    });
    CHECK(raised.what() == std::string("what"));
    CHECK(raised.sqlstate() == "XX123");
    CHECK(raised.detail() == "why");
    CHECK(raised.hint() == "how");
    CHECK(connection.stream_version("b-1") == 0);
}

TEST_CASE("A lost lease and a foreign TM001 are errors of their own types") {
    Database database;
    Connection connection = database.connect();
    const auto raise = [&](const std::string& what) { connection.execute("DO $$BEGIN RAISE " + what + "; END$$"); };
    const auto lost = thrown_by<lease_lost>([&] { raise("'gone' USING ERRCODE = 'TM004', HINT = 'stop'"); });
    CHECK(lost.sqlstate() == "TM004");
    CHECK(lost.hint() == "stop");
    for (const char* detail : {"no JSON", "{}", "[1, null, {\"stream\": 1}, {}]", "[{\"stream\": \"a\"", ""}) {
        INFO(detail);
        const auto problem = thrown_by<wrong_expected_version>(
            [&] { raise(std::string("'x' USING ERRCODE = 'TM001', DETAIL = '") + detail + "'"); });
        CHECK(problem.conflicts().empty());
    }
    const auto strange = thrown_by<wrong_expected_version>([&] {
        raise("'x' USING ERRCODE = 'TM001', DETAIL = '[{\"stream\": \"a\", \"expected\": 1.5, \"actual\": {}}]'");
    });
    CHECK(strange.conflicts() == std::vector<VersionConflict>{{"a", -1, 0}});
}

TEST_CASE("A call that waits too long is cancelled, nothing of it has happened, and the connection works on") {
    Database database;
    Connection direct = database.connect(), blocker = database.connect(), connection = database.connect();
    connection.safe_position();
    const int pid = connection.backend_pid();
    {
        Transaction transaction = blocker.begin();
        transaction.lock_stream("a-1");
        const auto append = [&] { connection.append("a-1", event("A")); };

        connection.set_timeout(100ms);
        const Seconds time = time_of([&] { CHECK(state_of<cancelled>(append) == "57014"); });
        CHECK(time >= 100ms);
        CHECK(time < 5s);
        connection.set_timeout(0ms);

        std::stop_source stop;
        connection.set_stop_token(stop.get_token());
        std::jthread stopper([&] {
            comes_to_wait(direct, pid);
            stop.request_stop();
        });
        CHECK(state_of<cancelled>(append) == "57014");
        stopper.join();
        connection.set_stop_token({});

        std::jthread canceller([&] {
            comes_to_wait(direct, pid);
            direct.execute("SELECT pg_cancel_backend($1::int)", pid);
        });
        CHECK(state_of<cancelled>(append) == "57014");
        canceller.join();

        connection.execute("SET statement_timeout = '50ms'");
        CHECK(state_of<cancelled>(append) == "57014");
        connection.execute("RESET statement_timeout");
        connection.execute("SET lock_timeout = '50ms'");
        CHECK(state_of<server_error>(append) == "55P03");
        connection.execute("RESET lock_timeout");
    }
    CHECK(connection.backend_pid() == pid);
    CHECK(connection.append("a-1", event("A"), 0).version == 1);
}

TEST_CASE("After the stop token was triggered every call is cancelled before it does anything") {
    Database database;
    Connection direct = database.connect(), connection = database.connect();
    std::stop_source stop;
    connection.set_stop_token(stop.get_token());
    Transaction transaction = connection.begin();
    transaction.append("b-1", event("B"));
    stop.request_stop();
    CHECK(state_of<cancelled>([&] { transaction.append("b-1", event("B")); }) == "57014");
    CHECK(state_of<cancelled>([&] { transaction.commit(); }) == "57014");
    CHECK(!connection.in_transaction());
    for (int i = 0; i < 5; i++) {
        CHECK(state_of<cancelled>([&] { connection.append("a-1", event("A")); }) == "57014");
        CHECK(state_of<cancelled>([&] { connection.execute("CREATE TABLE effects ()"); }) == "57014");
    }
    CHECK(state_of<cancelled>([&] { connection.safe_position(); }) == "57014");
    CHECK(state_of<cancelled>([&] { connection.begin(); }) == "57014");
    CHECK(state_of<cancelled>([&] { connection.pause(1h); }) == "57014");
    CHECK(direct.head_position() <= 1);
    CHECK(direct.stream_version("a-1") == 0);
    CHECK(direct.stream_version("b-1") == 0);
    CHECK(direct.execute("SELECT to_regclass('effects') IS NULL").get<bool>(0, 0));
    connection.set_stop_token({});
    CHECK(connection.append("a-1", event("A")).version == 1);
}

TEST_CASE("A stop token ends a pause, and a transaction that was stopped is rolled back") {
    Database database;
    Connection connection = database.connect();
    connection.pause(1ms);
    std::stop_source stop;
    connection.set_stop_token(stop.get_token());
    std::jthread stopper([&] {
        std::this_thread::sleep_for(30ms);
        stop.request_stop();
    });
    CHECK(time_of([&] { CHECK(state_of<cancelled>([&] { connection.pause(1h); }) == "57014"); }) < 5s);
    stopper.join();

    std::stop_source another;
    connection.set_stop_token(another.get_token());
    connection.safe_position();
    const int pid = connection.backend_pid();
    {
        Transaction transaction = connection.begin();
        transaction.append("a-1", event("A"));
        another.request_stop();
    }
    connection.set_stop_token({});
    CHECK(connection.backend_pid() == pid);  // rolling back heeds no token
    CHECK(connection.stream_version("a-1") == 0);
}

TEST_CASE("A server that answers nothing any more, no cancellation either, is given up") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection connection(
        ConnectionOptions{.conninfo = database.conninfo() + " " + proxy.conninfo(), .timeout = 200ms});
    const auto frozen = [&](auto call) {
        connection.append("a-1", event("A"));
        proxy.freeze();
        // So that a call that hangs fails the test.
        std::atomic<bool> done = false;
        std::jthread rescuer([&] {
            eventually([&] { return done.load(); }, 10s);
            proxy.thaw();
        });
        CHECK(time_of(call) < 8s);
        done = true;
    };
    frozen([&] { CHECK(state_of<connection_lost>([&] { connection.read_stream("a-1").to_vector(); }) == "08006"); });
    frozen([&] {
        const auto doubt = thrown_by<commit_in_doubt>([&] { connection.append("a-1", event("A")); });
        CHECK(doubt.sqlstate() == "08007");
    });
    connection.set_timeout(0ms);
    CHECK(connection.append("c-1", event("C")).version == 1);
}

TEST_CASE("A session that ends within a transaction or a read is connection_lost, and the next call opens another") {
    Database database;
    Connection direct = database.connect(), connection = database.connect();
    {
        Transaction transaction = connection.begin();
        transaction.append("a-1", event("A"));
        terminate(direct, connection.backend_pid());
        const auto lost = thrown_by<connection_lost>([&] { transaction.append("a-1", event("A")); });
        CHECK(lost.sqlstate() == "57P01");
        CHECK(state_of<connection_lost>([&] { transaction.stream_version("a-1"); }) == "08006");
        CHECK(state_of<connection_lost>([&] { transaction.commit(); }) == "08006");
        CHECK(!connection.in_transaction());
    }
    {
        Transaction transaction = connection.begin();
        transaction.append("a-1", event("A"));
        terminate(direct, connection.backend_pid());
        CHECK(state_of<connection_lost>([&] { transaction.commit(); }) == "57P01");
    }
    {
        Transaction transaction = connection.begin();
        transaction.append("a-1", event("A"));
        terminate(direct, connection.backend_pid());
    }
    {
        Transaction transaction = connection.begin();
        transaction.execute("SET idle_in_transaction_session_timeout = '1ms'");
        const int pid = connection.backend_pid();
        REQUIRE(eventually(
            [&] { return direct.execute("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int", pid).empty(); }));
        CHECK(state_of<connection_lost>([&] { transaction.append("a-1", event("A")); }) == "25P03");
    }
    CHECK(connection.stream_version("a-1") == 0);

    std::jthread killer([&, pid = connection.backend_pid()] {
        eventually([&] {
            return direct.execute("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int AND wait_event = 'PgSleep'", pid)
                       .size() == 1;
        });
        direct.execute("SELECT pg_terminate_backend($1::int)", pid);
    });
    CHECK(state_of<connection_lost>([&] { connection.execute("SELECT pg_sleep(60)"); }) == "57P01");
    killer.join();
    CHECK(connection.append("a-1", event("A"), 0).version == 1);
}

TEST_CASE("A commit whose answer does not come is in doubt, with a witness for each append, and is then found out") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection direct = database.connect();
    Connection connection(database.conninfo() + " " + proxy.conninfo());
    for (const bool is_delivered : {true, false}) {
        const std::string a = is_delivered ? "a-1" : "a-2", b = is_delivered ? "b-1" : "b-2";
        const NewEvent first = event("A"), second = event("B");
        Transaction transaction = connection.begin();
        transaction.append(a, first);
        transaction.append_streams(std::vector<StreamWrite>{{.stream = b, .events = {second}}, {.stream = a}});
        bool has_called_back = false;
        transaction.on_commit([&] { has_called_back = true; });
        proxy.arm({Side::client, 1, false});
        if (is_delivered) proxy.arm({Side::server, 1, false});
        const auto doubt = thrown_by<commit_in_doubt>([&] { transaction.commit(); });
        CHECK(doubt.sqlstate() == "08007");
        CHECK(!doubt.hint().empty());
        REQUIRE(doubt.witnesses().size() == 2);
        CHECK(doubt.witnesses()[0].stream == a);
        CHECK(doubt.witnesses()[0].event_id == first.id);
        CHECK(doubt.witnesses()[1].stream == b);
        CHECK(doubt.witnesses()[1].event_id == second.id);
        CHECK(!has_called_back);
        CHECK(!connection.in_transaction());
        CHECK(connection.was_committed(doubt) == is_delivered);
        CHECK(direct.stream_version(a) == is_delivered);
    }
    // Without an append there is nothing to tell by.
    proxy.arm({Side::server, 1, false});
    const auto doubt = thrown_by<commit_in_doubt>([&] { connection.execute("CREATE TABLE effects ()"); });
    CHECK(doubt.witnesses().empty());
    CHECK(state_of<usage_error>([&] { connection.was_committed(doubt); }) == "TM000");
}

TEST_CASE("An append in doubt stays so if it cannot be repeated, whatever the reason") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection direct = database.connect();
    Connection connection(database.conninfo() + " " + proxy.conninfo());
    connection.append("warm-1", event("A"));
    // New sessions refuse to write, as those of a standby do.
    direct.execute("ALTER DATABASE \"" + database.name() + "\" SET default_transaction_read_only = on");
    proxy.arm({Side::server, 1, false});
    CHECK(state_of<commit_in_doubt>([&] { connection.append("a-1", event("A")); }) == "08007");
    CHECK(direct.stream_version("a-1") == 1);
    direct.execute("ALTER DATABASE \"" + database.name() + "\" RESET default_transaction_read_only");
}

TEST_CASE("What cannot be asked is usage_error, and nothing is sent") {
    Database database;
    Connection connection = database.connect();
    const std::string nul("a-1\0b", 5);
    const auto refuses = [&](auto call) { CHECK(state_of<usage_error>(call) == "TM000"); };
    // What comes after a NUL would be lost on the way.
    refuses([&] { connection.append(nul, event("A")); });
    refuses([&] { connection.append(nul, {event("A"), event("A")}); });
    refuses([&] { connection.append("a-1", event(nul)); });
    refuses([&] { connection.append("a-1", event("A"), 0, std::string_view(nul)); });
    refuses([&] { connection.stream_version(nul); });
    refuses([&] { connection.read_stream(nul).to_vector(); });
    refuses([&] { connection.read_streams(std::vector<std::string>{nul}); });
    refuses([&] { connection.read_page(0, 10, {.category = nul}); });
    refuses([&] { connection.execute("SELECT $1::text", nul); });
    refuses([&] { connection.execute(std::string("SELECT 1\0, 2", 12)); });
    // JSON is in UTF-8.
    refuses([&] { connection.append("a-1", event("A", "\xff\xfe")); });
    refuses([&] { connection.append("a-1", {event("A"), event("A", {{"\xff", 1}})}); });
    refuses([&] { connection.append("a-1", NewEvent{.type = "A", .metadata = {{"a", "\xc3"}}}); });
    refuses([&] { connection.append_streams(std::vector<StreamWrite>{{.stream = "\xff", .events = {event("A")}}}); });
    refuses([&] { connection.execute("SELECT $1::jsonb", json("\xff")); });
    CHECK(connection.head_position() == 0);

    const Rows rows = connection.execute("SELECT 'x' AS text, NULL::int AS nothing, 300 AS number");
    refuses([&] { rows.get<int>(0, "text"); });
    refuses([&] { rows.get<bool>(0, "number"); });
    refuses([&] { rows.get<Uuid>(0, "text"); });
    refuses([&] { rows.get<json>(0, "text"); });
    refuses([&] { rows.get<int>(0, "nothing"); });
    refuses([&] { rows.get<std::int8_t>(0, "number"); });
    refuses([&] { rows.get<int>(0, "nosuch"); });
    refuses([&] { rows.text(1, 0); });
    refuses([&] { rows.text(0, 3); });
    refuses([&] { rows.text(-1, 0); });

    refuses([&] { connection.execute("COPY es_events TO STDOUT"); });
    refuses([&] { connection.execute("COPY es_log_head FROM STDIN"); });
    refuses([&] { connection.execute("BEGIN"); });
    refuses([&] { connection.execute("START TRANSACTION READ ONLY"); });
    CHECK(!connection.in_transaction());
    CHECK(connection.append("a-1", event("A")).version == 1);
    refuses([&] { Connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 0}); });
}

TEST_CASE("Whatever is in an event, it comes back, or is refused by an error of the library") {
    Database database;
    Connection connection = database.connect();
    const auto deep = [](int depth) {
        json value = 1;
        for (int i = 0; i < depth; i++) value = json::array({std::move(value)});
        return value;
    };
    int number = 0;
    for (const json& data :
         {json(), json(""), json("\u00e9\u4e16\U0001f600\t\n\"\\/"), json(std::numeric_limits<std::int64_t>::min()),
          json(std::numeric_limits<std::uint64_t>::max()), json(1e308), json(-2.5e-308), json(0.1), json::array(),
          json::object(), json({{"", {{"\u0001", nullptr}}}}), deep(2'000)}) {
        const std::string stream = "a-" + std::to_string(++number);
        for (const auto& events : {std::vector{event("A", data)}, std::vector{event("A", data), event("A", data)}}) {
            connection.append(stream, events);
            const Event read = *connection.read_stream_backward(stream).begin();
            CHECK((read.data() == data));
        }
    }
    const json large(std::string(10'000'000, 'x'));
    connection.append("large-1", event("A", large));
    CHECK((connection.read_stream("large-1").begin()->data() == large));
    CHECK(state_of<server_error>([&] { connection.append("b-1", event("A", std::string("\0", 1))); }) == "22P05");
    CHECK(state_of<server_error>([&] {
              connection.append("b-1", {event("A", std::string("\0", 1)), event("A")});
          }) == "22P05");
    CHECK(state_of<server_error>([&] { connection.append("b-\xff", event("A")); }) == "22021");
    // What is no number in JSON is null.
    connection.append("b-1", event("A", std::numeric_limits<double>::infinity()));
    CHECK(connection.read_stream("b-1").begin()->data_text == "null");
}

TEST_CASE("Data that cannot be read name the event, and keep their digits in the text") {
    Database database;
    Connection connection = database.connect();
    connection.execute(
        "SELECT es_append('a-1', 'Huge', '{\"number\": 1e400, \"digits\": 12345678901234567890.123456789}')");
    const Event huge = *connection.read_stream("a-1").begin();
    CHECK_THAT(huge.data_text, Catch::Contains("12345678901234567890.123456789"));
    CHECK_THAT(huge.data_text, Catch::Contains(": 1" + std::string(400, '0')));
    const auto problem = thrown_by<decode_error>([&] { huge.data(); });
    for (const char* part : {"version 1", "\"a-1\"", "position 1", "type Huge"})
        CHECK_THAT(problem.what(), Catch::Contains(part));
    CHECK(huge.metadata() == json::object());
}
