// Aggregates are loaded from their streams, and saved where nobody else has changed them.
#include <catch2/catch.hpp>

#include <future>

#include "../support/accounts.hpp"
#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

struct Guarded {
    using Events = EventTypes<Deposited>;
    static constexpr std::string_view category = "guarded";
    void apply(const Deposited& event) {
        if (event.amount < 0) throw InsufficientFunds("less than nothing");
    }
};

}  // namespace

TEST_CASE("An aggregate is saved, and loaded as it was") {
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 2});
    auto account = Accounts::load(connection, "ann");
    CHECK(!account.exists());
    CHECK(account.stream() == "bank-account-ann");
    Accounts::save(connection, account);  // nothing was recorded
    CHECK(!account.exists());
    for (int i = 1; i <= 5; i++) account.record(Deposited{10}, {{"number", i}});
    account.record(Withdrawn{20, "rent"});
    CHECK(account->balance == 30);
    CHECK(account.version() == 0);
    CHECK(account.recorded().size() == 6);
    Accounts::save(connection, account);
    CHECK(account.version() == 6);
    CHECK(account.recorded().empty());

    const auto again = Accounts::load(connection, "ann");
    CHECK(again.exists());
    CHECK(again.version() == 6);
    CHECK(again.state().balance == 30);
    const auto events = connection.read_stream(account.stream()).to_vector();
    CHECK(events[4].metadata() == json({{"number", 5}}));
    CHECK(events[5].schema_version == 2);
    CHECK(events[5].category == Account::category);
    CHECK(connection.read_page(0, 10, {.category = std::string(Account::category)}).size() == 6);
}

TEST_CASE("Of two that were loaded alike one is saved, and the other stays as it is") {
    Database database;
    Connection connection = database.connect();
    auto one = Accounts::load(connection, "ann"), other = Accounts::load(connection, "ann");
    one.record(Deposited{1});
    other.record(Deposited{2});
    Accounts::save(connection, one);
    const auto problem = thrown_by<wrong_expected_version>([&] { Accounts::save(connection, other); });
    CHECK(problem.conflicts() == std::vector<VersionConflict>{{"bank-account-ann", -1, 1}});
    CHECK(other.version() == 0);
    CHECK(other.recorded().size() == 1);
}

TEST_CASE("In a transaction an aggregate is saved when that commits, and else stays as it is") {
    Database database;
    Connection connection = database.connect();
    auto account = Accounts::load(connection, "ann");
    account.record(Deposited{10});
    {
        Transaction transaction = connection.begin();
        Accounts::save(transaction, account);
        CHECK(account.version() == 0);
        CHECK(account.recorded().size() == 1);
    }
    CHECK(account.version() == 0);
    CHECK(account.recorded().size() == 1);
    connection.transact([&](Transaction& transaction) {
        Accounts::save(transaction, account);
        CHECK(account.version() == 0);
    });
    CHECK(account.version() == 1);
    CHECK(account.recorded().empty());
    CHECK(connection.stream_version(account.stream()) == 1);
}

TEST_CASE("What is recorded between saving and committing is not lost") {
    Database database;
    Connection connection = database.connect();
    auto account = Accounts::load(connection, "ann");
    account.record(Deposited{10});
    connection.transact([&](Transaction& transaction) {
        Accounts::save(transaction, account);
        account.record(Deposited{5});
    });
    CHECK(account.version() == 1);
    REQUIRE(account.recorded().size() == 1);
    Accounts::save(connection, account);
    CHECK(account.version() == 2);
    CHECK(Accounts::load(connection, "ann")->balance == 15);
}

TEST_CASE("An aggregate that is moved or gone when its transaction commits is no trouble") {
    Database database;
    Connection connection = database.connect();
    const auto deposit = [](Transaction& transaction) {
        auto account = Accounts::load(transaction, "ann");
        account.record(Deposited{10});
        Accounts::save(transaction, account);
        return account;
    };
    connection.transact([&](Transaction& transaction) { deposit(transaction); });
    const Aggregate<Account> account = connection.transact(deposit);
    CHECK(account.version() == 2);
    CHECK(account.recorded().empty());
    Aggregate<Account> copy = account;
    copy.record(Deposited{1});
    CHECK(account.recorded().empty());
    CHECK(account->balance == 20);
}

TEST_CASE("An aggregate is saved as often as there is something to save in one transaction") {
    Database database;
    Connection connection = database.connect();
    auto account = Accounts::load(connection, "ann");
    const auto save_twice = [&](Transaction& transaction) {
        Accounts::save(transaction, account);
        account.record(Deposited{5});
        Accounts::save(transaction, account);
        Accounts::save(transaction, account);
        CHECK(transaction.stream_version(account.stream()) == static_cast<int>(account.recorded().size()));
        CHECK(account.version() == 0);
    };
    account.record(Deposited{10});
    {
        Transaction transaction = connection.begin();
        save_twice(transaction);
    }
    // Rolled back: all of it is still to be saved.
    CHECK(account.version() == 0);
    CHECK(account.recorded().size() == 2);
    connection.transact(save_twice);
    CHECK(account.version() == 3);
    CHECK(account.recorded().empty());
    CHECK(Accounts::load(connection, "ann")->balance == 20);
    CHECK(account->balance == 20);
}

TEST_CASE("An event that the state refuses is not recorded") {
    Aggregate<Guarded> aggregate("guarded-1");
    CHECK_THROWS_AS(aggregate.record(Deposited{-1}), InsufficientFunds);
    CHECK(aggregate.recorded().empty());
}

TEST_CASE("What was loaded for update is saved without a conflict, and who else wants it waits") {
    Database database;
    Connection connection = database.connect(), rival = database.connect(), direct = database.connect();
    rival.safe_position();
    Transaction transaction = connection.begin();
    auto account = Accounts::load_for_update(transaction, "ann");
    auto racing = std::async(std::launch::async, [&] {
        return rival.transact([](Transaction& mine) {
            auto same = Accounts::load_for_update(mine, "ann");
            same.record(Deposited{same->balance});
            Accounts::save(mine, same);
            return same->balance;
        });
    });
    CHECK(comes_to_wait(direct, rival.backend_pid()));
    account.record(Deposited{10});
    Accounts::save(transaction, account);
    CHECK(racing.wait_for(0s) == std::future_status::timeout);
    transaction.commit();
    CHECK(racing.get() == 20);
    CHECK(Accounts::load(connection, "ann")->balance == 20);
}

TEST_CASE("An event of another type or version in the stream fails the load, and is named") {
    Database database;
    Connection connection = database.connect();
    connection.append("bank-account-ann", event("Closed"), 0, Account::category);
    CHECK_THAT(thrown_by<decode_error>([&] { Accounts::load(connection, "ann"); }).what(),
               Catch::Contains("Closed") && Catch::Contains("bank-account-ann"));
    connection.append("bank-account-bob", event("Withdrawn", {{"amount", 1}, {"reason", ""}}), 0, Account::category);
    CHECK_THAT(thrown_by<decode_error>([&] { Accounts::load(connection, "bob"); }).what(),
               Catch::Contains("schema version is 1, not 2"));
}
