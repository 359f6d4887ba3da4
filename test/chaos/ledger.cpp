#include "ledger.h"

#include <algorithm>

namespace chaos {

void Ledger::settle(Draft draft, Outcome outcome) {
    const std::scoped_lock lock(mutex_);
    const auto now = Clock::now();
    if (draft.holding_since) holds_.push_back({draft.first_position, *draft.holding_since, now});
    if (draft.maybe_holding_since) holds_.push_back({0, *draft.maybe_holding_since, now});
    attempted_.insert(draft.attempted.begin(), draft.attempted.end());
    if (outcome == Outcome::committed)
        for (auto& event : draft.live) acknowledged_.emplace(event.id, event);
    else if (outcome == Outcome::in_doubt)
        in_doubt_.push_back(std::move(draft.live));
}

Millis Ledger::longest_hold() const {
    Millis longest{0};
    for (const Hold& hold : holds_)
        if (hold.first_position != 0)
            longest = std::max(longest, std::chrono::duration_cast<Millis>(hold.until - hold.since));
    return longest;
}

}  // namespace chaos
