#include "locks.h"

#include "guard.h"

#include <algorithm>

extern "C" {
#include "common/hashfn.h"
}

namespace tidemark {

namespace {

// A transaction that has locked this many streams one by one locks them all at once instead: the lock table is shared
// by the whole cluster and holds about max_locks_per_transaction (64) for each connection.
constexpr int STREAM_LOCKS_PER_TRANSACTION = 1000;

// Locks granted in this transaction, or somewhat more: those of a rolled-back savepoint are gone but stay counted.
int& granted_stream_locks() {
    static LocalTransactionId transaction = InvalidLocalTransactionId;
    static int granted;
    if (transaction != compat::local_transaction_id()) {
        transaction = compat::local_transaction_id();
        granted = 0;
    }
    return granted;
}

void acquire(const StreamLock& lock) {
    const LOCKTAG tag = lock_tag(LockKind::STREAM, lock.key);
    if (LockAcquire(&tag, lock.mode, false, false) == LOCKACQUIRE_OK) granted_stream_locks()++;
}

}  // namespace

LOCKTAG lock_tag(LockKind kind, uint64 key) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(key >> 32), static_cast<uint32>(key),
                         static_cast<uint16>(kind));
    return tag;
}

StreamLock::StreamLock(std::string_view stream_id, LOCKMODE mode)
    : key(hash_bytes_extended(reinterpret_cast<const unsigned char*>(stream_id.data()),
                              static_cast<int>(stream_id.size()), 0)),
      mode(mode) {}

Relation open_and_lock(Oid events, std::span<StreamLock> locks) {
    const int left = STREAM_LOCKS_PER_TRANSACTION - granted_stream_locks();
    const bool all = static_cast<int64>(locks.size()) > left;
    // Before RowExclusiveLock: two that hold that one and then want this would deadlock. Asked for each time, not
    // remembered: a rolled-back savepoint may have taken the lock with it.
    if (all) LockRelationOid(events, ShareRowExclusiveLock);
    Relation relation = table_open(events, RowExclusiveLock);
    if (!all) {
        std::sort(locks.begin(), locks.end(),
                  [](const StreamLock& one, const StreamLock& other) { return one.key < other.key; });
        for (const StreamLock& lock : locks) acquire(lock);
    }
    return relation;
}

void lock_stream(Relation events, const StreamLock& lock) {
    if (granted_stream_locks() < STREAM_LOCKS_PER_TRANSACTION) {
        acquire(lock);
    } else if (!compat::holds_lock(lock_tag(LockKind::STREAM, lock.key), lock.mode) &&
               !CheckRelationLockedByMe(events, ShareRowExclusiveLock, false)) {
        throw sql_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "too many streams locked in one transaction",
                        "It has locked " + std::to_string(granted_stream_locks()) + ".",
                        "Lock fewer, or append without locking first: an append locks its stream itself.");
    }
}

}  // namespace tidemark
