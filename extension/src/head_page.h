// The log head as it lies on disk: one row of es_log_head a page, changed in place under the page's lock.
//
// Row 1, on block 0, is the head: the last position handed out, and an entry for each transaction that has been given
// positions and may still be running. Block n holds the n-th overflow row, for the entries that do not fit the head.
// The head is small on purpose: each change copies and compares what its row holds.
//
// The rows have a fixed width, are stored plain and frozen when created, so VACUUM has nothing to do on them, and a
// rewrite of the table (VACUUM FULL) keeps one row a page in the same order: no two rows of the overflow's size, nor
// the head and one of them, fit on one page.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// A transaction that holds the line back while it runs: it may have written at first_position and above.
struct InFlight {
    FullTransactionId xid;  // of the top-level transaction, with its epoch: 32 bits wrap around
    int64 first_position;
};

struct HeadRow {
    uint32 magic;
    TimeLineID timeline;      // that the history of positions goes on in
    int64 last_position;      // the last one handed out
    uint32 is_new;            // nothing has been appended since CREATE EXTENSION: events may be restored from a dump
    uint32 overflow_rows;     // that exist
    uint32 overflow_entries;  // in all of them together
    uint32 entry_count;
    FullTransactionId last_dropped;  // the highest one whose entry has made room for another
    InFlight entries[60];
};

struct OverflowRow {
    uint32 magic;
    uint32 entry_count;
    InFlight entries[500];
};

constexpr uint32 HEAD_MAGIC = 0x7469646d;
constexpr uint32 OVERFLOW_MAGIC = 0x7469646f;
constexpr int64 MAX_POSITION = (int64(1) << 53) - 1;  // what a double, and so JavaScript, holds exactly

// The row on a page of es_log_head, in place. Throws TM002 where there is none.
HeadRow* head_row(Page page);
OverflowRow* overflow_row(Page page);

// Writes the first row of a new log, or of one whose es_log_head has been emptied.
void create_head(Relation head);

// Adds one overflow row. Takes the log's maintenance lock; holds no page lock while it extends the relation.
void add_overflow_row(Relation head);

// A pinned and locked page of es_log_head.
class LockedPage {
  public:
    LockedPage(Relation head, BlockNumber block, int mode) : buffer(ReadBuffer(head, block)) {
        LockBuffer(buffer, mode);
    }
    void release() const { UnlockReleaseBuffer(buffer); }
    Page page() const { return BufferGetPage(buffer); }

    const Buffer buffer;
};

}  // namespace tidemark
