// A reader that follows the log with the last position it was given, and remembers what it saw.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "accounts.h"
#include "connection.h"
#include "dice.h"
#include "event.h"
#include "journal.h"

namespace chaos {

struct ReaderPlan {
    std::string name;
    int batch = 1000;
    std::string category = {};   // empty: all
    std::string isolation = {};  // empty: no transaction around the page
    bool naive = false;          // reads the table, and so loses what commits late
};

// What the threads that run beside each other tell the readers.
struct Finish {
    static constexpr std::int64_t unknown = -1;
    std::atomic<std::int64_t> line = unknown;  // where the log ends, once it is known
    std::atomic<bool> writers_done = false;
};

class Reader {
  public:
    struct Sighting {
        std::int64_t position;
        Digest digest;
    };

    Reader(const std::string& conninfo, ReaderPlan plan, unsigned seed, unsigned number, const Finish& finish,
           Journal& journal);
    // Follows the log from its beginning until it has read all up to finish.line; being stopped before is a complaint.
    void run(std::stop_token stop);

    const ReaderPlan& plan() const { return plan_; }
    const std::vector<Sighting>& seen() const { return seen_; }
    const Chain& chain() const { return chain_; }
    const Accounts& accounts() const { return accounts_; }
    long pages() const { return pages_; }
    // Events that were not the version after their stream's last one.
    long out_of_order() const { return out_of_order_; }
    // The longest it got nothing between two events while there were writers.
    Millis longest_wait() const { return longest_wait_; }

  private:
    std::vector<Event> page();
    std::vector<Event> query();
    void take(const std::vector<Event>& events);

    Connection session_;
    ReaderPlan plan_;
    Dice dice_;
    const Finish& finish_;
    Journal& journal_;
    std::int64_t cursor_ = 0;
    std::vector<Sighting> seen_;
    std::map<std::string, std::int64_t> versions_;
    Chain chain_;
    Accounts accounts_;
    long pages_ = 0, out_of_order_ = 0;
    Millis longest_wait_{0};
    std::optional<Clock::time_point> last_event_;
};

}  // namespace chaos
