// A writer: one transaction after another that appends in every way a careless or crashing client might.
#pragma once

#include <atomic>
#include <stop_token>
#include <string>

#include "call.h"
#include "composer.h"
#include "connection.h"
#include "dice.h"
#include "journal.h"
#include "ledger.h"
#include "resolver.h"

namespace chaos {

class Writer {
  public:
    Writer(const std::string& conninfo, unsigned seed, unsigned number, Ledger& ledger, Resolver& resolver,
           Journal& journal);
    void run(std::stop_token stop);
    // The backend's, for whoever wants to terminate it.
    int pid() const { return pid_; }

  private:
    void transact();
    void begin();
    void work(Draft& draft, int depth);
    void nest(Draft& draft, int depth);
    void append(Draft& draft);
    void make(Draft& draft, Call call);
    void finish(Draft& draft);
    void die();
    void prepare(Draft& draft);
    void commit(Draft& draft);
    void repeat(const Draft& draft, Outcome known);
    bool repeated(Call& first, Outcome& known);
    void refused(const SqlError& error);
    void linger();
    void reconnect();

    bool in_time() const { return Clock::now() - began_ < Millis(600); }

    Connection session_;
    Dice dice_;
    unsigned number_;
    Clock::time_point began_;
    bool hasty_ = false;  // whether the transaction goes without pauses, and is short
    bool alone_ = false;  // whether it is one append to streams that only such transactions touch
    std::atomic<int> pid_;
    Ledger& ledger_;
    Resolver& resolver_;
    Journal& journal_;
    Composer composer_;
};

}  // namespace chaos
