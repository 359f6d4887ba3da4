// The history of a sync projection that is made on a log with events.
#pragma once

#include "handler.h"

namespace tidemark {

// Projects what is in the log above the position, while others go on appending, until little is left; then locks them
// out until the transaction ends, and projects that. from_now: leaves the history out. Returns the position above which
// events are the projection's.
int64 catch_up(const LogTables& log, const Handler& handler, const EventFilter& filter, Relation events, Relation head,
               int64 start, bool from_now);

}  // namespace tidemark
