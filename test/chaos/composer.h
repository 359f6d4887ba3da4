// Thinks up what a writer appends: picks streams, reads them, and decides what to expect and to write.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "call.h"
#include "connection.h"
#include "dice.h"
#include "journal.h"

namespace chaos {

// Of the streams that anything happens to.
inline constexpr const char* categories[] = {"order", "cart", "parcel", "shipment"};

class Composer {
  public:
    Composer(Connection& session, Dice& dice, unsigned number, Journal& journal)
        : session_(session), dice_(dice), number_(number), journal_(journal) {}

    // To up to four streams, some only checked, expecting what was read, or whatever else. Some it locks: adds to held.
    Call anything(Held& held);
    // Moves money between accounts, or changes the rule that says how much at a time.
    Call business();
    // Gives each account its first money, and makes the rule.
    Call opening();
    std::string draw_id();

  private:
    enum class Expectation { nothing, existing, missing, read, locked };

    std::string pick_stream();
    Expectation pick_expectation();
    std::vector<Event> draw_events();
    Event draw_event(const std::string& type, const std::string& data = {});
    void read_versions(const std::vector<Write*>& writes);
    // Of whatever the richest of some accounts can afford; if that is nothing, a change of the rule.
    Call transfer();
    Call change_of_rule();
    Call seal(Call call);

    Connection& session_;
    Dice& dice_;
    // Not from the seed: a run repeated on the same log must not repeat its ids.
    std::mt19937_64 ids_{std::random_device{}()};
    unsigned number_;
    long serial_ = 0;
    Journal& journal_;
};

}  // namespace chaos
