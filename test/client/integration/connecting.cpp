// How connections come and go: opened when they are needed, opened again when they were lost, and of whom a server, a
// schema or a pooler asks something particular.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <future>

#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/pooler.hpp"
#include "../support/proxy.hpp"
#include "../support/silent_server.hpp"
#include "../support/folder.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("A connection is opened by its first call, not before") {
    Connection nowhere("host=/nonexistent");
    CHECK(nowhere.backend_pid() == 0);
    CHECK(!nowhere.in_transaction());
    CHECK(state_of<connection_lost>([&] { nowhere.safe_position(); }) == "08001");

    Database database;
    Connection connection = database.connect();
    CHECK(connection.backend_pid() == 0);
    CHECK(connection.safe_position() == 0);
    CHECK(connection.backend_pid() == connection.execute("SELECT pg_backend_pid()").get<int>(0, 0));
}

TEST_CASE("The server is named by keywords, by a URI or by a service") {
    Database database;
    Connection direct = database.connect();
    const auto user = direct.execute("SELECT current_user").get<std::string>(0, 0);
    const std::string folder = Database::server_folder(), port = std::to_string(Database::server_port());
    const auto names_it = [&](const std::string& conninfo) {
        Connection connection(conninfo);
        return connection.execute("SELECT current_database()").get<std::string>(0, 0) == database.name();
    };
    CHECK(names_it("host=" + folder + " port=" + port + " user=" + user + " dbname=" + database.name()));
    CHECK(names_it("postgresql:///" + database.name() + "?host=" + folder + "&port=" + port + "&user=" + user));

    const Folder services;
    std::ofstream(services / "services") << "[tidemark_test]\nhost=" << folder << "\nport=" << port << "\nuser=" << user
                                         << "\ndbname=" << database.name() << "\n";
    ::setenv("PGSERVICEFILE", (services / "services").c_str(), 1);
    CHECK(names_it("service=tidemark_test"));
    ::unsetenv("PGSERVICEFILE");
}

TEST_CASE("What a connection cannot reach it names, as connection_lost with SQLSTATE 08001") {
    Database database;
    // What a server says that wants a password.
    const SilentServer guarded(std::string("R\0\0\0\x08\0\0\0\x03", 9));
    const struct {
        std::string conninfo, why;
    } cases[] = {
        {"host=/nonexistent", "/nonexistent"},
        {"host=" + Database::server_folder() + " port=1", "No such file"},
        {"host=127.0.0.1 port=1", "Connection refused"},
        {Database::server() + " dbname=nosuch", "\"nosuch\" does not exist"},
        {database.conninfo() + " user=nosuch", "\"nosuch\" does not exist"},
        {guarded.conninfo() + " user=postgres passfile=/nonexistent", "no password supplied"},
        {"nosuchkeyword=1", "nosuchkeyword"},
        {"service=nosuchservice", "nosuchservice"},
    };
    for (const auto& each : cases) {
        INFO(each.conninfo);
        Connection connection(each.conninfo);
        const auto problem = thrown_by<connection_lost>([&] { connection.append("a-1", event("A")); });
        CHECK(problem.sqlstate() == "08001");
        CHECK_THAT(problem.what(), Catch::Contains(each.why));
        CHECK(connection.backend_pid() == 0);
        CHECK(!connection.is_alive());
        CHECK(state_of<connection_lost>([&] { connection.reconnect(); }) == "08001");
        CHECK(state_of<connection_lost>([&] { connection.begin(); }) == "08001");
        CHECK(!connection.in_transaction());
    }
}

TEST_CASE("A server that lets in and says nothing is given up after the connect timeout") {
    const SilentServer silent;
    const std::string conninfo = silent.conninfo() + " user=postgres";
    Connection connection(ConnectionOptions{.conninfo = conninfo, .connect_timeout = 100ms});
    for (int i = 0; i < 2; i++) {
        const Seconds time =
            time_of([&] { CHECK(state_of<connection_lost>([&] { connection.safe_position(); }) == "08001"); });
        CHECK(time >= 100ms);
        CHECK(time < 5s);
    }
    Connection hasty(ConnectionOptions{.conninfo = conninfo, .timeout = 100ms});
    CHECK(time_of([&] { CHECK(state_of<cancelled>([&] { hasty.safe_position(); }) == "57014"); }) < 5s);

    std::stop_source stop;
    Connection stopped(conninfo);
    stopped.set_stop_token(stop.get_token());
    std::jthread stopper([&] {
        std::this_thread::sleep_for(50ms);
        stop.request_stop();
    });
    CHECK(time_of([&] { CHECK(state_of<cancelled>([&] { stopped.safe_position(); }) == "57014"); }) < 5s);
}

