// The heavyweight locks of the log. They show in pg_locks as advisory locks whose objsubid is the kind given here (the
// server's own advisory lock functions use 1 and 2), and go with the transaction, also with a prepared one.
#pragma once

#include "pg_compat.h"

#include <string_view>

namespace tidemark {

enum class LockKind : uint16 {
    MAINTENANCE = 0x7401,  // of the log head: exclusive to start, leap or extend it, shared to restore events
    STREAM = 0x7402,       // of one stream, by the hash of its id
};

LOCKTAG lock_tag(LockKind kind, uint64 key = 0);

// Held until release(), or until the transaction ends in an error.
class MaintenanceLock {
  public:
    explicit MaintenanceLock() : tag(lock_tag(LockKind::MAINTENANCE)) {
        LockAcquire(&tag, ExclusiveLock, false, false);
    }
    void release() const { LockRelease(&tag, ExclusiveLock, false); }

  private:
    const LOCKTAG tag;
};

// Locks the stream against all other appends until the transaction ends. The caller holds RowExclusiveLock on events,
// which the lock on all streams, taken instead by a transaction of very many, conflicts with. Where that lock is called
// for, may_lock_all = false throws 54000 (program_limit_exceeded).
void lock_stream(Relation events, std::string_view stream_id, bool may_lock_all);

}  // namespace tidemark
