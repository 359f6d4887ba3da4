#include "ledger.h"

#include <algorithm>

namespace chaos {

void Ledger::settle(const Draft& draft, Outcome outcome) {
    const std::scoped_lock lock(mutex_);
    const auto now = Clock::now();
    if (draft.holding_since) holds_.push_back({draft.first_position, *draft.holding_since, now});
    if (draft.maybe_holding_since) holds_.push_back({0, *draft.maybe_holding_since, now});
    attempted_.insert(draft.attempted.begin(), draft.attempted.end());
    std::vector<Event> all;
    for (const Call& call : draft.done.calls) {
        const std::vector<Event> events = call.events();
        all.insert(all.end(), events.begin(), events.end());
        if (outcome != Outcome::committed || events.empty()) continue;
        for (const Write& write : call.writes)
            if (write.events.empty()) told_.push_back({events.front().position, write.stream, write.told});
    }
    if (outcome == Outcome::in_doubt) {
        if (!all.empty()) in_doubt_[all.front().id] = all;
        return;
    }
    for (const auto& id : draft.attempted) in_doubt_.erase(id);
    if (outcome == Outcome::committed)
        for (const Event& event : all) acknowledged_.emplace(event.id, event);
}

Millis Ledger::longest_hold() const {
    Millis longest{0};
    for (const Hold& hold : holds_)
        if (hold.first_position != 0)
            longest = std::max(longest, std::chrono::duration_cast<Millis>(hold.until - hold.since));
    return longest;
}

}  // namespace chaos
