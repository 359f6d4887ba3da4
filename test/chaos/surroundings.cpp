#include "surroundings.h"

#include <algorithm>

namespace chaos {

Pin::Pin(const std::string& conninfo, const std::string& readers, PinKind kind, unsigned seed, unsigned number,
         Journal& journal)
    : kind_(kind),
      session_(conninfo, "chaos pin " + std::to_string(number), kind == PinKind::other_database ? "postgres" : ""),
      observer_(readers, "chaos pin observer " + std::to_string(number)),
      dice_(seed, 3, number),
      journal_(journal),
      gid_("chaos-pin-" + std::to_string(seed) + "-" + std::to_string(number)) {}

void Pin::run(std::stop_token stop) {
    while (!stop.stop_requested()) {
        set();
        const auto since = Clock::now();
        const auto head = observer_.run("SELECT es_head_position()").number(0, 0);
        rest_unless(stop, Millis(dice_.between(3000, 5000)));
        const auto safe = observer_.run("SELECT es_safe_position()").number(0, 0);
        holds_.push_back({std::chrono::duration_cast<Millis>(Clock::now() - since), head, safe});
        pull();
        rest_unless(stop, Millis(dice_.between(0, 500)));
    }
}

void Pin::set() {
    session_.run(kind_ == PinKind::repeatable_read ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN");
    session_.run(kind_ == PinKind::write || kind_ == PinKind::prepared ? "INSERT INTO chaos_notes DEFAULT VALUES"
                                                                       : "SELECT pg_current_xact_id()");
    if (kind_ == PinKind::prepared) session_.run("PREPARE TRANSACTION '" + gid_ + "'");
    journal_.count(kind_ == PinKind::other_database ? "pins in another database" : "pins");
}

void Pin::pull() { session_.run(kind_ == PinKind::prepared ? "ROLLBACK PREPARED '" + gid_ + "'" : "ROLLBACK"); }

void terminate_backends(const std::string& conninfo, unsigned seed, std::function<int(int)> next, int writers,
                        Journal& journal, std::stop_token stop) {
    Connection session(conninfo, "chaos terminator");
    Dice dice(seed, 4, 0);
    while (!stop.stop_requested()) {
        rest_unless(stop, Millis(dice.between(300, 1200)));
        session.run("SELECT pg_terminate_backend($1)", {std::to_string(next(dice.between(0, writers - 1)))});
        journal.count("backends terminated");
    }
}

void Watcher::run(std::stop_token stop) {
    std::int64_t last = -1;
    while (!stop.stop_requested()) {
        const auto now = Clock::now();
        const Rows row = session_.run("SELECT es_safe_position(), es_head_position()");
        const auto safe = row.number(0, 0), head = row.number(0, 1);
        if (safe > head)
            journal_.complain(steady_line, "the safe position " + std::to_string(safe) + " is above the head " +
                                               std::to_string(head));
        if (safe < last)
            journal_.complain(steady_line, "the safe position went back from " + std::to_string(last) + " to " +
                                               std::to_string(safe));
        if (safe < head) {
            if (stalls_.empty() || stalls_.back().safe_position != safe) stalls_.push_back({safe, now, now});
            stalls_.back().to = now;
        }
        last = safe;
        ++samples_;
        rest(Millis(5));
    }
}

}  // namespace chaos
