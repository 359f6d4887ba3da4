// The coordinator of two-phase commits: ends what writers have prepared, later and from a session of its own.
#pragma once

#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "connection.h"
#include "journal.h"
#include "ledger.h"

namespace chaos {

struct Prepared {
    std::string gid;
    Draft draft;
    bool commit = true;   // or roll back
    bool certain = true;  // false when the reply to PREPARE TRANSACTION was lost
    Clock::time_point due;
};

class Resolver {
  public:
    Resolver(const std::string& conninfo, Ledger& ledger, Journal& journal)
        : session_(conninfo, "chaos resolver"), ledger_(ledger), journal_(journal) {}
    void add(Prepared prepared);
    // Whether another one may be prepared, well below max_prepared_transactions.
    bool has_room();
    // Resolves each when it is due; once stopped, whatever is left, then returns.
    void run(std::stop_token stop);

  private:
    void resolve(Prepared prepared);

    Connection session_;
    Ledger& ledger_;
    Journal& journal_;
    std::mutex mutex_;
    std::vector<Prepared> waiting_;
};

}  // namespace chaos
