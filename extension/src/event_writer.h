// Inserts events into es_events through the executor, as an INSERT would but for planning: constraints, indexes, row
// triggers, generated columns and the defaults of columns that a user added all work, and can veto the append.
// What an INSERT would do besides is left out on purpose: privileges and row security (EXECUTE on the append functions
// is the privilege), rewrite rules, and triggers FOR EACH STATEMENT.
#pragma once

#include "append.h"

namespace tidemark {

// Stores the append's events from the versions and positions on that its results say. The caller has locked the streams
// and been given the positions. Afterwards later commands of the transaction see the events.
void write_events(Relation events, const Append& append);

}  // namespace tidemark
