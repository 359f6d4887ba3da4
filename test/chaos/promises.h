// Judges the final log by what its own events say. Each tells which call it came with, what that call asked of its
// streams, and which versions its transaction held by then.
//
// A stream's version at a place in the log is the number of its events below that place. What a call was told must be
// true at the place of its first event: the stream's lock was taken before and is held to the end of the transaction,
// so whoever else appended to the stream either had ended before, and has lower positions, or begins later, and has
// higher ones. Of the transaction's own events the call saw those that the log has below it: a rollback to a savepoint
// undoes everything since, so one that undid an event that the call saw has undone the call as well. The locks taken
// since the savepoint go with it, and so the writer forgets what it held by them.
#pragma once

#include <cstdint>
#include <vector>

#include "check.h"
#include "connection.h"
#include "ledger.h"
#include "oracle.h"

namespace chaos {

// Events at or below origin were there before the run.
std::vector<Check> judge_promises(Connection& session, const std::vector<Logged>& log, const Ledger& ledger,
                                  std::int64_t origin);

}  // namespace chaos
