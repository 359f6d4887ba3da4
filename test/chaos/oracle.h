// Judges a finished run: the final log against what writers were told, and every reader against the final log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "connection.h"
#include "event.h"
#include "ledger.h"
#include "reader.h"

namespace chaos {

struct Logged {
    Event event;
    std::string category;
    Digest digest;
};

// The committed log in position order.
std::vector<Logged> read_log(Connection& session);
Digest chain_of(const std::vector<Logged>& log);

// How what a reader saw differs from the log it should have seen.
struct Difference {
    long lost = 0;       // in the log, never seen
    long doubled = 0;    // seen again
    long altered = 0;    // seen, but not like that in the log
    long reordered = 0;  // seen behind a later one
    bool same = false;   // the very sequence
};
Difference compare(const Reader& reader, const std::vector<Logged>& log);

// The log against the ledger; events at or below origin were there before the run.
std::vector<Check> judge_log(const std::vector<Logged>& log, const Ledger& ledger, std::int64_t origin);
// One reader against the log: its sequence, and, unless it is naive, its chain and the order of versions.
std::vector<Check> judge_reader(const Reader& reader, const std::vector<Logged>& log);
Check judge_verify(Connection& session);

}  // namespace chaos
