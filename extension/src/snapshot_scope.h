// Snapshots to read under, made the active one.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// A snapshot of this moment: not the statement's, and not the transaction's under REPEATABLE READ.
class SnapshotScope {
  public:
    SnapshotScope() { PushActiveSnapshot(GetLatestSnapshot()); }
    void end() const { PopActiveSnapshot(); }
    Snapshot get() const { return GetActiveSnapshot(); }
};

// The statement's own snapshot, or one of this moment where the statement has waited here for the table to be altered:
// that may have written all rows anew, and the older snapshot would see none of them. Under REPEATABLE READ the
// transaction's snapshot stays; that it may see nothing of an altered table is PostgreSQL's rule.
class StatementSnapshot {
  public:
    explicit StatementSnapshot(Relation table);
    void end() const {
        if (renewed) PopActiveSnapshot();
    }

  private:
    bool renewed;
};

}  // namespace tidemark
