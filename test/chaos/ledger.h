// The writers' side of the story: what each transaction was told, and how it ended.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dice.h"
#include "event.h"

namespace chaos {

enum class Outcome { committed, rolled_back, in_doubt };

// One transaction while it is open.
struct Draft {
    std::vector<Event> live;             // appended, and not undone by a rollback to a savepoint
    std::vector<std::string> attempted;  // every event id it sent, whatever the answer
    // When its first append was answered; from then on it may hold readers back, also if that append is undone.
    std::optional<Clock::time_point> holding_since;
};

class Ledger {
  public:
    void settle(Draft draft, Outcome outcome);

    // To be read when every writer has ended.
    const std::unordered_map<std::string, Event>& acknowledged() const { return acknowledged_; }
    const std::vector<std::vector<Event>>& in_doubt() const { return in_doubt_; }
    bool attempted(const std::string& id) const { return attempted_.contains(id); }
    std::size_t attempts() const { return attempted_.size(); }
    // The longest that any transaction was open after its first append.
    Millis longest_hold() const { return longest_hold_; }

  private:
    std::mutex mutex_;
    std::unordered_map<std::string, Event> acknowledged_;
    std::vector<std::vector<Event>> in_doubt_;
    std::unordered_set<std::string> attempted_;
    Millis longest_hold_{0};
};

}  // namespace chaos
