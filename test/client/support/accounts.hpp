// Accounts, as the tests of aggregates and commands use them.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include <tidemark/tidemark.hpp>

namespace tidemark::test {

struct Deposited {
    static constexpr std::string_view event_type = "Deposited";
    long amount = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Deposited, amount)

struct Withdrawn {
    static constexpr std::string_view event_type = "Withdrawn";
    static constexpr int schema_version = 2;
    long amount = 0;
    std::string reason;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Withdrawn, amount, reason)

struct Account {
    using Events = EventTypes<Deposited, Withdrawn>;
    static constexpr std::string_view category = "bank-account";
    long balance = 0;
    void apply(const Deposited& event) { balance += event.amount; }
    void apply(const Withdrawn& event) { balance -= event.amount; }
};
using Accounts = Repository<Account>;

struct InsufficientFunds : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace tidemark::test
