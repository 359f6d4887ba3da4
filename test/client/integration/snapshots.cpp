// Snapshots: saved and loaded by themselves, and by the repository of a state that has them.
#include <catch2/catch.hpp>

#include <algorithm>
#include <stdexcept>

#include "../support/accounts.hpp"
#include "../support/database.hpp"
#include "../support/expect.hpp"
#include "../support/proxy.hpp"

using namespace tidemark;
using namespace tidemark::test;

namespace {

// With the default distance between snapshots.
struct Savings : Account {
    static constexpr int snapshot_version = 2;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Savings, balance)
using Repo = Repository<Savings>;

struct Often : Account {
    static constexpr int snapshot_version = 2;
    static constexpr std::int64_t snapshot_every = 10;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Often, balance)

struct Never : Account {
    static constexpr int snapshot_version = 2;
    static constexpr std::int64_t snapshot_every = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Never, balance)

// One whose balance cannot be written.
struct Unwritable : Account {
    static constexpr int snapshot_version = 2;
    static constexpr std::int64_t snapshot_every = 1;
};
void to_json(json&, const Unwritable&) { throw std::runtime_error("it is a secret"); }
void from_json(const json&, Unwritable&) {}

const std::string ANN = "bank-account-ann";
constexpr int VERSION = Savings::snapshot_version;

// Deposits 1 so many times.
template <typename State>
void record(Aggregate<State>& account, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i++) account.record(Deposited{1});
}

template <typename State, typename Log>
void deposit(Log& log, std::int64_t count) {
    auto account = Repository<State>::load(log, "ann");
    record(account, count);
    Repository<State>::save(log, account);
}

// At which version the snapshot is; 0: there is none.
std::int64_t snapshot_of(Operations& log, int schema_version = VERSION) {
    const auto snapshot = log.load_snapshot(ANN, schema_version);
    return snapshot ? snapshot->version : 0;
}

long balance_of(Operations& log) { return Repo::load(log, "ann")->balance; }

}  // namespace

TEST_CASE("A snapshot is saved for a version that the stream has, loaded by its schema version, and never older") {
    Database database;
    Connection log = database.connect();
    for (int i = 0; i < 5; i++) log.append("a-1", event("A"));
    CHECK(!log.load_snapshot("a-1"));
    CHECK(log.save_snapshot("a-1", 3, {{"sum", 3.50}, {"größe", nullptr}}));
    CHECK(!log.save_snapshot("a-1", 3, {{"sum", 0}}));
    CHECK(!log.save_snapshot("a-1", 2, {{"sum", 0}}));
    const auto third = log.load_snapshot("a-1");
    REQUIRE(third);
    CHECK(third->stream == "a-1");
    CHECK(third->schema_version == 1);
    CHECK(third->version == 3);
    CHECK(third->state() == json({{"sum", 3.50}, {"größe", nullptr}}));
    REQUIRE(third->saved_at);
    CHECK(*third->saved_at >= log.read_after().begin()->recorded_at);

    CHECK(log.save_snapshot("a-1", 5, {1, 2}));
    CHECK(log.load_snapshot("a-1")->state() == json({1, 2}));
    CHECK(!log.load_snapshot("a-1", 2));
    CHECK(log.save_snapshot("a-1", 1, "text", 2));
    CHECK(log.load_snapshot("a-1", 2)->version == 1);
    CHECK(log.load_snapshot("a-1")->version == 5);

    const auto refused = [&](auto call) { CHECK(state_of<server_error>(call) == "22023"); };
    refused([&] { log.save_snapshot("a-1", 6, {}); });
    refused([&] { log.save_snapshot("a-1", 0, {}); });
    refused([&] { log.save_snapshot("a-2", 1, {}); });
    refused([&] { log.save_snapshot("a-1", 5, {}, 0); });
    CHECK(state_of<usage_error>([&] { log.save_snapshot("a-1", 5, "\xff"); }) == "TM000");
}