TEST_CASE("After its session was ended from outside, whatever is called next just works, in a new one") {
    Database database;
    Connection direct = database.connect();
    Connection connection = database.connect();
    const std::string stream = "a-1";
    const std::vector<std::string> streams = {stream};
    const auto write = [&] { return std::vector<StreamWrite>{{.stream = stream, .events = {event("A")}}}; };
    const std::pair<const char*, std::function<void()>> calls[] = {
        {"append", [&] { connection.append(stream, event("A")); }},
        {"append of many",
         [&] {
             connection.append(stream, {event("A"), event("A")});
         }},
        {"append_streams", [&] { connection.append_streams(write()); }},
        {"try_append", [&] { REQUIRE(connection.try_append(stream, event("A"), ExpectedVersion::any())); }},
        {"read_stream", [&] { connection.read_stream(stream).to_vector(); }},
        {"read_streams", [&] { connection.read_streams(streams); }},
        {"read_after", [&] { connection.read_after().to_vector(); }},
        {"stream_version", [&] { connection.stream_version(stream); }},
        {"safe_position", [&] { connection.safe_position(); }},
        {"execute", [&] { connection.execute("SELECT 1"); }},
        {"begin", [&] { connection.begin().commit(); }},
        {"a pipeline",
         [&] {
             Pipeline pipeline(connection);
             pipeline.append(stream, event("A"));
             pipeline.finish();
         }},
        {"a command",
         [&] {
             CommandExecutor(connection).run({stream}, [&](Command& command) { command.append(stream, event("A")); });
         }},
    };
    for (const auto& [name, call] : calls) {
        INFO(name);
        call();
        const int pid = connection.backend_pid();
        REQUIRE(pid != 0);
        terminate(direct, pid);
        CHECK_NOTHROW(call());
        CHECK(connection.backend_pid() != pid);
    }
    CHECK(direct.stream_version(stream) == 2 * (1 + 2 + 1 + 1 + 1 + 1));
}

