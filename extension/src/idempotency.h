// Retries: whether an append whose caller gave event ids has already been made.
#pragma once

#include "append.h"
#include "errors.h"

namespace tidemark {

bool has_given_ids(const StreamWrite& write);

// True, with the original's results, where the log holds this very append: the same ids in the same order at the places
// that the expectations demand, with the same types, schema versions and data. Metadata is not compared: a retry may
// well carry another trace. False where the log holds none of the ids; throws TM003 where it holds anything else.
bool find_original(Relation events, std::span<StreamWrite> writes);

// TM003, for an id that the unique index on event_id found in the log or twice in one call.
sql_error event_id_taken(const char* detail);

}  // namespace tidemark
