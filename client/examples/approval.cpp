// Expenses need a second pair of eyes: somebody else than who asks must approve. The request is an aggregate; the list
// of what is waiting for approval is a table of one's own, which changes in the same transaction. Who decides locks the
// request first, so of two who do so at once the second one sees what the first one did, and no save can fail.
//
//     ./approval "dbname=shop"
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct Requested {
    static constexpr std::string_view event_type = "Requested";
    std::string by;
    long amount;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Requested, by, amount)

struct Approved {
    static constexpr std::string_view event_type = "Approved";
    std::string by;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Approved, by)

struct Expense {
    using Events = EventTypes<Requested, Approved>;
    static constexpr std::string_view category = "expense";
    std::string requested_by, approved_by;
    long amount = 0;

    void apply(const Requested& event) {
        requested_by = event.by;
        amount = event.amount;
    }
    void apply(const Approved& event) { approved_by = event.by; }
};
using Expenses = Repository<Expense>;

struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void request(Connection& connection, const std::string& id, const std::string& by, long amount) {
    Aggregate<Expense> expense(stream_of<Expense>(id));
    expense.record(Requested{by, amount});
    connection.transact([&](Transaction& transaction) {
        Expenses::save(transaction, expense);
        transaction.execute("INSERT INTO example_task (stream, title) VALUES ($1, $2)", expense.stream(),
                            "approve " + std::to_string(amount) + " for " + by);
    });
    std::cout << by << " asks for " << amount << "\n";
}

// Where it throws, the transaction is rolled back: the task stays, and no event is written.
void approve(Connection& connection, const std::string& id, const std::string& by) {
    Transaction transaction = connection.begin();
    auto expense = Expenses::load_for_update(transaction, id);
    if (!expense.exists()) throw Refused("there is no such request");
    if (!expense->approved_by.empty()) throw Refused(expense->approved_by + " has approved it already");
    if (expense->requested_by == by) throw Refused(by + " has asked for it");
    expense.record(Approved{by});
    Expenses::save(transaction, expense);
    transaction.execute("DELETE FROM example_task WHERE stream = $1", expense.stream());
    transaction.commit();
}

bool try_to_approve(Connection& connection, const std::string& id, const std::string& by) {
    try {
        approve(connection, id, by);
        std::cout << by + " approves\n";
        return true;
    } catch (const Refused& refusal) {
        std::cout << by + " cannot approve: " + refusal.what() + "\n";
        return false;
    }
}

bool is_waiting(Connection& connection, const std::string& id) {
    return !connection.execute("SELECT FROM example_task WHERE stream = $1", stream_of<Expense>(id)).empty();
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    const std::string conninfo = count > 1 ? arguments[1] : "";
    Connection connection(conninfo);
    connection.execute("CREATE TABLE IF NOT EXISTS example_task (stream text PRIMARY KEY, title text NOT NULL)");
    const std::string id = Uuid::make().to_string();

    request(connection, id, "Ann", 120);
    require(is_waiting(connection, id), "a task is waiting");
    require(!try_to_approve(connection, id, "Ann"), "nobody approves an expense of their own");
    require(is_waiting(connection, id), "the task is still waiting");

    std::vector<Connection> desks;
    for (int i = 0; i < 3; i++) desks.emplace_back(conninfo).reconnect();
    std::vector<std::future<bool>> bosses;
    for (const char* boss : {"Bob", "Cleo", "Dan"})
        bosses.push_back(std::async(std::launch::async, try_to_approve, std::ref(desks[bosses.size()]), id, boss));
    int approvals = 0;
    for (auto& boss : bosses) approvals += boss.get() ? 1 : 0;
    require(approvals == 1, "of three who would approve at once, one does");
    require(!is_waiting(connection, id), "no task is waiting any more");
    const auto expense = Expenses::load(connection, id);
    require(expense.version() == 2 && expense->approved_by != expense->requested_by, "four eyes have seen it");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
