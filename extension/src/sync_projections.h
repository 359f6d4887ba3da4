// Projections that are a part of each append.
#pragma once

#include "append.h"

namespace tidemark {

// Calls the handlers of the sync projections, in the order of their names, for those of the append's events that they
// are for. The events must be stored, and es_events locked by the transaction from before it read which projections
// there are: whoever creates or drops one locks it against that. Costs next to nothing where no projection is for
// them.
void project(const LogTables& tables, Relation events, const Append& append);

}  // namespace tidemark
