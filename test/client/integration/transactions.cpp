// Transactions: everything in them happens with their commit, or not at all.
#include <catch2/catch.hpp>

#include <future>
#include <limits>

#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("Loads, appends and SQL of one's own have one commit, and are seen by others after it") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    connection.append("a-1", {event("A"), event("A")});
    connection.execute("CREATE TABLE effects (stream text PRIMARY KEY, version bigint)");
    Transaction transaction = connection.begin();
    CHECK(connection.in_transaction());
    const auto version = transaction.read_stream("a-1").to_vector().back().version;
    CHECK(transaction.append("a-1", event("A"), version).version == 3);
    CHECK(transaction
              .append_streams(std::vector<StreamWrite>{{.stream = "b-1", .events = {event("B")}}, {.stream = "a-1"}})
              .size() == 2);
    CHECK(transaction.execute("INSERT INTO effects VALUES ($1, $2)", "a-1", version + 1).affected() == 1);
    CHECK(transaction.stream_version("a-1") == 3);
    CHECK(versions_of(transaction.read_stream("a-1").to_vector()) == std::vector<std::int64_t>{1, 2, 3});
    CHECK(transaction.read_after().to_vector().size() == 2);  // its own are not final yet
    CHECK(other.stream_version("a-1") == 2);
    CHECK(other.execute("SELECT FROM effects").empty());
    transaction.commit();
    CHECK(!transaction.is_open());
    CHECK(!connection.in_transaction());
    CHECK(other.stream_version("a-1") == 3);
    CHECK(other.stream_version("b-1") == 1);
    CHECK(other.execute("SELECT version FROM effects").get<int>(0, 0) == 3);
}

TEST_CASE("A transaction that is not committed is rolled back, by its end, by rollback() or by an exception") {
    Database database;
    Connection connection = database.connect();
    connection.begin().append("a-1", event("A"));
    {
        Transaction transaction = connection.begin();
        transaction.append("a-1", event("A"));
        transaction.rollback();
        transaction.rollback();
        CHECK(state_of<usage_error>([&] { transaction.append("a-1", event("A")); }) == "TM000");
        CHECK(state_of<usage_error>([&] { transaction.commit(); }) == "TM000");
        CHECK(connection.stream_version("a-1") == 0);
    }
    CHECK_THROWS_AS(connection.transact([](Transaction& transaction) {
        transaction.append("a-1", event("A"));
        throw std::runtime_error("of one's own");
    }),
                    std::runtime_error);
    CHECK(!connection.in_transaction());
    CHECK(connection.stream_version("a-1") == 0);
    CHECK(connection.transact([](Transaction& transaction) {
        return std::make_unique<std::int64_t>(transaction.append("a-1", event("A")).version);
    }) != nullptr);
    CHECK(connection.stream_version("a-1") == 1);
}

