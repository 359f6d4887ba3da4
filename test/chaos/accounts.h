// What money is in which account, as the log tells it: a fold over events in position order. Transfers are appends to
// several accounts, so at the end of each append the total must be what it always was.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "check.h"
#include "event.h"

namespace chaos {

inline constexpr int account_count = 8, opening_balance = 100;
inline constexpr const char* rule_stream = "rule-1";

class Accounts {
  public:
    void take(const Event& event);

    // Balances below nothing.
    const Troubles& overdrawn() const { return overdrawn_; }
    // Ends of appends where the total had changed.
    const Troubles& unbalanced() const { return unbalanced_; }
    // Transfers that relied on another limit than the rule that was in force.
    const Troubles& unruly() const { return unruly_; }

  private:
    std::map<std::string, std::int64_t> balances_;
    std::int64_t total_ = 0, limit_ = 0;
    Troubles overdrawn_, unbalanced_, unruly_;
};

}  // namespace chaos
