#include "ledger.h"

#include <algorithm>

namespace chaos {

void Ledger::settle(Draft draft, Outcome outcome) {
    const std::scoped_lock lock(mutex_);
    if (draft.holding_since)
        longest_hold_ =
            std::max(longest_hold_, std::chrono::duration_cast<Millis>(Clock::now() - *draft.holding_since));
    attempted_.insert(draft.attempted.begin(), draft.attempted.end());
    if (outcome == Outcome::committed)
        for (auto& event : draft.live) acknowledged_.emplace(event.id, event);
    else if (outcome == Outcome::in_doubt)
        in_doubt_.push_back(std::move(draft.live));
}

}  // namespace chaos
