// Ordered scans of tables by their indexes, and the tuplestore that a set-returning function fills from es_events.
// All of it runs inside pg_call; nothing here has a destructor.
#pragma once

#include "log_tables.h"
#include "upcasting.h"
#include "validate.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace tidemark {

// A scan of one index of a table. The keys are on the index's columns, in their order. The lock is the scan's own on
// the index: NoLock where the caller has one.
class IndexScan {
  public:
    IndexScan(Relation table, Oid index, const ScanKeyData* keys, int key_count,
              ScanDirection direction = ForwardScanDirection, Snapshot snapshot = GetActiveSnapshot(),
              LOCKMODE lock = AccessShareLock);

    // Steps to the next row; false when there is none.
    bool next() {
        CHECK_FOR_INTERRUPTS();
        return index_getnext_slot(scan, direction, slot);
    }
    TupleTableSlot* row() const { return slot; }
    void end() const;

  private:
    const ScanDirection direction;
    const LOCKMODE lock;
    const Relation index;
    TupleTableSlot* const slot;
    const IndexScanDesc scan;
};

class EventScan : public IndexScan {
  public:
    using IndexScan::IndexScan;
    int64 position() const { return DatumGetInt64(event_value(row(), POSITION)); }
};

// The keys' building blocks: `column` is the number of the index's column.
ScanKeyData text_key(AttrNumber column, StrategyNumber strategy, std::string_view value);
ScanKeyData bigint_key(AttrNumber column, StrategyNumber strategy, int64 value);
ScanKeyData integer_key(AttrNumber column, int32 value);  // equal

// The result of a function that returns rows of es_events, or their first columns and others after them, upcast unless
// the setting says otherwise. Spills to disk past work_mem.
class EventSink {
  public:
    // event_columns: how many columns of the result are those of es_events; by default all.
    EventSink(FunctionCallInfo fcinfo, Relation events, int event_columns = 0);
    // `more` are the values of the columns after those.
    void put(TupleTableSlot* event, std::span<const Datum> more = {});

  private:
    void put_formed(TupleTableSlot* row, std::span<const Datum> more);
    void put_extended(HeapTuple row, std::span<const Datum> more);

    Upcasting upcasting;
    const bool upcasts;
    Tuplestorestate* store;
    TupleDesc planned;
    int event_columns;
    bool* absent;    // by column, for those of the plan that the table has not
    Datum* values;   // by column, of one row
    bool* nulls;     // likewise
    bool as_stored;  // the table's rows can be taken as they are
    char* buffer;    // for a row that is extended
    Size buffer_size;
    MemoryContext memory;
};

}  // namespace tidemark
