// A read model: the balances of wallets in a table, kept up to date by a subscription. The table changes in the
// transaction that acknowledges the events, so each counts once, though a consumer dies and the whole is built anew.
//
//     ./read_model "dbname=shop"
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct Changed {
    static constexpr std::string_view event_type = "Changed";
    long amount;  // paid in above zero, paid out below
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Changed, amount)

constexpr const char* SUBSCRIPTION = "example-wallets";

void take_in(Transaction& transaction, const Event& event) {
    transaction.execute(
        "INSERT INTO example_wallet VALUES ($1, $2) "
        "ON CONFLICT (stream) DO UPDATE SET balance = example_wallet.balance + excluded.balance",
        event.stream, decode<Changed>(event).amount);
}

long balance_of(Connection& shop, const std::string& wallet) {
    const Rows rows = shop.execute("SELECT balance FROM example_wallet WHERE stream = $1", wallet);
    return rows.empty() ? 0 : rows.get<long>(0, 0);
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    const std::string conninfo = count > 1 ? arguments[1] : "";
    Connection shop(conninfo);
    shop.execute("CREATE TABLE IF NOT EXISTS example_wallet (stream text PRIMARY KEY, balance bigint NOT NULL)");
    Subscription wallets = shop.subscription(SUBSCRIPTION);
    wallets.create({.filter = {.category = "wallet", .types = {{"Changed"}}}});

    const std::string run = Uuid::make().to_string();  // each run has wallets of its own
    const std::string ann = "wallet-ann-" + run, bob = "wallet-bob-" + run;
    shop.append(ann, Changed{100});
    shop.append(bob, Changed{50});
    shop.append(ann, Changed{-30});
    const auto last = shop.append(bob, Changed{5}).last_position;

    {
        const Delivery delivery = wallets.fetch("one that dies", {.lease = std::chrono::seconds(1)});
        Transaction transaction = shop.begin();
        for (const Event& event : delivery.events) take_in(transaction, event);
        transaction.subscription(SUBSCRIPTION).ack(delivery);
        std::cout << "a consumer dies before it commits\n";
    }
    require(balance_of(shop, ann) == 0, "of what it did nothing has happened");

    const RunnerOptions options = {.connection = {.conninfo = conninfo}, .subscription = SUBSCRIPTION};
    std::jthread runner([&](std::stop_token stop) { SubscriptionRunner(options, take_in).run(stop); });
    wallets.wait_for(last, std::chrono::seconds(30));
    require(balance_of(shop, ann) == 70 && balance_of(shop, bob) == 55,
            "a runner takes over when its lease is over, and each event counts once");

    shop.transact([](Transaction& transaction) {
        transaction.execute("DELETE FROM example_wallet");
        transaction.subscription(SUBSCRIPTION).reset(0);
    });
    const auto more = shop.append(ann, Changed{1}).last_position;
    wallets.wait_for(more, std::chrono::seconds(30));
    require(balance_of(shop, ann) == 71 && balance_of(shop, bob) == 55,
            "and so it does in the model built anew, while it is in use");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
