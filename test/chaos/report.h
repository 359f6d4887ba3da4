// Judges the run itself, and prints its outcome.
#pragma once

#include <deque>
#include <vector>

#include "journal.h"
#include "ledger.h"
#include "oracle.h"
#include "reader.h"
#include "surroundings.h"

namespace chaos {

// Whether everything went as it should, nobody was held up by strangers, and there was chaos enough.
std::vector<Check> judge_run(const Journal& journal, const Ledger& ledger, const Watcher& watcher,
                             const std::deque<Pin>& pins, const std::deque<Reader>& readers);

void print_summary(const std::vector<Logged>& log, const Journal& journal, const Ledger& ledger, const Watcher& watcher,
                   const std::deque<Reader>& readers);
// Returns whether all hold.
bool print_checks(const std::vector<Check>& checks);

}  // namespace chaos
