// A snapshot of this moment, made the active one: not the statement's, and not the transaction's under REPEATABLE READ.
#pragma once

#include "pg_compat.h"

namespace tidemark {

class SnapshotScope {
  public:
    SnapshotScope() { PushActiveSnapshot(GetLatestSnapshot()); }
    void end() const { PopActiveSnapshot(); }
    Snapshot get() const { return GetActiveSnapshot(); }
};

}  // namespace tidemark