TEST_CASE("Parameters of all kinds arrive as they are, and are read back") {
    Database database;
    Connection connection = database.connect();
    const Uuid id = Uuid::make();
    const auto back = [&](const std::string& type, const auto& value) {
        const Rows rows = connection.execute("SELECT $1::" + type, value);
        return rows.template get<std::decay_t<decltype(value)>>(0, 0) == value;
    };
    CHECK(back("text", std::string("it's \"quoted\" \\ $1 \xc3\xa9")));
    CHECK(back("text", std::string()));
    CHECK(back("bool", true));
    CHECK(back("bool", false));
    CHECK(back("int", std::numeric_limits<std::int32_t>::min()));
    CHECK(back("bigint", std::numeric_limits<std::int64_t>::max()));
    CHECK(back("numeric", std::numeric_limits<std::uint64_t>::max()));
    CHECK(back("smallint", short{-3}));
    CHECK(back("float8", 0.1));
    CHECK(back("float8", std::numeric_limits<double>::denorm_min()));
    CHECK(back("float8", -std::numeric_limits<double>::infinity()));
    CHECK(back("float4", 0.1f));
    CHECK(back("uuid", id));
    CHECK(back("jsonb", json({{"a", {1, nullptr, "x"}}})));
    CHECK(back("text", std::optional<std::string>()));
    CHECK(back("text", std::optional<std::string>("")));
    CHECK(back("int", std::optional<int>(7)));
    CHECK(back("uuid", std::optional<Uuid>(id)));
    CHECK(std::isnan(connection.execute("SELECT $1::float8", std::nan("")).get<double>(0, 0)));

    const std::vector<std::string> texts = {"", "NULL", "a,b", "{\"", "\\", " x ", "it's"};
    const Rows array = connection.execute("SELECT unnest($1::text[])", texts);
    REQUIRE(array.size() == static_cast<int>(texts.size()));
    for (int i = 0; i < array.size(); i++) CHECK(array.get<std::string>(i, 0) == texts[static_cast<std::size_t>(i)]);
    CHECK(connection.execute("SELECT cardinality($1::text[])", std::vector<std::string>()).get<int>(0, 0) == 0);
    CHECK(connection.execute("SELECT $1::text IS NULL", std::nullopt).get<bool>(0, 0));
    CHECK(connection.execute("SELECT $1::text", std::string_view("view")).text(0, 0) == "view");
    const Rows several = connection.execute("SELECT $2::int AS a, $1::text AS b, $3::jsonb AS c", "x", 2, json("y"));
    CHECK(several.columns() == 3);
    CHECK(several.column("c") == 2);
    CHECK(several.get<int>(0, "a") == 2);
    CHECK(several.get<json>(0, "c") == "y");
    CHECK(several.name(0) == "a");
    CHECK(state_of<usage_error>([&] { several.name(3); }) == "TM000");
    const std::vector<Parameter> collected = {1, "x", std::nullopt};
    CHECK(connection.execute_with("SELECT $1::int, $2::text, $3::text", collected).is_null(0, 2));
    CHECK(connection.execute("").empty());
    CHECK(connection.execute("CREATE TABLE effects (n int)").affected() == 0);
    CHECK(connection.execute("INSERT INTO effects SELECT generate_series(1, $1)", 5).affected() == 5);
    CHECK(connection.execute("UPDATE effects SET n = 0 WHERE n > $1", 3).affected() == 2);
}

TEST_CASE("A transaction has the isolation and the access that were asked for") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    const std::pair<Isolation, std::string> levels[] = {{Isolation::read_committed, "read committed"},
                                                        {Isolation::repeatable_read, "repeatable read"},
                                                        {Isolation::serializable, "serializable"}};
    for (const auto& [level, name] : levels) {
        Transaction transaction = connection.begin({.isolation = level});
        CHECK(transaction.execute("SHOW transaction_isolation").text(0, 0) == name);
        CHECK(transaction.execute("SHOW transaction_read_only").text(0, 0) == "off");
        const auto before = transaction.stream_version("a-1");
        other.append("a-1", event("A"));
        CHECK(transaction.stream_version("a-1") == before + (level == Isolation::read_committed));
    }
    Transaction transaction = connection.begin({.read_only = true});
    CHECK(transaction.stream_version("a-1") == 3);
    CHECK(state_of<server_error>([&] { transaction.append("a-1", event("A")); }) == "25006");
}

TEST_CASE("While a transaction is open its connection refuses all else, and works again afterwards") {
    Database database;
    Connection connection = database.connect();
    {
        Transaction transaction = connection.begin();
        const auto refuses = [&](auto call) { CHECK(state_of<usage_error>(call) == "TM000"); };
        refuses([&] { connection.begin(); });
        refuses([&] { connection.append("a-1", event("A")); });
        refuses([&] { connection.read_stream("a-1"); });
        refuses([&] { connection.execute("SELECT 1"); });
        refuses([&] { connection.reconnect(); });
        refuses([&] { Pipeline pipeline(connection); });
        refuses([&] { connection.transact([](Transaction&) {}); });
        CHECK(transaction.append("a-1", event("A")).version == 1);  // not disturbed
        transaction.commit();
    }
    CHECK(connection.append("a-1", event("A"), 1).version == 2);
}

