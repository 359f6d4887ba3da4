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

// The statement's own snapshot, or one of this moment where the table was written anew since, as by an ALTER TABLE that
// the statement has waited for: the older snapshot may see none of the rows. Throws 40001 where the snapshot cannot be
// another: under REPEATABLE READ and in parallel queries.
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
