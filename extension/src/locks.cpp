#include "locks.h"

#include "guard.h"

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

}  // namespace

LOCKTAG lock_tag(LockKind kind, uint64 key) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(key >> 32), static_cast<uint32>(key),
                         static_cast<uint16>(kind));
    return tag;
}

void lock_stream(Relation events, std::string_view stream_id, bool may_lock_all) {
    const uint64 hash = hash_bytes_extended(reinterpret_cast<const unsigned char*>(stream_id.data()),
                                            static_cast<int>(stream_id.size()), 0);
    const LOCKTAG tag = lock_tag(LockKind::STREAM, hash);
    int& granted = granted_stream_locks();
    if (granted < STREAM_LOCKS_PER_TRANSACTION) {
        if (LockAcquire(&tag, ExclusiveLock, false, false) == LOCKACQUIRE_OK) granted++;
        return;
    }
    // Asked of the lock manager each time, not remembered: a rolled-back savepoint may have taken the lock with it.
    if (may_lock_all) {
        LockRelation(events, ShareRowExclusiveLock);
    } else if (!compat::holds_lock(tag, ExclusiveLock) &&
               !CheckRelationLockedByMe(events, ShareRowExclusiveLock, false)) {
        throw sql_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "too many streams locked in one transaction",
                        "It has locked " + std::to_string(granted) + ".",
                        "Lock fewer, or append without locking first: an append locks its stream itself.");
    }
}

}  // namespace tidemark
