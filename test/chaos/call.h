// One append as its client makes it: what it asks of which streams, and what it was told.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "connection.h"
#include "dice.h"
#include "event.h"

namespace chaos {

// Expected versions that are no version.
inline constexpr std::int64_t any = -2, no_stream = -1, stream_exists = -4;
inline constexpr const char* wrong_expected_version = "TM001";  // as SQLSTATE
bool matches(std::int64_t expected, std::int64_t version);

// Versions of streams that a transaction has locked, by stream.
using Held = std::map<std::string, std::int64_t>;

struct Write {
    std::string stream;
    std::int64_t expected = any;
    std::vector<Event> events = {};  // none: the stream is only checked
    std::int64_t told = 0;           // the stream's version in the reply

    bool operator==(const Write&) const = default;
};

struct Call {
    std::string id = {};
    std::vector<Write> writes = {};
    Held held = {};  // what the transaction held before
    bool is_duplicate = false;

    std::vector<Event> events() const;
};

std::string describe(const Call& call);

// Completes the data of the call's events, which is what each adds of its own, as in `, "amount": 5`. An event says
// which call it belongs to, its place in it, what the call asked of its streams, and what its transaction held; so the
// log can be judged by itself.
void seal(Call& call, unsigned writer, long& serial, Dice& dice);

// Makes the call by one of the append functions that can make it.
Rows send(Connection& session, Dice& dice, const Call& call);

// Takes the reply's word for versions and positions; returns how it contradicts the question or itself, if it does.
std::string take_reply(Call& call, const Rows& reply);

}  // namespace chaos