TEST_CASE("A stream is loaded with its snapshot and the events behind it, and where there is none with all") {
    Database database;
    Connection log = database.connect();
    CHECK(log.load_stream("a-1").version() == 0);
    log.append("a-1", {event("A", {{"number", 1}}), event("A"), event("A")});
    const LoadedStream all = log.load_stream("a-1");
    CHECK(!all.snapshot);
    CHECK(versions_of(all.events) == std::vector<std::int64_t>{1, 2, 3});
    CHECK(all.events[0].data()["number"] == 1);
    CHECK(all.version() == 3);

    log.save_snapshot("a-1", 2, "two", 7);
    CHECK(!log.load_stream("a-1").snapshot);
    const LoadedStream tail = log.load_stream("a-1", 7);
    REQUIRE(tail.snapshot);
    CHECK(tail.snapshot->stream == "a-1");
    CHECK(tail.snapshot->schema_version == 7);
    CHECK(tail.snapshot->version == 2);
    CHECK(tail.snapshot->state() == "two");
    CHECK(!tail.snapshot->saved_at);
    CHECK(versions_of(tail.events) == std::vector<std::int64_t>{3});
    CHECK(tail.version() == 3);

    log.save_snapshot("a-1", 3, "three", 7);
    const LoadedStream last = log.load_stream("a-1", 7);
    CHECK(last.events.empty());
    CHECK(last.version() == 3);
}

