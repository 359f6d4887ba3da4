#include "state_table.h"

#include "guard.h"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "utils/datum.h"
}

namespace tidemark {

Oid StateTable::primary_key() const {
    list_free(RelationGetIndexList(relation));  // which finds the primary key
    if (!OidIsValid(relation->rd_pkindex))
        throw sql_error(ERRCODE_UNDEFINED_OBJECT, "a primary key is missing",
                        std::string("It is that of ") + RelationGetRelationName(relation) + ".",
                        "Create it again, as the install script does.");
    return relation->rd_pkindex;
}

bool StateTable::find(std::span<const ScanKeyData> key, StateRow* row) const {
    IndexScan scan(relation, primary_key(), key.data(), static_cast<int>(key.size()), BackwardScanDirection);
    const bool found = scan.next();
    if (found) *row = copy(scan.row());
    scan.end();
    return found;
}

StateRow StateTable::new_row() const {
    const int columns = RelationGetDescr(relation)->natts;
    StateRow row;
    row.values = static_cast<Datum*>(palloc0(columns * sizeof(Datum)));
    row.nulls = static_cast<bool*>(palloc(columns * sizeof(bool)));
    std::fill_n(row.nulls, columns, true);
    return row;
}

// The columns' values go with the slot otherwise.
StateRow StateTable::copy(TupleTableSlot* slot) const {
    StateRow row = new_row();
    row.tid = slot->tts_tid;
    slot_getallattrs(slot);
    const TupleDesc columns = RelationGetDescr(relation);
    for (int i = 0; i < columns->natts; i++) {
        const Form_pg_attribute column = TupleDescAttr(columns, i);
        row.nulls[i] = slot->tts_isnull[i];
        if (row.nulls[i]) continue;
        row.values[i] = column->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(slot->tts_values[i]))
                                             : datumCopy(slot->tts_values[i], column->attbyval, column->attlen);
    }
    return row;
}

HeapTuple StateTable::form(const StateRow& row) const {
    return heap_form_tuple(RelationGetDescr(relation), row.values, row.nulls);
}

bool StateTable::lock(const StateRow& row) const {
    ItemPointerData tid = row.tid;
    TM_FailureData failure;
    TupleTableSlot* slot = table_slot_create(relation, nullptr);
    const TM_Result result = table_tuple_lock(relation, &tid, GetActiveSnapshot(), slot, GetCurrentCommandId(true),
                                              LockTupleExclusive, LockWaitBlock, 0, &failure);
    ExecDropSingleTupleTableSlot(slot);
    return result == TM_Ok;
}

void StateTable::insert(const StateRow& row) const {
    CatalogTupleInsert(relation, form(row));
    CommandCounterIncrement();
}

void StateTable::update(StateRow* row) const {
    HeapTuple tuple = form(*row);
    CatalogTupleUpdate(relation, &row->tid, tuple);
    row->tid = tuple->t_self;
    CommandCounterIncrement();
}

void StateTable::remove(const StateRow& row) const {
    ItemPointerData tid = row.tid;
    CatalogTupleDelete(relation, &tid);
    CommandCounterIncrement();
}

bool StateTable::are_alike(const StateRow& one, const StateRow& other, AttrNumber first, AttrNumber last) const {
    for (int i = first - 1; i < last; i++) {
        const Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), i);
        if (one.nulls[i] != other.nulls[i]) return false;
        if (!one.nulls[i] && !datumIsEqual(one.values[i], other.values[i], column->attbyval, column->attlen))
            return false;
    }
    return true;
}

// At once in this session: what an error in the same statement cuts off would be forgotten, and not what it has made
// the session believe.
void StateTable::announce_change() const {
    CacheInvalidateRelcache(relation);
    CommandCounterIncrement();
}

}  // namespace tidemark
