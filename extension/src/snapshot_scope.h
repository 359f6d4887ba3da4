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

// What shows the streams that this transaction has locked, as they are. No other append can be at work on them, so each
// of their rows is its own, or of a transaction that is over: that needs no list of all that are running. But under
// SERIALIZABLE the server takes note of what is read only where it is read under a snapshot.
class LockedStreamsScope {
  public:
    LockedStreamsScope() : is_pushed(IsolationIsSerializable()) {
        if (is_pushed) PushActiveSnapshot(GetLatestSnapshot());
    }
    void end() const {
        if (is_pushed) PopActiveSnapshot();
    }
    Snapshot get() const { return is_pushed ? GetActiveSnapshot() : SnapshotSelf; }

  private:
    const bool is_pushed;
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
