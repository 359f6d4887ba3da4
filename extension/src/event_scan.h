// Ordered scans of es_events by its indexes, and the tuplestore that a set-returning function fills from them.
// All of it runs inside pg_call; nothing here has a destructor.
#pragma once

#include "log_tables.h"
#include "validate.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace tidemark {

// A scan of one index of es_events under the active snapshot. The keys are on the index's columns, in their order.
class EventScan {
  public:
    EventScan(Relation events, Oid index, const ScanKeyData* keys, int key_count,
              ScanDirection direction = ForwardScanDirection);

    // Steps to the next row; false when there is none.
    bool next() {
        CHECK_FOR_INTERRUPTS();
        return index_getnext_slot(scan, direction, slot);
    }
    TupleTableSlot* row() const { return slot; }
    int64 position() const { return DatumGetInt64(event_value(slot, POSITION)); }
    void end() const;

  private:
    const ScanDirection direction;
    const Relation index;
    TupleTableSlot* const slot;
    const IndexScanDesc scan;
};

// The keys' building blocks: `column` is the number of the index's column.
ScanKeyData text_key(AttrNumber column, StrategyNumber strategy, std::string_view value);
ScanKeyData bigint_key(AttrNumber column, StrategyNumber strategy, int64 value);

// The result of a function that RETURNS SETOF es_events. Spills to disk past work_mem.
class EventSink {
  public:
    EventSink(FunctionCallInfo fcinfo, Relation events);
    void put(TupleTableSlot* row);

  private:
    Tuplestorestate* store;
    TupleDesc planned;
    bool* absent;    // by column, for those of the plan that the table has not
    bool* nulls;     // by column, of one row
    bool as_stored;  // the table's rows can be taken as they are
};

}  // namespace tidemark
