// A writer: one transaction after another that appends in every way a careless or crashing client might.
#pragma once

#include <atomic>
#include <cstdint>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "connection.h"
#include "dice.h"
#include "journal.h"
#include "ledger.h"
#include "resolver.h"

namespace chaos {

inline constexpr const char* categories[] = {"order", "cart", "account", "shipment"};

class Writer {
  public:
    Writer(const std::string& conninfo, unsigned seed, unsigned number, Ledger& ledger, Resolver& resolver,
           Journal& journal);
    void run(std::stop_token stop);
    // The backend's, for whoever wants to terminate it.
    int pid() const { return pid_; }

  private:
    enum class Expectation { any, exists, none, exact, locked };

    void transact();
    void begin();
    void work(Draft& draft, int depth);
    void nest(Draft& draft, int depth);
    void append(Draft& draft);
    void finish(Draft& draft);
    void die();
    void prepare(Draft& draft);
    void commit(Draft& draft);
    void linger();
    void reconnect();

    bool in_time() const { return Clock::now() - began_ < Millis(600); }
    std::string pick_stream();
    Expectation pick_expectation();
    std::vector<Event> draw_events(const std::string& stream);
    std::int64_t expected_version(Expectation expectation, const std::string& stream);
    Rows call(const std::vector<Event>& events, std::int64_t expected);
    void accept(Draft& draft, std::vector<Event> events, std::int64_t expected, const Rows& reply);
    std::string draw_id();

    Connection session_;
    Dice dice_;
    // Not from the seed: a run repeated on the same log must not repeat its ids.
    std::mt19937_64 ids_{std::random_device{}()};
    unsigned number_;
    long serial_ = 0;
    Clock::time_point began_;
    bool hasty_ = false;  // whether the transaction goes without pauses, and is short
    std::atomic<int> pid_;
    Ledger& ledger_;
    Resolver& resolver_;
    Journal& journal_;
};

}  // namespace chaos