TEST_CASE("An append whose session is ended while it waits is made once") {
    Database database;
    Connection direct = database.connect(), blocker = database.connect(), connection = database.connect();
    connection.safe_position();
    Transaction transaction = blocker.begin();
    transaction.lock_stream("a-1");
    auto result = std::async(std::launch::async, [&, pid = connection.backend_pid()] {
        REQUIRE(pid != 0);
        return connection.append("a-1", event("A"), ExpectedVersion::no_stream());
    });
    const auto waiting = [&] {
        const Rows rows = direct.execute(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()");
        return rows.empty() ? 0 : rows.get<int>(0, 0);
    };
    REQUIRE(eventually([&] { return waiting() != 0; }));
    terminate(direct, waiting());
    REQUIRE(eventually([&] { return waiting() != 0 || result.wait_for(0s) == std::future_status::ready; }));
    transaction.rollback();
    CHECK_NOTHROW([&] { CHECK(result.get().version == 1); }());
    CHECK(direct.stream_version("a-1") == 1);
}

TEST_CASE("A connection is closed, and opened again by the next call, and replaced by reconnect()") {
    Database database;
    Connection connection = database.connect();
    connection.execute("SET application_name = 'first'");
    const int first = connection.backend_pid();
    connection.reconnect();
    const int second = connection.backend_pid();
    CHECK(second != 0);
    CHECK(second != first);
    CHECK(connection.execute("SHOW application_name").get<std::string>(0, 0) == "tidemark");
    connection.close();
    connection.close();
    CHECK(connection.backend_pid() == 0);
    CHECK(connection.append("a-1", event("A")).version == 1);  // prepares its statements anew
    CHECK(connection.backend_pid() != second);
}

TEST_CASE("is_alive() tells whether the session answers, and opens none") {
    Database database;
    Connection direct = database.connect(), connection = database.connect();
    CHECK(!connection.is_alive());
    CHECK(connection.backend_pid() == 0);
    connection.safe_position();
    CHECK(connection.is_alive());
    terminate(direct, connection.backend_pid());
    CHECK(!connection.is_alive());
    connection.reconnect();
    CHECK(connection.is_alive());
    {
        Transaction transaction = connection.begin();
        CHECK(connection.is_alive());
    }
    connection.close();
    CHECK(!connection.is_alive());
}

TEST_CASE("A connection is moved with its session, and what it was moved from says so whatever it is asked") {
    Database database;
    Connection from = database.connect();
    from.safe_position();
    const int pid = from.backend_pid();
    Connection to = std::move(from);
    CHECK(to.backend_pid() == pid);
    CHECK(to.append("a-1", event("A")).version == 1);

    const auto refuses = [&](auto call) { CHECK(state_of<usage_error>(call) == "TM000"); };
    const std::vector<std::string> streams = {"a-1"};
    refuses([&] { from.append("a-1", event("A")); });
    refuses([&] { from.append_streams(std::vector<StreamWrite>()); });
    refuses([&] { from.try_append("a-1", event("A"), 1); });
    refuses([&] { from.read_stream("a-1"); });
    refuses([&] { from.read_stream_backward("a-1"); });
    refuses([&] { from.read_streams(streams); });
    refuses([&] { from.read_after(); });
    refuses([&] { from.read_page(0, 1); });
    refuses([&] { from.stream_version("a-1"); });
    refuses([&] { from.safe_position(); });
    refuses([&] { from.head_position(); });
    refuses([&] { from.execute("SELECT 1"); });
    refuses([&] { from.begin(); });
    refuses([&] { from.transact([](Transaction&) {}); });
    refuses([&] { from.was_committed(commit_in_doubt("", {{"a-1", Uuid::make()}})); });
    refuses([&] { from.reconnect(); });
    refuses([&] { from.set_timeout(1s); });
    refuses([&] { from.set_stop_token({}); });
    refuses([&] { from.pause(0ms); });
    refuses([&] { Pipeline pipeline(from); });
    CHECK(!from.is_alive());
    CHECK(!from.in_transaction());
    CHECK(from.backend_pid() == 0);
    from.close();

    from = std::move(to);
    CHECK(from.backend_pid() == pid);
    CHECK(from.stream_version("a-1") == 1);

    // An open transaction goes with the session.
    Transaction transaction = from.begin();
    Connection last = std::move(from);
    transaction.append("a-1", event("A"));
    Transaction moved = std::move(transaction);
    refuses([&] { transaction.append("a-1", event("A")); });
    refuses([&] { transaction.commit(); });
    CHECK(!transaction.is_open());
    CHECK(last.in_transaction());
    moved.commit();
    CHECK(last.stream_version("a-1") == 2);
}

TEST_CASE("Notices and warnings are handed over, one by one") {
    Database database;
    std::vector<std::string> notices;
    Connection connection(ConnectionOptions{
        .conninfo = database.conninfo(), .on_notice = [&](std::string_view notice) { notices.emplace_back(notice); }});
    connection.execute("DO $$BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END$$");
    REQUIRE(notices.size() == 2);
    CHECK_THAT(notices[0], Catch::Contains("NOTICE") && Catch::Contains("one"));
    CHECK_THAT(notices[1], Catch::Contains("WARNING") && Catch::Contains("two"));
}

TEST_CASE("The extension is found in a schema that is not on the search_path, whatever its name") {
    Database database;
    const std::string schema = "The log; of Ann";
    {
        Connection connection = database.connect();
        connection.execute("DROP EXTENSION tidemark");
        connection.execute("CREATE SCHEMA \"" + schema + "\"");
        connection.execute("CREATE EXTENSION tidemark SCHEMA \"" + schema + "\"");
        CHECK(state_of<server_error>([&] { connection.append("a-1", event("A")); }) == "42883");
    }
    for (const bool prepares : {true, false}) {
        Connection connection(ConnectionOptions{
            .conninfo = database.conninfo(), .schema = schema, .page_size = 2, .prepared_statements = prepares});
        const std::string stream = prepares ? "a-1" : "a-2";
        const std::vector<std::string> streams = {stream};
        CHECK(connection.append(stream, event("A"), 0).version == 1);
        CHECK(connection.append(stream, {event("A"), event("A")}, 1).version == 3);
        const std::vector<StreamWrite> writes = {{.stream = stream, .expected = 3, .events = {event("A")}}};
        CHECK(connection.append_streams(writes).front().version == 4);
        CHECK(connection.read_stream(stream).to_vector().size() == 4);
        CHECK(connection.read_streams(streams)[stream].version == 4);
        CHECK(connection.read_after(0, {.stream_prefix = stream}).to_vector().size() == 4);
        CHECK(connection.stream_version(stream) == 4);
        CHECK(connection.safe_position() == connection.head_position());
        connection.transact([&](Transaction& transaction) { CHECK(transaction.lock_stream(stream) == 4); });
        const commit_in_doubt doubt("", {{stream, connection.read_stream(stream).begin()->id}});
        CHECK(connection.was_committed(doubt));

        CHECK(connection.save_snapshot(stream, 2, "two"));
        CHECK(connection.load_snapshot(stream)->version == 2);
        CHECK(connection.load_stream(stream).events.size() == 2);
        connection.execute("CREATE OR REPLACE FUNCTION ignore(event \"" + schema + "\".es_events) RETURNS void " +
                           "LANGUAGE sql AS 'SELECT'");
        Projection projection = connection.projection(stream);
        CHECK(projection.create({.handler = "ignore"}));
        projection.run();
        Projection::run_all(connection);
        projection.wait_for(4);
        CHECK(projection.status()->backlog == 0);
        CHECK(connection.projections().size() == 1);
        CHECK(state_of<server_error>([&] { projection.rebuild(); }) == "55000");
        CHECK(projection.drop());
    }
    // PostgreSQL allows no extension a quote in its schema, but whoever misspells it is told what it was.
    Connection misspelt(ConnectionOptions{.conninfo = database.conninfo(), .schema = "a\".\"b"});
    const auto problem = thrown_by<server_error>([&] { misspelt.safe_position(); });
    CHECK(problem.sqlstate() == "3F000");
    CHECK_THAT(problem.what(), Catch::Contains("\"a\".\"b\""));
}

TEST_CASE("Without prepared statements none are left in the session, and with them each is prepared once") {
    Database database;
    for (const bool prepares : {true, false}) {
        Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .prepared_statements = prepares});
        for (int i = 0; i < 3; i++) {
            connection.append("a-1", event("A"));
            connection.read_stream("a-1").to_vector();
        }
        CHECK(connection.execute("SELECT count(*) FROM pg_prepared_statements").get<int>(0, 0) == (prepares ? 2 : 0));
        CHECK(connection.read_stream("a-1").begin()->data_text == "{}");
    }
}

