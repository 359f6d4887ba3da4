#include "resolver.h"

#include <algorithm>

namespace chaos {

void Resolver::add(Prepared prepared) {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(prepared));
}

bool Resolver::has_room() {
    const std::scoped_lock lock(mutex_);
    return waiting_.size() < 25;
}

void Resolver::run(std::stop_token stop) {
    for (;;) {
        const bool stopping = stop.stop_requested();
        std::vector<Prepared> due;
        {
            const std::scoped_lock lock(mutex_);
            const auto later = std::partition(waiting_.begin(), waiting_.end(), [&](const Prepared& prepared) {
                return !stopping && prepared.due > Clock::now();
            });
            std::move(later, waiting_.end(), std::back_inserter(due));
            waiting_.erase(later, waiting_.end());
        }
        for (auto& prepared : due) resolve(std::move(prepared));
        if (stopping) return;
        if (due.empty()) rest(Millis(1));
    }
}

void Resolver::resolve(Prepared prepared) {
    const bool commit = prepared.commit && prepared.certain;
    try {
        session_.run((commit ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + prepared.gid + "'");
    } catch (const SqlError& error) {
        const std::string undefined_object = "42704";
        if (prepared.certain || error.sqlstate != undefined_object)
            journal_.complain(no_error, "resolving " + prepared.gid + ": " + error.what());
    }
    journal_.count(commit ? "prepared, committed" : "prepared, rolled back");
    ledger_.settle(prepared.draft, commit ? Outcome::committed : Outcome::rolled_back);
}

}  // namespace chaos
