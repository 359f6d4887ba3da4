#include "head_page.h"

#include "guard.h"
#include "head_change.h"
#include "locks.h"

#include <iterator>
#include <type_traits>

extern "C" {
#include "catalog/storage.h"
}

namespace tidemark {

namespace {

// es_log_head is (row_number integer, content bytea): the content starts 8 bytes into the tuple, aligned for int64.
constexpr size_t CONTENT_OFFSET = sizeof(int32) + VARHDRSZ;

template <typename Row>
constexpr bool fits_a_page = MAXALIGN(SizeofHeapTupleHeader) + CONTENT_OFFSET + sizeof(Row) <= MaxHeapTupleSize &&
                             sizeof(Row) % 8 == 0 && std::is_trivially_copyable_v<Row>;

static_assert(fits_a_page<HeadRow> && fits_a_page<OverflowRow>);
static_assert(sizeof(HeadRow) + sizeof(OverflowRow) > MaxHeapTupleSize, "the two must not share a page");

template <typename Row>
Row* row_on(Page page, uint32 magic) {
    if (!PageIsNew(page) && PageGetMaxOffsetNumber(page) >= FirstOffsetNumber) {
        const ItemId item = PageGetItemId(page, FirstOffsetNumber);
        if (ItemIdIsNormal(item) &&
            ItemIdGetLength(item) == MAXALIGN(SizeofHeapTupleHeader) + CONTENT_OFFSET + sizeof(Row)) {
            const auto tuple = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
            const auto row = reinterpret_cast<Row*>(reinterpret_cast<char*>(tuple) + tuple->t_hoff + CONTENT_OFFSET);
            if (row->magic == magic && row->entry_count <= std::size(row->entries)) return row;
        }
    }
    throw corrupted("the log head is damaged", "A page of es_log_head does not hold the row that belongs there.");
}

// Frozen from the start: it stands whatever becomes of this transaction, as every change of the log head does.
template <typename Row>
BlockNumber insert_frozen(Relation head, int32 row_number, const Row& row) {
    bytea* content = static_cast<bytea*>(palloc(VARHDRSZ + sizeof(Row)));
    SET_VARSIZE(content, VARHDRSZ + sizeof(Row));
    memcpy(VARDATA(content), &row, sizeof(Row));
    Datum values[] = {Int32GetDatum(row_number), PointerGetDatum(content)};
    bool nulls[] = {false, false};
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(head), values, nulls);
    heap_insert(head, tuple, GetCurrentCommandId(true), HEAP_INSERT_FROZEN, nullptr);
    const BlockNumber block = ItemPointerGetBlockNumber(&tuple->t_self);
    heap_freetuple(tuple);
    pfree(content);
    return block;
}

bool is_empty(Relation head, BlockNumber block) {
    const LockedPage locked(head, block, BUFFER_LOCK_SHARE);
    const bool empty = PageIsNew(locked.page()) || PageGetMaxOffsetNumber(locked.page()) == 0;
    locked.release();
    return empty;
}

}  // namespace

HeadRow* head_row(Page page) { return row_on<HeadRow>(page, HEAD_MAGIC); }

OverflowRow* overflow_row(Page page) { return row_on<OverflowRow>(page, OVERFLOW_MAGIC); }

void create_head(Relation head) {
    // Whoever tried to read the missing row may have left a buffer behind that stands for its page.
    LockRelation(head, AccessExclusiveLock);
    RelationTruncate(head, 0);
    HeadRow row = {};
    row.magic = HEAD_MAGIC;
    row.timeline = GetWALInsertionTimeLine();
    row.is_new = true;
    if (insert_frozen(head, 0, row) != 0) throw corrupted("the log head is not on the first page of its table");
}

void add_overflow_row(Relation head) {
    const MaintenanceLock lock;
    const LockedPage first(head, 0, BUFFER_LOCK_SHARE);
    const BlockNumber next = head_row(first.page())->overflow_rows + 1;
    first.release();

    // A crash may have left the page without the row, or both without the count on the head.
    if (next >= RelationGetNumberOfBlocks(head) || is_empty(head, next)) {
        static const OverflowRow empty = {OVERFLOW_MAGIC, 0, {}};
        if (next < RelationGetNumberOfBlocks(head)) RelationSetTargetBlock(head, next);
        if (insert_frozen(head, static_cast<int32>(next), empty) != next)
            throw corrupted("the log head could not be extended", "The new row is not on the page after the last.");
    }
    const LockedPage added(head, next, BUFFER_LOCK_SHARE);
    overflow_row(added.page());
    added.release();

    const LockedPage target(head, 0, BUFFER_LOCK_EXCLUSIVE);
    HeadChange change(head);
    change.copy(target, head_row(target.page()))->overflow_rows = next;
    change.finish();
    target.release();
    lock.release();
}

}  // namespace tidemark