TEST_CASE("Behind a pooler that gives each transaction another session, all works without prepared statements") {
    Database database;
    const Pooler pooler(database, 2);
    const ConnectionOptions options = {.conninfo = pooler.conninfo(), .page_size = 2, .prepared_statements = false};
    Connection first(options), second(options), third(options);
    CHECK(first.append("a-1", event("A"), 0).version == 1);
    {
        Transaction one = first.begin(), two = second.begin();
        one.append("a-1", event("A"), 1);
        two.append("b-1", event("B"));
        CHECK(!one.try_append("a-1", event("A"), 1));
        one.commit();
        CHECK(third.append("a-1", event("A"), 2).version == 3);
        two.commit();
    }
    CHECK(third.read_stream("a-1").to_vector().size() == 3);
    CHECK(third.read_after().to_vector().size() == 4);
    CHECK(CommandExecutor(second).run({"a-1"}, [](Command& command) {
        command.append("a-1", event("A"));
        return command.read("a-1").version;
    }) == 3);
    CHECK(state_of<usage_error>([&] { Pipeline pipeline(first); }) == "TM000");
    first.execute("CREATE FUNCTION ignore(event es_events) RETURNS void LANGUAGE sql AS 'SELECT'");
    CHECK(second.projection("none").create({.handler = "ignore"}));
    third.projection("none").run();
    CHECK(first.projection("none").status()->backlog == 0);
}
