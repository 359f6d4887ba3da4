// The safe position, and the only right way to read up to it. log_head.h gives the argument.
#pragma once

#include "log_head.h"
#include "log_tables.h"

namespace tidemark {

// A read of the log: position is the line drawn for the active snapshot, which holds until end(). Everything at or
// below the line is final and visible in that snapshot. The line is worth nothing in any other snapshot.
struct SafeRead {
    int64 position;
    HeadCopy head;  // with only the entries whose transactions were in progress

    void end() const { PopActiveSnapshot(); }
    bool is_held_back() const { return position < head.last_position; }
};

// `function` is the one called, for the error in a parallel query, where no new snapshot can be taken.
SafeRead begin_safe_read(Relation head, const char* function);

// Up to where every event is visible in a snapshot that was taken before; -1 where the head does not tell any more, as
// it forgets transactions that are over when many others have appended since. One's own events count as visible.
int64 line_of_snapshot(Relation head, Snapshot snapshot);

// Waits, at most so many milliseconds, until the line is above the position, and returns where it is. Leaves no lock or
// snapshot. It is a value to wait for, not to read up to.
int64 await_line(Oid head_table, int64 above, int64 milliseconds, const char* function);

// Refuses to wait for the line to move in a transaction that holds it back itself. 55000.
void refuse_wait_for_oneself(Relation head, const char* function);

}  // namespace tidemark
