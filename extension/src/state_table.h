// The rows of the small tables that hold what consumers have done. They are written directly, as es_events is, so that
// the caller needs no rights on them and no isolation level stands in the way: each is guarded by a heavyweight lock
// that whoever changes it holds until the transaction ends, and is read under a snapshot taken after that.
#pragma once

#include "event_scan.h"

namespace tidemark {

// A row as it was read: its columns, numbered from 1, can be changed and the row be written back. Good as long as the
// memory context it was read in.
class StateRow {
  public:
    bool is_null(AttrNumber column) const { return nulls[column - 1]; }
    int64 bigint(AttrNumber column, int64 if_null = 0) const {
        return is_null(column) ? if_null : DatumGetInt64(values[column - 1]);
    }
    int32 integer(AttrNumber column, int32 if_null = 0) const {
        return is_null(column) ? if_null : DatumGetInt32(values[column - 1]);
    }
    bool boolean(AttrNumber column) const { return !is_null(column) && DatumGetBool(values[column - 1]); }
    // Empty where it is null, as no name is.
    std::string_view name(AttrNumber column) const {
        return is_null(column) ? std::string_view() : view(DatumGetTextPP(values[column - 1]));
    }
    NullableDatum value(AttrNumber column) const { return {values[column - 1], nulls[column - 1]}; }

    void set(AttrNumber column, Datum value) {
        values[column - 1] = value;
        nulls[column - 1] = false;
    }
    void set_bigint(AttrNumber column, int64 value) { set(column, Int64GetDatum(value)); }
    void set_integer(AttrNumber column, int32 value) { set(column, Int32GetDatum(value)); }
    void set_text(AttrNumber column, std::string_view value) { set(column, PointerGetDatum(make_text(value))); }
    void set_null(AttrNumber column) { nulls[column - 1] = true; }

    // Whether it is the same version of the row, not only the same row.
    bool is_version_of(const StateRow& other) const {
        return ItemPointerEquals(const_cast<ItemPointer>(&tid), const_cast<ItemPointer>(&other.tid));
    }

  private:
    friend class StateTable;
    Datum* values;
    bool* nulls;
    ItemPointerData tid;
};

class StateTable {
  public:
    explicit StateTable(Oid table, LOCKMODE mode) : relation(table_open(table, mode)), mode(mode) {}
    void close() const { table_close(relation, NoLock); }
    // Without the lock: for what is read on the way to something else, whose transaction may stay open for long. Who
    // maintains the table is not to wait for that.
    void close_and_unlock() const { table_close(relation, mode); }

    // The row of a primary key, in the active snapshot. Looked for from the newest end: while an old transaction keeps
    // VACUUM away, the versions that updates leave behind come before it.
    bool find(std::span<const ScanKeyData> key, StateRow* row) const;

    // Calls each(row) for the rows that a part of the primary key has, in its order.
    template <typename Each>
    void for_each(std::span<const ScanKeyData> key, Each each) const {
        IndexScan scan(relation, primary_key(), key.data(), static_cast<int>(key.size()));
        while (scan.next()) each(copy(scan.row()));
        scan.end();
    }

    StateRow new_row() const;  // all null
    // Locks the row, against those who change it by hand too, until the transaction ends. False where it is as it was
    // read no more: then it is to be found again, under a new snapshot.
    bool lock(const StateRow& row) const;
    void insert(const StateRow& row) const;
    void update(StateRow* row) const;
    void remove(const StateRow& row) const;

    // Whether two rows are alike in the columns from the one to the other.
    bool are_alike(const StateRow& one, const StateRow& other, AttrNumber first, AttrNumber last) const;
    // What sessions have cached of the table's rows is invalid: in this one now, and when the transaction is undone; in
    // the others when it commits.
    void announce_change() const;

  private:
    Oid primary_key() const;
    StateRow copy(TupleTableSlot* slot) const;
    HeapTuple form(const StateRow& row) const;

    const Relation relation;
    const LOCKMODE mode;
};

}  // namespace tidemark