TEST_CASE(
    "An aggregate is loaded from the snapshot of its schema version and the events from the next version on, and "
    "without one from all events") {
    Database database;
    Connection log = database.connect();
    deposit<Never>(log, 5);
    CHECK(balance_of(log) == 5);
    // What cannot be shows where it is taken from.
    log.save_snapshot(ANN, 5, {{"balance", 1'000}}, VERSION - 1);
    log.save_snapshot(ANN, 5, {{"balance", 1'000}}, VERSION + 1);
    CHECK(balance_of(log) == 5);
    log.save_snapshot(ANN, 3, {{"balance", 100}}, VERSION);
    CHECK(balance_of(log) == 102);
    auto account = Repo::load(log, "ann");
    CHECK(account.version() == 5);
    CHECK(account.exists());
    account.record(Withdrawn{2, "rent"});
    Repo::save(log, account);
    CHECK(account.version() == 6);
    CHECK(balance_of(log) == 100);
    log.save_snapshot(ANN, 6, {{"balance", 6}}, VERSION);
    CHECK(Repo::load(log, "ann").version() == 6);
    CHECK(balance_of(log) == 6);
    CHECK(Accounts::load(log, "ann")->balance == 3);  // a state without snapshots

    // The log does not know of them.
    CHECK(log.read_stream(ANN).to_vector().size() == 6);
    CHECK(log.stream_version(ANN) == 6);
    Transaction transaction = log.begin();
    CHECK(Repo::load_for_update(transaction, "ann").version() == 6);
}

TEST_CASE("A snapshot is saved where a committed append has come to a multiple of the distance or past it, and once") {
    Database database;
    Connection log = database.connect();
    const auto comes_to = [&](std::int64_t version, std::int64_t snapshot) {
        deposit<Savings>(log, version - log.stream_version(ANN));
        CHECK(snapshot_of(log) == snapshot);
        CHECK(balance_of(log) == version);
    };
    comes_to(95, 0);
    comes_to(103, 103);  // 95 to 103
    comes_to(104, 103);
    comes_to(199, 103);
    comes_to(200, 200);  // a multiple itself
    comes_to(201, 200);
    comes_to(555, 555);  // several multiples
    CHECK(log.execute("SELECT count(*) FROM es_snapshots").get<int>(0, 0) == 1);
    const auto snapshot = log.load_snapshot(ANN, VERSION);
    CHECK(snapshot->state() == json({{"balance", 555}}));

    deposit<Often>(log, 9);
    CHECK(snapshot_of(log) == 564);
    deposit<Never>(log, 1'000);
    deposit<Account>(log, 1'000);
    CHECK(snapshot_of(log) == 564);
}

TEST_CASE("In a transaction a snapshot is saved when that commits, and not when it is rolled back") {
    Database database;
    Connection log = database.connect(), witness = database.connect();
    auto account = Repository<Often>::load(log, "ann");
    record(account, 12);
    {
        Transaction transaction = log.begin();
        Repository<Often>::save(transaction, account);
        CHECK(snapshot_of(transaction) == 12);
    }
    CHECK(snapshot_of(log) == 0);
    log.transact([&](Transaction& transaction) {
        transaction.execute("SAVEPOINT mine");
        Repository<Often>::save(transaction, account);
        CHECK(snapshot_of(transaction) == 12);
        record(account, 3);
        Repository<Often>::save(transaction, account);
        CHECK(snapshot_of(transaction) == 12);
        record(account, 10);
        Repository<Often>::save(transaction, account);
        CHECK(snapshot_of(transaction) == 25);
        CHECK(snapshot_of(witness) == 0);
        transaction.execute("RELEASE mine");  // the client's own savepoints are gone
    });
    CHECK(snapshot_of(witness) == 25);
    CHECK(account.version() == 25);
    CHECK(balance_of(log) == 25);
    // An append that is undone takes its snapshot with it.
    log.transact([&](Transaction& transaction) {
        transaction.execute("SAVEPOINT mine");
        deposit<Often>(transaction, 5);
        CHECK(snapshot_of(transaction) == 30);
        transaction.execute("ROLLBACK TO mine");
    });
    CHECK(snapshot_of(log) == 25);
    CHECK(log.stream_version(ANN) == 25);

    auto other = Repository<Often>::load(log, "ann");
    deposit<Often>(log, 1);
    record(other, 20);
    CHECK_THROWS_AS(Repository<Often>::save(log, other), wrong_expected_version);
    CHECK(snapshot_of(log) == 25);
}

TEST_CASE("A snapshot that cannot be saved leaves the append as it is, and is told of") {
    Database database;
    Connection owner = database.connect();
    owner.execute("REVOKE EXECUTE ON FUNCTION es_save_snapshot FROM tidemark_writer");
    std::vector<std::string> notices;
    Connection log({.conninfo = database.conninfo() + " options='-c role=tidemark_writer'",
                    .on_notice = [&](std::string_view notice) { notices.emplace_back(notice); }});
    deposit<Often>(log, 11);
    CHECK(log.stream_version(ANN) == 11);
    log.transact([](Transaction& transaction) {
        deposit<Often>(transaction, 11);
        CHECK(transaction.stream_version(ANN) == 22);
    });
    CHECK(log.stream_version(ANN) == 22);
    CHECK(balance_of(log) == 22);
    REQUIRE(notices.size() == 2);
    CHECK_THAT(notices[0], Catch::Contains(ANN) && Catch::Contains("at version 11: permission denied"));
    CHECK_THAT(notices[1], Catch::Contains("22"));

    notices.clear();
    log.transact([](Transaction& transaction) { deposit<Unwritable>(transaction, 1); });
    deposit<Unwritable>(log, 1);
    CHECK(log.stream_version(ANN) == 24);
    REQUIRE(notices.size() == 2);
    CHECK_THAT(notices[0], Catch::Contains("it is a secret"));

    CHECK(!log.try_save_snapshot(ANN, 99, [] { return json(); }));
    CHECK(!owner.try_save_snapshot(ANN, 99, [] { return json(); }));
    CHECK(owner.try_save_snapshot(ANN, 24, [] { return json(); }));
    CHECK(snapshot_of(owner, 1) == 24);
    CHECK(state_of<server_error>([&] { log.save_snapshot(ANN, 24, {}); }) == "42501");
}

TEST_CASE("An append whose snapshot is lost with the line is made, and its aggregate knows") {
    Database database;
    Connection direct = database.connect();
    std::int64_t version = 0;
    int cuts = 0;
    for (const Side side : {Side::client, Side::server}) {
        for (std::size_t messages = 1;; messages++) {
            Proxy proxy(Database::server_folder(), Database::server_port());
            Connection log(database.conninfo() + " " + proxy.conninfo());
            auto account = Repository<Often>::load(log, "ann");
            record(account, 10);
            version += 10;
            proxy.arm({side, messages, true});
            Repository<Often>::save(log, account);
            CHECK(account.version() == version);
            CHECK(account.recorded().empty());
            CHECK(direct.stream_version(ANN) == version);
            CHECK(Repository<Often>::load(direct, "ann")->balance == version);
            if (!proxy.has_cut()) break;
            cuts++;
        }
    }
    CHECK(cuts >= 10);
}

TEST_CASE("A snapshot that is no state any more is passed over: all events are read, and the next one replaces it") {
    Database database;
    Connection log(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 3});
    deposit<Never>(log, 8);
    for (const json& state : {json("text"), json({{"money", 8}}), json({{"balance", "eight"}}), json()}) {
        const auto version = log.stream_version(ANN);
        REQUIRE(log.save_snapshot(ANN, version, state, VERSION));
        auto account = Repo::load(log, "ann");
        CHECK(account.version() == version);
        CHECK(account->balance == version);
        record(account, 1);
        Repo::save(log, account);
        CHECK(account.version() == version + 1);
    }
    CHECK(snapshot_of(log) == 11);
    deposit<Often>(log, 10);
    CHECK(snapshot_of(log) == 22);
    CHECK(log.load_snapshot(ANN, VERSION)->state() == json({{"balance", 22}}));
}

TEST_CASE("A snapshot of an aggregate is saved on demand, if all that is recorded is in the log") {
    Database database;
    Connection log = database.connect();
    auto account = Repo::load(log, "ann");
    CHECK(state_of<server_error>([&] { Repo::save_snapshot(log, account); }) == "22023");
    record(account, 3);
    CHECK(state_of<usage_error>([&] { Repo::save_snapshot(log, account); }) == "TM000");
    Repo::save(log, account);
    CHECK(Repo::save_snapshot(log, account));
    CHECK(!Repo::save_snapshot(log, account));
    CHECK(snapshot_of(log) == 3);
    log.transact([&](Transaction& transaction) {
        record(account, 1);
        Repo::save(transaction, account);
        CHECK(Repo::save_snapshot(transaction, account));
    });
    CHECK(snapshot_of(log) == 4);
    CHECK(balance_of(log) == 4);
}

TEST_CASE("A command loads by a snapshot what it has not declared, checks it, and saves the next one when it is due") {
    Database database;
    Connection log = database.connect(), rival = database.connect();
    deposit<Never>(log, 8);
    log.save_snapshot(ANN, 6, {{"balance", 100}}, VERSION);  // what cannot be
    CommandExecutor executor(log);
    executor.run({ANN}, [](Command& command) {
        CHECK(command.load<Often>("ann").balance == 8);  // it was read
    });
    int attempts = 0;
    executor.run({}, [&](Command& command) {
        const auto account = command.load<Often>("ann");
        if (++attempts == 1) rival.append(ANN, Deposited{50});
        CHECK(account.balance == (attempts == 1 ? 102 : 152));
        CHECK(command.load<Often>("ann").balance == 152);
        command.append("audit-1", event("Looked"));
    });
    CHECK(attempts == 2);  // it was checked, though not written to
    CHECK(snapshot_of(log) == 6);

    executor.run({}, [&](Command& command) {
        CHECK(command.load<Often>("ann").balance == 152);
        CHECK(command.read(ANN).version == 9);  // its events are there all the same
        command.append(ANN, Withdrawn{52, "rent"});
        command.append(ANN, Deposited{1});
    });
    CHECK(executor.results().at(0).version == 11);
    CHECK(snapshot_of(log) == 11);
    CHECK(log.load_snapshot(ANN, VERSION)->state() == json({{"balance", 101}}));

    // Of a declared one, too; and one that cannot be made leaves the command as it is.
    executor.run({ANN}, [](Command& command) {
        const auto balance = command.load<Often>("ann").balance;
        CHECK(balance == 8 + 50 - 52 + 1);
        for (int i = 0; i < 10; i++) command.append(ANN, Deposited{1});
    });
    CHECK(log.load_snapshot(ANN, VERSION)->state() == json({{"balance", 17}}));
    CHECK(snapshot_of(log) == 21);
    executor.run({}, [](Command& command) {
        command.load<Unwritable>("ann");
        command.append(ANN, Deposited{1});
    });
    CHECK(log.stream_version(ANN) == 22);
    CHECK(snapshot_of(log) == 21);
}
