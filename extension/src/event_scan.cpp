#include "event_scan.h"

#include "guard.h"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tupmacs.h"
#include "utils/fmgroids.h"
}

namespace tidemark {

IndexScan::IndexScan(Relation table, Oid index_oid, const ScanKeyData* keys, int key_count,
                     ScanDirection scan_direction, Snapshot snapshot, LOCKMODE index_lock)
    : direction(scan_direction),
      lock(index_lock),
      index(index_open(index_oid, lock)),
      slot(table_slot_create(table, nullptr)),
      scan(compat::index_begin(table, index, snapshot, key_count)) {
    index_rescan(scan, const_cast<ScanKey>(keys), key_count, nullptr, 0);
}

void IndexScan::end() const {
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    index_close(index, lock);
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

ScanKeyData integer_key(AttrNumber column, int32 value) {
    return make_key(column, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(value));
}

namespace {

// A reader of pages would else get the memory of each from the kernel anew, a page fault for every 4 kB: the C library
// gives back what lies free at the end of the heap. How much it lets lie there follows the largest block that was ever
// freed (glibc; twice its size), so one is freed that is as large as a page in memory may be by default. It is never
// touched.
void keep_memory_between_pages() {
    static bool done = false;
    if (done) return;
    pfree(palloc(4 * 1024 * 1024));
    done = true;
}

}  // namespace

EventSink::EventSink(FunctionCallInfo fcinfo, Relation events, int columns)
    : upcasting(log_tables(fcinfo), events), upcasts(upcast_when_read) {
    keep_memory_between_pages();
    // As the statement was planned: it may have waited for the table while columns were added or dropped.
    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    store = result->setResult;
    planned = result->setDesc;
    event_columns = columns > 0 ? columns : planned->natts;
    absent = static_cast<bool*>(palloc0(planned->natts * sizeof(bool)));
    values = static_cast<Datum*>(palloc(planned->natts * sizeof(Datum)));
    nulls = static_cast<bool*>(palloc0(planned->natts * sizeof(bool)));
    const TupleDesc stored = RelationGetDescr(events);
    as_stored = event_columns == stored->natts;
    buffer = nullptr;
    buffer_size = 0;
    memory = CurrentMemoryContext;
    for (int i = 0; i < event_columns; i++) {
        const Form_pg_attribute now = i < stored->natts ? TupleDescAttr(stored, i) : nullptr;
        absent[i] = now == nullptr || now->attisdropped || TupleDescAttr(planned, i)->attisdropped;
        if (!absent[i] && now->atttypid != TupleDescAttr(planned, i)->atttypid)
            throw sql_error(ERRCODE_DATATYPE_MISMATCH, "a column's type has changed while the statement waited",
                            "It is column " + std::to_string(i + 1) + " of es_events.", "Run the statement again.");
        // Rows older than a column that a user added with a default do not hold its value; the table's descriptor does.
        as_stored = as_stored && !absent[i] && !now->atthasmissing;
    }
}

void EventSink::put(TupleTableSlot* event, std::span<const Datum> more) {
    TupleTableSlot* row = upcasts ? upcasting.upcast(event) : event;
    if (!as_stored || row != event) {
        put_formed(row, more);
    } else if (more.empty()) {
        tuplestore_puttupleslot(store, row);
    } else {
        bool is_copy;
        HeapTuple tuple = ExecFetchSlotHeapTuple(row, false, &is_copy);
        if (HeapTupleNoNulls(tuple) && HeapTupleHeaderGetNatts(tuple->t_data) == event_columns)
            put_extended(tuple, more);
        else
            put_formed(row, more);
        if (is_copy) heap_freetuple(tuple);
    }
}

void EventSink::put_formed(TupleTableSlot* row, std::span<const Datum> more) {
    slot_getsomeattrs(row, std::min<int>(event_columns, row->tts_tupleDescriptor->natts));
    for (int i = 0; i < event_columns; i++) {
        nulls[i] = absent[i] || row->tts_isnull[i];
        if (!nulls[i]) values[i] = row->tts_values[i];
    }
    std::copy(more.begin(), more.end(), values + event_columns);
    tuplestore_putvalues(store, planned, values, nulls);
}

// The row's columns are taken over as a whole, and the others, which have fixed lengths, written behind them. To take
// the row apart and form another one costs the reader of a long backlog a tenth of the time.
void EventSink::put_extended(HeapTuple row, std::span<const Datum> more) {
    constexpr Size HEADER = MAXALIGN(SizeofHeapTupleHeader);
    const Size stored = row->t_len - row->t_data->t_hoff;
    const Size most = HEADER + stored + more.size() * 2 * sizeof(Datum);
    if (buffer_size < most) {
        buffer = static_cast<char*>(buffer ? repalloc_huge(buffer, most) : MemoryContextAllocHuge(memory, most));
        buffer_size = most;
    }
    memset(buffer, 0, HEADER);
    memcpy(buffer + HEADER, reinterpret_cast<char*>(row->t_data) + row->t_data->t_hoff, stored);
    Size end = stored;
    for (size_t i = 0; i < more.size(); i++) {
        const Form_pg_attribute column = TupleDescAttr(planned, event_columns + static_cast<int>(i));
        const Size begin = att_align_nominal(end, column->attalign);
        memset(buffer + HEADER + end, 0, begin - end);
        store_att_byval(buffer + HEADER + begin, more[i], column->attlen);
        end = begin + column->attlen;
    }
    HeapTupleData extended = {};
    extended.t_len = static_cast<uint32>(HEADER + end);
    extended.t_data = reinterpret_cast<HeapTupleHeader>(buffer);
    extended.t_data->t_hoff = HEADER;
    extended.t_data->t_infomask = row->t_data->t_infomask & (HEAP_HASVARWIDTH | HEAP_HASEXTERNAL);
    HeapTupleHeaderSetNatts(extended.t_data, planned->natts);
    tuplestore_puttuple(store, &extended);
}

}  // namespace tidemark
