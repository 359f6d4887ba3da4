#include "snapshot_scope.h"

#include "errors.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"
}

namespace tidemark {

namespace {

// Whether the catalog's row of the table is newer than the active snapshot. Cheap, and seldom true.
bool altered_since_snapshot(Relation table) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(RelationGetRelid(table)));
    const TransactionId altered_by = HeapTupleHeaderGetXmin(tuple->t_data);
    ReleaseSysCache(tuple);
    return TransactionIdIsNormal(altered_by) && !TransactionIdIsCurrentTransactionId(altered_by) &&
           XidInMVCCSnapshot(altered_by, GetActiveSnapshot());
}

// Whether the table has other files now than the active snapshot shows.
bool rewritten_since_snapshot(Relation table) {
    if (!altered_since_snapshot(table)) return false;
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RelationGetRelid(table)));
    Relation catalog = table_open(RelationRelationId, AccessShareLock);
    SysScanDesc scan = systable_beginscan(catalog, ClassOidIndexId, true, GetActiveSnapshot(), 1, &key);
    HeapTuple shown = systable_getnext(scan);
    const bool rewritten = !HeapTupleIsValid(shown) ||
                           reinterpret_cast<Form_pg_class>(GETSTRUCT(shown))->relfilenode != table->rd_rel->relfilenode;
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return rewritten;
}

}  // namespace

StatementSnapshot::StatementSnapshot(Relation table) : renewed(rewritten_since_snapshot(table)) {
    if (!renewed) return;
    if (IsolationUsesXactSnapshot() || IsInParallelMode())
        throw sql_error(ERRCODE_T_R_SERIALIZATION_FAILURE, "es_events was written anew meanwhile",
                        "The snapshot is older than that, and may not show the events.", "Begin again.");
    PushActiveSnapshot(GetLatestSnapshot());
}

}  // namespace tidemark
