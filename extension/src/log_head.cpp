#include "log_head.h"

#include "guard.h"

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

// Over means: every snapshot taken from now on shows how it ended. One's own transaction never is.
bool is_over(FullTransactionId xid, FullTransactionId next) {
    return !may_be_running(xid, next) || !TransactionIdIsInProgress(XidFromFullTransactionId(xid));
}

// Returns how many entries went.
template <typename Row>
uint32 drop_finished(Row* row) {
    const FullTransactionId next = ReadNextFullTransactionId();
    InFlight* const end = row->entries + row->entry_count;
    InFlight* const kept =
        std::remove_if(row->entries, end, [&](const InFlight& entry) { return is_over(entry.xid, next); });
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
        GenericXLogState* change = GenericXLogStart(head);
        HeadRow* head_image = head_row(GenericXLogRegisterBuffer(change, first.buffer, 0));
        head_image->overflow_entries -=
            drop_finished(overflow_row(GenericXLogRegisterBuffer(change, overflow.buffer, 0)));
        GenericXLogFinish(change);
        overflow.release();
    }
}

void add_entry(HeadRow* row, const InFlight& entry) { row->entries[row->entry_count++] = entry; }

// Adds the entry to the overflow as part of the change, and returns the page, to be released when that is finished.
// InvalidBuffer: there is no room.
Buffer add_to_overflow(Relation head, GenericXLogState* change, HeadRow* row, const InFlight& entry) {
    for (BlockNumber block = 1; block <= row->overflow_rows; block++) {
        const LockedPage overflow(head, block, BUFFER_LOCK_EXCLUSIVE);
        if (has_room(overflow_row(overflow.page()))) {
            OverflowRow* target = overflow_row(GenericXLogRegisterBuffer(change, overflow.buffer, 0));
            target->entries[target->entry_count++] = entry;
            row->overflow_entries++;
            return overflow.buffer;
        }
        overflow.release();
    }
    return InvalidBuffer;
}

// False, with nothing changed, where the entry finds no room.
bool try_allocate(Relation head, FullTransactionId own, int64 count, int64* first_position) {
    const LockedPage first(head, 0, BUFFER_LOCK_EXCLUSIVE);
    const HeadRow* current = head_row(first.page());
    if (current->last_position > MAX_POSITION - count)
        throw sql_error(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED, "the log has no positions left",
                        "Positions end at 2^53 - 1.");
    // Looked up on the page, not remembered: a rolled-back savepoint or a rebuilt head would make the memory lie.
    const bool registered = has_entry(current, own) || overflow_has_entry(head, current, own);
    if (!registered && !has_room(current) && current->overflow_entries > 0) drop_finished_in_overflow(head, first);

    GenericXLogState* change = GenericXLogStart(head);
    HeadRow* row = head_row(GenericXLogRegisterBuffer(change, first.buffer, 0));
    *first_position = row->last_position + 1;
    row->last_position += count;

    Buffer overflow = InvalidBuffer;
    if (!registered) {
        const InFlight entry = {own, *first_position};
        if (has_room(row) || drop_finished(row) > 0) {
            add_entry(row, entry);
        } else if ((overflow = add_to_overflow(head, change, row, entry)) == InvalidBuffer) {
            GenericXLogAbort(change);
            first.release();
            return false;
        }
    }
    GenericXLogFinish(change);
    if (overflow != InvalidBuffer) UnlockReleaseBuffer(overflow);
    first.release();
    return true;
}

}  // namespace

bool may_be_running(FullTransactionId xid, FullTransactionId next) {
    const auto age = static_cast<int64>(U64FromFullTransactionId(next) - U64FromFullTransactionId(xid));
    return age > 0 && age < (int64(1) << 31);
}

int64 allocate_positions(Relation head, int64 count) {
    // The WAL record of the allocation must carry this id: else a crash could hand the entry's id out again, to a
    // stranger who would then hold the line back.
    GetCurrentTransactionId();
    const FullTransactionId own = GetTopFullTransactionId();
    int64 first_position;
    while (!try_allocate(head, own, count, &first_position)) add_overflow_row(head);
    return first_position;
}

HeadCopy read_head(Relation head) {
    const LockedPage first(head, 0, BUFFER_LOCK_SHARE);
    const HeadRow* row = head_row(first.page());
    HeadCopy copy = {row->timeline, row->last_position, row->entry_count, nullptr};
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

int64 raise_head(Relation head, int64 target, TimeLineID timeline) {
    const LockedPage first(head, 0, BUFFER_LOCK_EXCLUSIVE);
    if (head_row(first.page())->overflow_entries > 0) drop_finished_in_overflow(head, first);
    GenericXLogState* change = GenericXLogStart(head);
    HeadRow* row = head_row(GenericXLogRegisterBuffer(change, first.buffer, 0));
    drop_finished(row);
    row->last_position = std::max(row->last_position, target);
    row->timeline = timeline;
    const int64 last_position = row->last_position;
    GenericXLogFinish(change);
    first.release();
    return last_position;
}

}  // namespace tidemark
