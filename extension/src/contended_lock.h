// A heavyweight lock that many transactions want at once, for a short time each.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// LockAcquire() for a lock of the transaction, which the turn belongs to.
//
// The server hands a lock that is let go to the first who waits for it, and until that process has woken up nobody
// gets on. Where commits are flushed, which takes longer than waking, that is as good as any. Where they are not, most
// of the time would go into waking: so whoever comes at the right moment has the lock, and whoever does not looks on
// for a while, leaving the processor to others. Those for whom that is not enough queue for the turn, in which one of
// them looks on again before it queues for the lock itself. So there is seldom anybody to hand the lock to.
//
// Deadlocks are found as with any lock; lock_timeout counts anew for the lock when the turn has come.
LockAcquireResult acquire_contended(const LOCKTAG& tag, const LOCKTAG& turn, LOCKMODE mode);

}  // namespace tidemark
