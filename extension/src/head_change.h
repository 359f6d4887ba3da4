// A change of rows of the log head: prepared in copies, then made on the pages and in the WAL at once.
#pragma once

#include "head_page.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace tidemark {

// Holds copies of up to two rows whose pages the caller has locked exclusively. Nothing has happened until finish(),
// and where that is not called nothing will.
//
// The record is one of PostgreSQL's generic resource manager, so that standbys and recovery need nothing of Tidemark.
// GenericXLogFinish(), which writes them too, compares whole pages byte by byte, through copies of as many as a record
// may have. Every append goes through here under the head's lock, and would spend a tenth of its time on that.
class HeadChange {
  public:
    explicit HeadChange(Relation head) : is_logged(RelationNeedsWAL(head)) {}

    // The copy of the row, to be changed: entries may go, and one may be added. Each page takes part once.
    template <typename Row>
    Row* copy(const LockedPage& page, Row* row) {
        const size_t entries = std::min(row->entry_count + 1, static_cast<uint32>(std::size(row->entries)));
        return static_cast<Row*>(add(page.buffer, row, offsetof(Row, entries) + entries * sizeof(InFlight)));
    }

    // Returns where the WAL record ends.
    XLogRecPtr finish();

  private:
    struct Part {
        Buffer buffer;
        char* row;
        char* copy;
        size_t size;
    };

    void* add(Buffer buffer, void* row, size_t size);

    const bool is_logged;
    Part parts[2];
    int count = 0;
};

}  // namespace tidemark