TEST_CASE("A statement of one's own that ends the transaction is refused, and the transaction is over") {
    for (const std::string end : {"COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ABORT", "END"}) {
        INFO(end);
        Database database;
        Connection connection = database.connect();
        {
            Transaction transaction = connection.begin();
            transaction.append("a-1", event("A"));
            CHECK(state_of<usage_error>([&] { transaction.execute(end); }) == "TM000");
            // What came now would be committed by itself.
            CHECK_THROWS_AS(transaction.append("a-1", event("A")), error);
            CHECK_THROWS_AS(transaction.commit(), error);
        }
        CHECK(!connection.in_transaction());
        CHECK(connection.stream_version("a-1") <= 1);
        CHECK(connection.append("b-1", event("B")).version == 1);
    }
}

TEST_CASE("Savepoints of one's own are allowed") {
    Database database;
    Connection connection = database.connect();
    connection.transact([](Transaction& transaction) {
        transaction.append("a-1", event("A"));
        transaction.execute("SAVEPOINT mine");
        transaction.append("a-1", event("A"));
        CHECK(state_of<server_error>([&] { transaction.execute("SELECT 1 / 0"); }) == "22012");
        CHECK(state_of<server_error>([&] { transaction.append("a-1", event("A")); }) == "25P02");
        transaction.execute("ROLLBACK TO SAVEPOINT mine");
        CHECK(transaction.append("a-1", event("A"), 1).version == 2);
    });
    CHECK(connection.stream_version("a-1") == 2);
}

TEST_CASE("The commit of a transaction in which a statement failed is an error, and calls nobody back") {
    Database database;
    Connection connection = database.connect();
    int calls = 0;
    Transaction transaction = connection.begin();
    transaction.append("a-1", event("A"));
    transaction.on_commit([&] { calls++; });
    CHECK(state_of<wrong_expected_version>([&] { transaction.append("b-1", event("B"), 5); }) == "TM001");
    CHECK(state_of<server_error>([&] { transaction.commit(); }) == "25P02");
    CHECK(calls == 0);
    CHECK(!connection.in_transaction());
    CHECK(connection.stream_version("a-1") == 0);
}

