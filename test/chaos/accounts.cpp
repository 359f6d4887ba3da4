#include "accounts.h"

namespace chaos {

void Accounts::take(const Event& event) {
    const auto limit = number_in(event.data, "limit");
    if (event.stream == rule_stream)
        limit_ = limit.value_or(0);
    else if (limit && *limit != limit_)
        unruly_.add(describe(event) + ": by the limit " + std::to_string(*limit) + " instead of " +
                    std::to_string(limit_));
    if (const auto amount = number_in(event.data, "amount")) {
        total_ += *amount;
        const std::int64_t balance = balances_[event.stream] += *amount;
        if (balance < 0) overdrawn_.add(describe(event) + ": " + std::to_string(balance));
    }
    const bool last_of_append = number_in(event.data, "at") == number_in(event.data, "of");
    if (last_of_append && !balances_.empty() && total_ != account_count * opening_balance)
        unbalanced_.add(describe(event) + ": " + std::to_string(total_));
}

}  // namespace chaos
