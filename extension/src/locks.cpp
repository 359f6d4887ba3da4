#include "locks.h"

#include "contended_lock.h"
#include "guard.h"

#include <algorithm>

extern "C" {
#include "common/hashfn.h"
}

namespace tidemark {

namespace {

// A transaction that would lock more streams one by one locks them all at once instead: the lock table is shared by the
// whole cluster and holds about max_locks_per_transaction (64) for each connection.
constexpr int STREAM_LOCKS_PER_TRANSACTION = 1000;

// Locks granted in this transaction, or more: those that a rolled-back savepoint has released stay counted.
int& granted_stream_locks() {
    static LocalTransactionId transaction = InvalidLocalTransactionId;
    static int granted;
    if (transaction != compat::local_transaction_id()) {
        transaction = compat::local_transaction_id();
        granted = 0;
    }
    return granted;
}

// Exact, and slow: looks through all locks of the cluster.
int count_stream_locks() {
    const LockData* held = GetLockStatusData();
    return static_cast<int>(std::count_if(held->locks, held->locks + held->nelements, [](const LockInstanceData& lock) {
        return lock.pid == MyProcPid && lock.holdMask != 0 && lock.locktag.locktag_type == LOCKTAG_ADVISORY &&
               lock.locktag.locktag_field4 == static_cast<uint16>(LockKind::STREAM);
    }));
}

// Whoever holds the stream exclusively need not share it.
bool holds(const StreamLock& lock) {
    const LOCKTAG tag = lock_tag(LockKind::STREAM, lock.key);
    return compat::holds_lock(tag, ExclusiveLock) || (lock.mode == ShareLock && compat::holds_lock(tag, ShareLock));
}

void acquire(const StreamLock& lock) {
    const LOCKTAG tag = lock_tag(LockKind::STREAM, lock.key);
    if (lock.mode == ShareLock && holds(lock)) return;
    const LOCKTAG turn = lock_tag(LockKind::STREAM_TURN, lock.key);
    if (acquire_contended(tag, turn, lock.mode) == LOCKACQUIRE_OK) granted_stream_locks()++;
}

bool fit_one_by_one(std::span<const StreamLock> locks) {
    int& granted = granted_stream_locks();
    if (std::ssize(locks) <= STREAM_LOCKS_PER_TRANSACTION - granted) return true;
    granted = count_stream_locks();
    return std::ssize(locks) - std::count_if(locks.begin(), locks.end(), holds) <=
           STREAM_LOCKS_PER_TRANSACTION - granted;
}

// All streams at once are locked by a lock on es_installations, a table that nobody has to maintain or wait for.
// Whoever locks streams one by one holds a lock on it too, of a mode that conflicts with the one for all where the
// streams' own locks would: those who write exclude all others, those who only check do not exclude one another.
struct AllStreams {
    AllStreams(const LogTables& tables, std::span<const StreamLock> locks)
        : table(tables.installations), writes(std::any_of(locks.begin(), locks.end(), [](const StreamLock& lock) {
              return lock.mode == ExclusiveLock;
          })) {}

    void lock_for_some() const { LockRelationOid(table, writes ? RowExclusiveLock : RowShareLock); }
    void lock_for_all() const { LockRelationOid(table, writes ? ExclusiveLock : ShareLock); }

    // Asked of the lock manager each time, not remembered: a rolled-back savepoint may have taken the lock with it.
    bool are_locked() const {
        LOCKTAG tag;
        SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
        return compat::holds_lock(tag, ExclusiveLock) || (!writes && compat::holds_lock(tag, ShareLock));
    }

    const Oid table;
    const bool writes;
};

}  // namespace

LOCKTAG lock_tag(LockKind kind, uint64 key) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<uint32>(key >> 32), static_cast<uint32>(key),
                         static_cast<uint16>(kind));
    return tag;
}

void lock(const LOCKTAG& tag) { LockAcquire(&tag, ExclusiveLock, false, false); }

void unlock(const LOCKTAG& tag) { LockRelease(&tag, ExclusiveLock, false); }

bool try_lock_for_session(const LOCKTAG& tag) {
    return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void unlock_for_session(const LOCKTAG& tag) { LockRelease(&tag, ExclusiveLock, true); }

bool try_lock(const LOCKTAG& tag) { return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL; }

uint64 lock_key(std::string_view name, uint64 seed) {
    return hash_bytes_extended(reinterpret_cast<const unsigned char*>(name.data()), static_cast<int>(name.size()),
                               seed);
}

StreamLock::StreamLock(std::string_view stream_id, LOCKMODE mode) : key(lock_key(stream_id)), mode(mode) {}

void lock_streams(const LogTables& tables, std::span<StreamLock> locks) {
    const AllStreams all(tables, locks);
    const bool many = std::ssize(locks) > STREAM_LOCKS_PER_TRANSACTION - granted_stream_locks();
    if (many && all.are_locked()) return;
    if (many && !fit_one_by_one(locks)) {
        all.lock_for_all();
        return;
    }
    all.lock_for_some();
    // Of two streams whose keys are equal the one that is written to first: the lock is not to be raised.
    std::sort(locks.begin(), locks.end(), [](const StreamLock& one, const StreamLock& other) {
        return one.key != other.key ? one.key < other.key : one.mode > other.mode;
    });
    for (const StreamLock& lock : locks) acquire(lock);
}

void lock_as_appender(const LogTables& tables) { LockRelationOid(tables.installations, RowExclusiveLock); }

void lock_out_appends(const LogTables& tables) {
    // Which those who only check streams hold a weaker lock on.
    LockRelationOid(tables.installations, ShareRowExclusiveLock);
}

void lock_stream(const LogTables& tables, StreamLock lock) {
    const std::span<StreamLock> locks(&lock, 1);
    if (!AllStreams(tables, locks).are_locked() && !fit_one_by_one(locks))
        throw sql_error(ERRCODE_PROGRAM_LIMIT_EXCEEDED, "too many streams locked in one transaction",
                        "It has locked " + std::to_string(granted_stream_locks()) + ".",
                        "Lock fewer, or append without locking first: an append locks its stream itself.");
    lock_streams(tables, locks);
}

}  // namespace tidemark
