// The writers' side of the story: what each transaction was told, and how it ended.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "call.h"
#include "dice.h"

namespace chaos {

enum class Outcome { committed, rolled_back, in_doubt };

// One transaction while it is open.
struct Draft {
    // What a rollback to a savepoint undoes: the calls that it made, and the locks that it holds by them.
    struct Done {
        std::vector<Call> calls;
        Held held;
    };
    Done done;
    std::int64_t last_position = 0;      // that it was given, also if that is undone
    std::vector<std::string> attempted;  // every event id it sent, whatever the answer
    // Its first position: from there on it holds readers back until it ends, also if that append is undone.
    std::int64_t first_position = 0;
    std::optional<Clock::time_point> holding_since;
    // When an append failed; whether it had taken positions by then, and which, nobody told.
    std::optional<Clock::time_point> maybe_holding_since;
};

// That a transaction held the safe position back below first_position, as its client knows it; 0: at an unknown place.
struct Hold {
    std::int64_t first_position;
    Clock::time_point since, until;
};

// What the reply to a call said of a stream that the call only checked; position is that of the call's first event.
struct Told {
    std::int64_t position;
    std::string stream;
    std::int64_t version;
};

class Ledger {
  public:
    // May come again for the same events: whoever repeats an append that was in doubt learns its outcome.
    void settle(const Draft& draft, Outcome outcome);

    // To be read when every writer has ended.
    const std::unordered_map<std::string, Event>& acknowledged() const { return acknowledged_; }
    const std::vector<Told>& told() const { return told_; }
    // By the id of the first event.
    const std::unordered_map<std::string, std::vector<Event>>& in_doubt() const { return in_doubt_; }
    bool attempted(const std::string& id) const { return attempted_.contains(id); }
    std::size_t attempts() const { return attempted_.size(); }
    const std::vector<Hold>& holds() const { return holds_; }
    // The longest that any transaction was open after its first append.
    Millis longest_hold() const;

  private:
    std::mutex mutex_;
    std::unordered_map<std::string, Event> acknowledged_;
    std::vector<Told> told_;
    std::unordered_map<std::string, std::vector<Event>> in_doubt_;
    std::unordered_set<std::string> attempted_;
    std::vector<Hold> holds_;
};

}  // namespace chaos
