#include "event_scan.h"

extern "C" {
#include "access/stratnum.h"
#include "utils/fmgroids.h"
}

namespace tidemark {

EventScan::EventScan(Relation events, Oid index_oid, const ScanKeyData* keys, int key_count,
                     ScanDirection scan_direction)
    : direction(scan_direction),
      index(index_open(index_oid, AccessShareLock)),
      slot(table_slot_create(events, nullptr)),
      scan(compat::index_begin(events, index, GetActiveSnapshot(), key_count)) {
    index_rescan(scan, const_cast<ScanKey>(keys), key_count, nullptr, 0);
}

void EventScan::end() const {
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    index_close(index, AccessShareLock);
}

namespace {

ScanKeyData make_key(AttrNumber column, StrategyNumber strategy, RegProcedure procedure, Datum value) {
    ScanKeyData key;
    ScanKeyInit(&key, column, strategy, procedure, value);
    return key;
}

}  // namespace

// ScanKeyInit compares text by the "C" collation, the one that the text columns of es_events have.
ScanKeyData text_key(AttrNumber column, StrategyNumber strategy, std::string_view value) {
    const RegProcedure procedure = strategy == BTEqualStrategyNumber ? F_TEXTEQ : F_TEXT_GE;
    return make_key(column, strategy, procedure, PointerGetDatum(make_text(value)));
}

ScanKeyData bigint_key(AttrNumber column, StrategyNumber strategy, int64 value) {
    static constexpr RegProcedure PROCEDURES[] = {InvalidOid, F_INT8LT, F_INT8LE, F_INT8EQ, F_INT8GE, F_INT8GT};
    return make_key(column, strategy, PROCEDURES[strategy], Int64GetDatum(value));
}

EventSink::EventSink(FunctionCallInfo fcinfo, Relation events) {
    InitMaterializedSRF(fcinfo, 0);
    const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    store = result->setResult;
    descriptor = result->setDesc;
    // Rows older than a column that a user added with a default do not hold its value; the table's descriptor does.
    has_missing_values = false;
    const TupleDesc stored = RelationGetDescr(events);
    for (int i = 0; i < stored->natts; i++) has_missing_values |= TupleDescAttr(stored, i)->atthasmissing;
}

void EventSink::put(TupleTableSlot* row) {
    if (!has_missing_values) {
        tuplestore_puttupleslot(store, row);
        return;
    }
    slot_getallattrs(row);
    tuplestore_putvalues(store, descriptor, row->tts_values, row->tts_isnull);
}

}  // namespace tidemark
