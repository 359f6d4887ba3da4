#include "log_head.h"

#include "guard.h"
#include "head_change.h"

#include <algorithm>

namespace tidemark {

namespace {

template <typename Row>
bool has_room(const Row* row) {
    return row->entry_count < std::size(row->entries);
}

template <typename Row>
bool has_entry(const Row* row, FullTransactionId xid) {
    return std::any_of(row->entries, row->entries + row->entry_count,
                       [&](const InFlight& entry) { return FullTransactionIdEquals(entry.xid, xid); });
}

sql_error no_positions_left() {
    return {ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED, "the log has no positions left", "Positions end at 2^53 - 1.",
            "If the server's clock is right, this cannot have happened by appending."};
}

// Over means: every snapshot taken from now on shows how it ended. One's own transaction never is.
bool is_over(FullTransactionId xid, FullTransactionId next) {
    return !may_be_running(xid, next) || !TransactionIdIsInProgress(XidFromFullTransactionId(xid));
}

// From the head's row or one of the overflow. Returns how many entries went.
template <typename Row>
uint32 drop_finished(HeadRow* head, Row* row) {
    const FullTransactionId next = ReadNextFullTransactionId();
    InFlight* const end = row->entries + row->entry_count;
    InFlight* const kept = std::remove_if(row->entries, end, [&](const InFlight& entry) {
        const bool goes = is_over(entry.xid, next);
        if (goes && FullTransactionIdPrecedes(head->last_dropped, entry.xid)) head->last_dropped = entry.xid;
        return goes;
    });
    row->entry_count = static_cast<uint32>(kept - row->entries);
    return static_cast<uint32>(end - kept);
}

// For all below, the caller holds the head's page exclusively locked, and with it the overflow's rows.

bool overflow_has_entry(Relation head, const HeadRow* row, FullTransactionId xid) {
    if (row->overflow_entries == 0) return false;
    for (BlockNumber block = 1; block <= row->overflow_rows; block++) {
        const LockedPage overflow(head, block, BUFFER_LOCK_SHARE);
        const bool found = has_entry(overflow_row(overflow.page()), xid);
        overflow.release();
        if (found) return true;
    }
    return false;
}

// Each overflow row is a change of its own, complete in itself: a crash in between leaves some rows cleaned.
void drop_finished_in_overflow(Relation head, const LockedPage& first) {
    const uint32 rows = head_row(first.page())->overflow_rows;
    for (BlockNumber block = 1; block <= rows; block++) {
        const LockedPage overflow(head, block, BUFFER_LOCK_EXCLUSIVE);
        HeadChange change(head);
        HeadRow* row = change.copy(first, head_row(first.page()));
        const uint32 dropped = drop_finished(row, change.copy(overflow, overflow_row(overflow.page())));
        row->overflow_entries -= dropped;
        if (dropped > 0) change.finish();
        overflow.release();
    }
}

// Adds the entry to the overflow as part of the change, and returns the page, to be released when that is finished.
// InvalidBuffer: there is no room.
Buffer add_to_overflow(Relation head, HeadChange& change, HeadRow* row, const InFlight& entry) {
    for (BlockNumber block = 1; block <= row->overflow_rows; block++) {
        const LockedPage overflow(head, block, BUFFER_LOCK_EXCLUSIVE);
        if (has_room(overflow_row(overflow.page()))) {
            OverflowRow* target = change.copy(overflow, overflow_row(overflow.page()));
            target->entries[target->entry_count++] = entry;
            row->overflow_entries++;
            return overflow.buffer;
        }
        overflow.release();
    }
    return InvalidBuffer;
}

// Finds the entry of this transaction or adds it, from the position `from` on, as part of the change of the head's row;
// an overflow page that takes part in it comes back in *overflow. False: there is no room.
bool register_entry(Relation head, HeadChange& change, HeadRow* row, const InFlight& entry, Buffer* overflow) {
    // Looked up on the page, not remembered: a rolled-back savepoint or a rebuilt head would make the memory lie.
    if (has_entry(row, entry.xid) || overflow_has_entry(head, row, entry.xid)) return true;
    if (has_room(row) || drop_finished(row, row) > 0) {
        row->entries[row->entry_count++] = entry;
        return true;
    }
    *overflow = add_to_overflow(head, change, row, entry);
    return *overflow != InvalidBuffer;
}

// Hands out count positions, with an entry from the position `from` on, or from the first one handed out where that is
// 0. False, with nothing changed, where the entry finds no room.
bool try_allocate(Relation head, FullTransactionId own, int64 count, int64 from, int64* first_position) {
    const LockedPage first(head, 0, BUFFER_LOCK_EXCLUSIVE);
    HeadRow* current = head_row(first.page());
    if (current->last_position > MAX_POSITION - count) throw no_positions_left();
    if (!has_room(current) && current->overflow_entries > 0) drop_finished_in_overflow(head, first);

    HeadChange change(head);
    HeadRow* row = change.copy(first, current);
    *first_position = row->last_position + 1;
    row->last_position += count;
    Buffer overflow = InvalidBuffer;
    const bool registered = register_entry(head, change, row, {own, from ? from : *first_position}, &overflow);
    if (registered) change.finish();
    if (overflow != InvalidBuffer) UnlockReleaseBuffer(overflow);
    first.release();
    return registered;
}

int64 allocate(Relation head, int64 count, int64 from) {
    // The WAL record of the allocation must carry this id: else a crash could hand the entry's id out again, to a
    // stranger who would then hold the line back.
    GetCurrentTransactionId();
    const FullTransactionId own = GetTopFullTransactionId();
    int64 first_position;
    while (!try_allocate(head, own, count, from, &first_position)) add_overflow_row(head);
    return first_position;
}

// Raises the last position, and applies `also` to the head's row in the same change. Returns where its WAL record ends.
template <typename Change>
XLogRecPtr change_head(Relation head, int64 target, Change also) {
    if (target > MAX_POSITION) throw no_positions_left();
    const LockedPage first(head, 0, BUFFER_LOCK_EXCLUSIVE);
    if (head_row(first.page())->overflow_entries > 0) drop_finished_in_overflow(head, first);
    HeadChange change(head);
    HeadRow* row = change.copy(first, head_row(first.page()));
    drop_finished(row, row);
    row->last_position = std::max(row->last_position, target);
    also(row);
    const XLogRecPtr end = change.finish();
    first.release();
    return end;
}

}  // namespace

bool may_be_running(FullTransactionId xid, FullTransactionId next) {
    const auto age = static_cast<int64>(U64FromFullTransactionId(next) - U64FromFullTransactionId(xid));
    return age > 0 && age < (int64(1) << 31);
}

int64 allocate_positions(Relation head, int64 count) { return allocate(head, count, 0); }

void hold_line(Relation head, int64 position) { allocate(head, 0, position); }

HeadCopy read_head(Relation head) {
    const LockedPage first(head, 0, BUFFER_LOCK_SHARE);
    const HeadRow* row = head_row(first.page());
    HeadCopy copy = {row->timeline, row->last_position, row->last_dropped, row->is_new != 0, row->entry_count, nullptr};
    copy.entries = static_cast<InFlight*>(palloc((row->entry_count + row->overflow_entries + 1) * sizeof(InFlight)));
    std::copy_n(row->entries, row->entry_count, copy.entries);
    if (row->overflow_entries > 0) {
        for (BlockNumber block = 1; block <= row->overflow_rows; block++) {
            const LockedPage overflow(head, block, BUFFER_LOCK_SHARE);
            const OverflowRow* more = overflow_row(overflow.page());
            if (copy.entry_count + more->entry_count > row->entry_count + row->overflow_entries)
                throw corrupted("the log head is damaged", "Its overflow holds more entries than it counts.");
            std::copy_n(more->entries, more->entry_count, copy.entries + copy.entry_count);
            copy.entry_count += more->entry_count;
            overflow.release();
        }
    }
    first.release();
    return copy;
}

void raise_head(Relation head, int64 target) {
    change_head(head, target, [](HeadRow*) {});
}

int64 start_head(Relation head, int64 target) {
    int64 last_position;
    const XLogRecPtr end = change_head(head, target, [&](HeadRow* row) {
        row->timeline = GetWALInsertionTimeLine();
        row->is_new = false;
        last_position = row->last_position;
    });
    // A leap must not be lost with an asynchronous commit: the next one might not reach as far, if the clock is behind.
    XLogFlush(end);
    return last_position;
}

}  // namespace tidemark
