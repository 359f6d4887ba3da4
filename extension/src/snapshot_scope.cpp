#include "snapshot_scope.h"

extern "C" {
#include "utils/syscache.h"
}

namespace tidemark {

namespace {

bool altered_since_snapshot(Relation table) {
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(RelationGetRelid(table)));
    const TransactionId altered_by = HeapTupleHeaderGetXmin(tuple->t_data);
    ReleaseSysCache(tuple);
    return TransactionIdIsNormal(altered_by) && !TransactionIdIsCurrentTransactionId(altered_by) &&
           XidInMVCCSnapshot(altered_by, GetActiveSnapshot());
}

}  // namespace

StatementSnapshot::StatementSnapshot(Relation table)
    : renewed(!IsolationUsesXactSnapshot() && !IsInParallelMode() && altered_since_snapshot(table)) {
    if (renewed) PushActiveSnapshot(GetLatestSnapshot());
}

}  // namespace tidemark
