// What goes on around the writers and readers: strangers who hold transactions open, somebody who terminates writers'
// backends, and a watcher of the safe position.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "connection.h"
#include "dice.h"
#include "journal.h"

namespace chaos {

enum class PinKind { write, repeatable_read, prepared, other_database };

// Keeps one transaction with a transaction id, but without appends, open for seconds; then the next.
class Pin {
  public:
    struct Hold {
        Millis length;
        std::int64_t head_before;  // where the head was when the pin was set
        std::int64_t safe_after;   // where the safe position was just before it was pulled
    };

    Pin(const std::string& conninfo, const std::string& readers, PinKind kind, unsigned seed, unsigned number,
        Journal& journal);
    void run(std::stop_token stop);
    const std::vector<Hold>& holds() const { return holds_; }

  private:
    void set();
    void pull();

    PinKind kind_;
    Connection session_, observer_;
    Dice dice_;
    Journal& journal_;
    std::string gid_;
    std::vector<Hold> holds_;
};

// Terminates the backend that next() names, again and again; next() is asked with a number from 0.
void terminate_backends(const std::string& conninfo, unsigned seed, std::function<int(int)> next, int writers,
                        Journal& journal, std::stop_token stop);

// Samples head and safe position where the readers read.
class Watcher {
  public:
    // The safe position stood at this place, below the head, from one sample to another.
    struct Stall {
        std::int64_t safe_position;
        Clock::time_point from, to;
    };

    Watcher(const std::string& conninfo, Journal& journal) : session_(conninfo, "chaos watcher"), journal_(journal) {}
    void run(std::stop_token stop);
    const std::vector<Stall>& stalls() const { return stalls_; }
    long samples() const { return samples_; }

  private:
    Connection session_;
    Journal& journal_;
    std::vector<Stall> stalls_;
    long samples_ = 0;
};

}  // namespace chaos
