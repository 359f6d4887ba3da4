// Projections that are a part of each append.
#pragma once

#include "append.h"

namespace tidemark {

// Handlers get events in the order of the log, also where a trigger or a handler appends while another append is in
// progress: what is appended within an append is projected by the outermost one, when that has stored its own events,
// in the order of the positions.
//
// Whether an append is in progress in which this one is made.
bool is_appending();

// The append's events, which have their positions, are about to be stored. Raises no error of PostgreSQL; throws 54001
// where triggers and handlers append without end.
void note_append(const Append& append);

// By the outermost append, when its events are stored: calls the handlers of the sync projections, in the order of
// their names, for what was appended. es_events must be locked by the transaction from before it read which
// projections there are: whoever creates or drops one locks it against that. Costs next to nothing where there is
// none.
void project_appended(const LogTables& log, Relation events);

// By the outermost append, also after an error.
void end_appending();

}  // namespace tidemark