TEST_CASE("A commit that the server refuses by a deferred constraint tells of it, and nothing stays") {
    Database database;
    Connection connection = database.connect();
    connection.execute("CREATE TABLE effects (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    connection.execute("INSERT INTO effects VALUES (1)");
    Transaction transaction = connection.begin();
    transaction.append("a-1", event("A"));
    transaction.execute("INSERT INTO effects VALUES (1)");
    const auto refused = thrown_by<server_error>([&] { transaction.commit(); });
    CHECK(refused.sqlstate() == "23505");
    CHECK(refused.table() == "effects");
    CHECK(!connection.in_transaction());
    CHECK(connection.stream_version("a-1") == 0);
}

TEST_CASE("Callbacks are called after a commit, in their order, and not after a rollback") {
    Database database;
    Connection connection = database.connect(), other = database.connect();
    std::vector<std::int64_t> seen;
    connection.transact([&](Transaction& transaction) {
        transaction.append("a-1", event("A"));
        transaction.on_commit([&] { seen.push_back(other.stream_version("a-1")); });
        transaction.on_commit([&] { seen.push_back(connection.append("a-1", event("A")).version); });
        CHECK(seen.empty());
    });
    CHECK(seen == std::vector<std::int64_t>{1, 2});
    {
        Transaction transaction = connection.begin();
        transaction.on_commit([&] { seen.clear(); });
        Transaction moved = std::move(transaction);
        moved.rollback();
    }
    CHECK(seen.size() == 2);
}

TEST_CASE("Whoever wants to know how a transaction ends is told, whichever way it does") {
    Database database;
    Connection connection = database.connect();
    std::vector<bool> ends;
    const auto note = [&](Transaction& transaction) {
        transaction.on_end([&](bool committed) { ends.push_back(committed); });
    };
    connection.transact(note);
    {
        Transaction transaction = connection.begin();
        note(transaction);
    }
    {
        Transaction transaction = connection.begin();
        note(transaction);
        CHECK_THROWS_AS(transaction.execute("SELECT 1 / 0"), server_error);
        CHECK_THROWS_AS(transaction.commit(), server_error);
    }
    CHECK(ends == std::vector<bool>{true, false, false});
    // A callback of a rollback has nobody to complain to.
    {
        Transaction transaction = connection.begin();
        transaction.on_end([](bool) { throw std::runtime_error(""); });
    }
    CHECK(!connection.in_transaction());
    CHECK_THROWS_AS(connection.transact([](Transaction& transaction) {
        transaction.append("a-1", event("A"));
        transaction.on_commit([] { throw std::runtime_error("of one's own"); });
    }),
                    std::runtime_error);
    CHECK(connection.stream_version("a-1") == 1);
}

TEST_CASE("A conflict that is tried leaves the transaction usable, and what came before it") {
    Database database;
    Connection connection = database.connect();
    connection.append("b-1", event("B"));
    connection.transact([](Transaction& transaction) {
        CHECK(transaction.append("a-1", event("A")).version == 1);
        for (int i = 0; i < 3; i++) {
            const auto outcome = transaction.try_append("b-1", event("B"), 0);
            CHECK(!outcome);
            CHECK(outcome.conflicts() == std::vector<VersionConflict>{{"b-1", -1, 1}});
        }
        const std::vector<StreamWrite> writes = {{.stream = "a-1", .expected = 1, .events = {event("A")}},
                                                 {.stream = "b-1", .expected = 2}};
        CHECK(transaction.try_append_streams(writes).conflicts().size() == 1);
        const auto outcome = transaction.try_append("b-1", event("B"), 1);
        REQUIRE(outcome);
        CHECK(outcome->version == 2);
    });
    CHECK(connection.stream_version("a-1") == 1);
    CHECK(connection.stream_version("b-1") == 2);
}

TEST_CASE("A stream that is locked lets no other appender in before the commit") {
    Database database;
    Connection connection = database.connect(), rival = database.connect(), direct = database.connect();
    connection.append("a-1", event("A"));
    rival.safe_position();
    Transaction transaction = connection.begin();
    CHECK(transaction.lock_stream("a-1") == 1);
    CHECK(transaction.lock_stream("b-1") == 0);
    auto racing = std::async(std::launch::async, [&] { return rival.append("a-1", event("Late")).version; });
    CHECK(comes_to_wait(direct, rival.backend_pid()));
    CHECK(direct.append("c-1", event("C")).version == 1);  // no other stream is held up
    CHECK(racing.wait_for(0s) == std::future_status::timeout);
    CHECK(transaction.append("a-1", event("A"), 1).version == 2);
    transaction.commit();
    CHECK(racing.get() == 3);
}

TEST_CASE("Events of a transaction that is over are not to be had") {
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 1});
    connection.append("a-1", {event("A"), event("A")});
    Transaction transaction = connection.begin();
    Events begun = transaction.read_stream("a-1"), unbegun = transaction.read_after();
    auto next = begun.begin();
    CHECK(next->version == 1);
    transaction.commit();
    CHECK(state_of<usage_error>([&] { ++next; }) == "TM000");
    CHECK(state_of<usage_error>([&] { unbegun.begin(); }) == "TM000");
    CHECK(state_of<usage_error>([&] { transaction.read_stream("a-1"); }) == "TM000");
}
