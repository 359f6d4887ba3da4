// The safe position, and the only right way to read up to it. log_head.h gives the argument.
#pragma once

#include "log_head.h"
#include "log_tables.h"

namespace tidemark {

// A read of the log: position is the line drawn for the active snapshot, which holds until end(). Everything at or
// below the line is final and visible in that snapshot. The line is worth nothing in any other snapshot.
struct SafeRead {
    int64 position;
    int64 last_position;  // the last one handed out when the line was drawn
    HeadCopy head;        // with only the entries whose transactions were in progress

    void end() const { PopActiveSnapshot(); }
};

SafeRead begin_safe_read(Relation head, Relation events);

}  // namespace tidemark
