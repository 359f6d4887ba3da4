// Double-entry bookkeeping. A journal entry books on two or more accounts, whose amounts add up to nothing, by one
// append under one correlation id. A follower of the log keeps the trial balance in a table, and its place in the log
// in another, both changed in one transaction: whenever it dies and begins again, each booking counts once.
//
//     ./ledger "dbname=shop"
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct Booked {
    static constexpr std::string_view event_type = "Booked";
    long amount;  // debit above zero, credit below
    std::string text;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Booked, amount, text)

struct Booking {
    std::string account;
    long amount;
};

// Returns the position of its last event.
std::int64_t post(Connection& books, const std::string& entry, const std::string& text,
                  const std::vector<Booking>& bookings) {
    const auto add = [](long sum, const Booking& booking) { return sum + booking.amount; };
    if (std::accumulate(bookings.begin(), bookings.end(), 0L, add) != 0)
        throw std::invalid_argument("an entry has to add up to nothing: " + text);
    std::vector<StreamWrite> writes;
    for (const auto& [account, amount] : bookings)
        writes.push_back({.stream = "ledger-" + account, .events = {encode(Booked{amount, text})}});
    std::cout << "posted: " << text << "\n";
    return books.append_streams(writes, entry).back().last_position;
}

void create_tables(Connection& books) {
    books.execute("CREATE TABLE IF NOT EXISTS example_balance (stream text PRIMARY KEY, balance bigint NOT NULL)");
    books.execute("CREATE TABLE IF NOT EXISTS example_cursor (name text PRIMARY KEY, position bigint NOT NULL)");
    books.execute("INSERT INTO example_cursor VALUES ('balance', 0) ON CONFLICT DO NOTHING");
}

// Takes the next page of the log into the balance. Returns how far it has come.
std::int64_t follow(Transaction& transaction) {
    // Two followers at a time would wait for one another here.
    const auto position = transaction.execute("SELECT position FROM example_cursor WHERE name = 'balance' FOR UPDATE")
                              .get<std::int64_t>(0, 0);
    const std::vector<Event> page = transaction.read_page(position, 100, {.category = "ledger"});
    for (const Event& event : page)
        transaction.execute(
            "INSERT INTO example_balance VALUES ($1, $2) "
            "ON CONFLICT (stream) DO UPDATE SET balance = example_balance.balance + excluded.balance",
            event.stream, decode<Booked>(event).amount);
    if (page.empty()) return position;
    transaction.execute("UPDATE example_cursor SET position = $1 WHERE name = 'balance'", page.back().position);
    return page.back().position;
}

long balance_of(Connection& books, const std::string& account) {
    const Rows rows = books.execute("SELECT balance FROM example_balance WHERE stream = $1", "ledger-" + account);
    return rows.empty() ? 0 : rows.get<long>(0, 0);
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    Connection books(count > 1 ? arguments[1] : "");
    create_tables(books);
    const std::string run = Uuid::make().to_string();  // each run has accounts of its own
    const std::string bank = "bank-" + run, equity = "equity-" + run, goods = "goods-" + run, tax = "tax-" + run,
                      sales = "sales-" + run;

    post(books, run + "-1", "the owner pays in", {{bank, 1'000}, {equity, -1'000}});
    post(books, run + "-2", "goods are bought, with tax", {{goods, 400}, {tax, 76}, {bank, -476}});
    const auto last = post(books, run + "-3", "goods are sold, with tax", {{bank, 595}, {sales, -500}, {tax, -95}});
    try {
        post(books, run + "-4", "money from nowhere", {{bank, 1'000'000}});
        require(false, "what does not add up is refused");
    } catch (const std::invalid_argument& refusal) {
        std::cout << "refused: " << refusal.what() << "\n";
    }

    {
        Transaction transaction = books.begin();
        follow(transaction);
        std::cout << "the follower dies before it commits\n";
    }
    while (books.transact(follow) < last) {
    }

    for (const std::string& account : {bank, equity, goods, tax, sales})
        std::cout << account.substr(0, account.find('-')) << ": " << balance_of(books, account) << "\n";
    require(balance_of(books, bank) == 1'119 && balance_of(books, tax) == -19, "each booking has counted once");
    const Rows sum = books.execute("SELECT sum(balance) FROM example_balance WHERE stream LIKE '%' || $1", run);
    require(sum.get<long>(0, 0) == 0, "the books are balanced");
    const Rows together = books.execute(
        "SELECT max(position) - min(position) + 1 = count(*) AND count(*) = 3 FROM es_events "
        "WHERE metadata ->> 'correlation_id' = $1",
        run + "-2");
    require(together.get<bool>(0, 0), "an entry stands together in the log, under its correlation id");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
