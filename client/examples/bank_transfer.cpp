// Money moves in circles: Ann pays Bob, Bob pays Cleo, Cleo pays Ann, and the other way round, all at the same time.
// Each transfer reads both of its accounts, decides, and appends to both or to neither; where one of them has changed
// meanwhile, it begins again. So no money is lost or made, and nobody pays what they have not got.
//
//     ./bank_transfer "dbname=shop"
#include <algorithm>
#include <future>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct Deposited {
    static constexpr std::string_view event_type = "Deposited";
    long amount;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Deposited, amount)

struct Withdrawn {
    static constexpr std::string_view event_type = "Withdrawn";
    long amount;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Withdrawn, amount)

struct Account {
    using Events = EventTypes<Deposited, Withdrawn>;
    static constexpr std::string_view category = "account";
    long balance = 0, lowest = 0;

    void apply(const Deposited& event) { balance += event.amount; }
    void apply(const Withdrawn& event) {
        balance -= event.amount;
        lowest = std::min(lowest, balance);
    }
};

struct InsufficientFunds : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Returns how many attempts it took. A refusal, as whatever the decision throws, is not tried again.
int transfer(Connection& connection, const std::string& from, const std::string& to, long amount) {
    const std::string source = stream_of<Account>(from), target = stream_of<Account>(to);
    CommandExecutor executor(connection, {.max_attempts = 100});
    return executor.run({source, target}, [&](Command& command) {
        if (command.load<Account>(from).balance < amount) throw InsufficientFunds("that is more than there is");
        command.append(source, Withdrawn{amount});
        command.append(target, Deposited{amount});
        return command.attempt();
    });
}

void pay_twenty_times(Pool& pool, const std::string& from, const std::string& to) {
    int made = 0, attempts = 0;
    for (int i = 0; i < 20; i++) {
        try {
            attempts += pool.with([&](Connection& connection) { return transfer(connection, from, to, 40); });
            made++;
        } catch (const InsufficientFunds&) {
        }
    }
    std::cout << "made " + std::to_string(made) + " transfers in " + std::to_string(attempts) + " attempts; " +
                     std::to_string(20 - made) + " were refused\n";
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    Pool pool({.conninfo = count > 1 ? arguments[1] : ""});
    const std::string run = Uuid::make().to_string();  // each run has accounts of its own
    const std::vector<std::string> owners = {"ann-" + run, "bob-" + run, "cleo-" + run};

    auto bank = pool.acquire();
    for (const std::string& owner : owners)
        bank->append(stream_of<Account>(owner), encode(Deposited{100}), ExpectedVersion::no_stream());

    std::vector<std::future<void>> payers;
    for (const std::string& from : owners)
        for (const std::string& to : owners)
            if (from != to)
                payers.push_back(std::async(std::launch::async, pay_twenty_times, std::ref(pool), from, to));
    for (auto& payer : payers) payer.get();

    long total = 0, lowest = 0;
    for (const std::string& owner : owners) {
        const auto account = Repository<Account>::load(*bank, owner);
        std::cout << owner.substr(0, owner.find('-')) << " has " << account->balance << "\n";
        total += account->balance;
        lowest = std::min(lowest, account->lowest);
    }
    require(total == 300, "what there was together, there still is");
    require(lowest == 0, "no account was ever overdrawn");

    const auto version = bank->stream_version(stream_of<Account>(owners[0]));
    try {
        transfer(*bank, owners[0], owners[1], 1'000);
        require(false, "a transfer of 1000 is refused");
    } catch (const InsufficientFunds& refusal) {
        std::cout << "a transfer of 1000 is refused: " << refusal.what() << "\n";
    }
    require(bank->stream_version(stream_of<Account>(owners[0])) == version, "a refusal leaves nothing in the log");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
