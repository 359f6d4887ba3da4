// A heavyweight lock that many transactions want at once, for a short time each.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// LockAcquire() for a lock of the transaction, which the turn belongs to.
//
// The server hands a lock that is let go to the first who waits for it, and until that process has woken up nobody gets
// on. Where commits are flushed, which takes longer than waking, that is as good as any. Where they are not, most of the
// time would go into waking: so whoever comes at the right moment has the lock, and whoever does not first looks on for
// a while, leaving the processor to others. Those who go on waiting queue for the turn, so that just one is woken when
// the holder's transaction ends; where others have been quicker a few times, it queues for the lock itself.
//
// Deadlocks are found, and lock_timeout holds, as with any lock.
LockAcquireResult acquire_contended(const LOCKTAG& tag, const LOCKTAG& turn, LOCKMODE mode);

}  // namespace tidemark
