#include "report.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

namespace chaos {

namespace {

// What scheduling on a busy machine, or replay on a standby, may add to a measured time.
constexpr Millis slack{1000};

std::string in_ms(Millis time) { return std::to_string(time.count()) + " ms"; }

Millis between(Clock::time_point from, Clock::time_point to) { return std::chrono::duration_cast<Millis>(to - from); }

Millis longest_stall(const Watcher& watcher) {
    Millis longest{0};
    for (const auto& stall : watcher.stalls()) longest = std::max(longest, between(stall.from, stall.to));
    return longest;
}

// How long the safe position stayed at most where it was after the transaction that held it there had ended.
std::pair<Millis, std::int64_t> longest_overrun(const Watcher& watcher, const Ledger& ledger) {
    std::unordered_map<std::int64_t, Clock::time_point> ends;
    for (const Hold& hold : ledger.holds()) ends.emplace(hold.first_position, hold.until);
    std::pair<Millis, std::int64_t> longest{0, 0};
    for (const auto& stall : watcher.stalls()) {
        auto end = stall.from;
        if (const auto holder = ends.find(stall.safe_position + 1); holder != ends.end()) {
            end = holder->second;
        } else {
            for (const Hold& hold : ledger.holds())
                if (hold.first_position == 0 && hold.since <= stall.from + slack) end = std::max(end, hold.until);
        }
        longest = std::max(longest, {between(end, stall.to), stall.safe_position});
    }
    return longest;
}

Check judge_pins(const std::deque<Pin>& pins, Millis limit) {
    Check check{"while strangers kept transactions open, the safe position passed all that was there before them", ""};
    for (const Pin& pin : pins) {
        int conclusive = 0;
        for (const auto& hold : pin.holds()) {
            if (hold.length <= limit) continue;
            ++conclusive;
            if (hold.safe_after < hold.head_before)
                check.trouble = "held for " + in_ms(hold.length) + ": from head " + std::to_string(hold.head_before) +
                                " only to safe position " + std::to_string(hold.safe_after);
        }
        if (conclusive == 0) check.trouble = "no pin of some kind was held for longer than " + in_ms(limit);
    }
    return check;
}

}  // namespace

std::vector<Check> judge_run(const Journal& journal, const Ledger& ledger, const Watcher& watcher,
                             const std::deque<Pin>& pins, const std::deque<Reader>& readers) {
    std::vector<Check> checks;
    for (const char* claim : {no_error, true_replies, no_deadlock, steady_line}) {
        const auto complaints = journal.complaints(claim);
        checks.push_back({claim, complaints.empty()
                                     ? ""
                                     : std::to_string(complaints.size()) + " times, first: " + complaints.front()});
    }

    const Millis limit = ledger.longest_hold() + slack;
    const std::string bound = ", though no appender held for longer than " + in_ms(ledger.longest_hold());
    const auto [overrun, place] = longest_overrun(watcher, ledger);
    checks.push_back({"the safe position stood still below the head only where an appender was open, and no longer",
                      overrun <= slack ? "" : "at " + std::to_string(place) + " for " + in_ms(overrun) + " more"});
    checks.push_back(judge_pins(pins, limit));
    Check waits{"no reader of the whole log waited for longer than an appender kept its transaction open", ""};
    for (const Reader& reader : readers)
        if (!reader.plan().naive && reader.plan().category.empty() && reader.longest_wait() > limit)
            waits.trouble = "reader " + reader.plan().name + " waited " + in_ms(reader.longest_wait()) + bound;
    checks.push_back(waits);

    Check enough{"every kind of trouble occurred", ""};
    for (const char* what :
         {"commits", "rollbacks", "TM001", "savepoints released", "savepoints rolled back", "early transaction ids",
          "prepared, committed", "prepared, rolled back", "bulk appends", "appends to many streams",
          "streams only checked", "transfers", "rules changed", "repeated, was there", "repeated, was not there",
          "own backend terminated", "backends terminated", "pins", "pins in another database"})
        if (journal.counted(what) == 0) enough.trouble = std::string("not so: ") + what;
    checks.push_back(enough);
    return checks;
}

void print_summary(const std::vector<Logged>& log, const Journal& journal, const Ledger& ledger, const Watcher& watcher,
                   const std::deque<Reader>& readers) {
    std::printf("\n%zu events in the log, %zu attempted; chain %.16s\n", log.size(), ledger.attempts(),
                hex(chain_of(log)).c_str());
    for (const auto& [what, count] : journal.counts()) std::printf("  %-26s %7ld\n", what.c_str(), count);
    std::printf(
        "safe position: %ld samples, longest stall %ld ms, %ld ms after its appender's end; longest appender %ld "
        "ms\n\n",
        watcher.samples(), static_cast<long>(longest_stall(watcher).count()),
        static_cast<long>(longest_overrun(watcher, ledger).first.count()),
        static_cast<long>(ledger.longest_hold().count()));
    std::printf("%-20s %8s %8s %6s %8s %8s %10s %9s  %s\n", "reader", "events", "pages", "lost", "doubled", "altered",
                "reordered", "wait ms", "chain");
    for (const Reader& reader : readers) {
        const Difference difference = compare(reader, log);
        std::printf("%-20s %8zu %8ld %6ld %8ld %8ld %10ld %9ld  %.16s\n", reader.plan().name.c_str(),
                    reader.seen().size(), reader.pages(), difference.lost, difference.doubled, difference.altered,
                    difference.reordered, static_cast<long>(reader.longest_wait().count()),
                    hex(reader.chain().value()).c_str());
    }
    std::printf("\n");
}

bool print_checks(const std::vector<Check>& checks) {
    bool all = true;
    for (const auto& [claim, trouble] : checks) {
        std::printf("%s %s%s%s\n", trouble.empty() ? "PASS" : "FAIL", claim.c_str(), trouble.empty() ? "" : ": ",
                    trouble.c_str());
        all = all && trouble.empty();
    }
    return all;
}

}  // namespace chaos
