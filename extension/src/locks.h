// The heavyweight locks of the log. They show in pg_locks as advisory locks whose objsubid is the kind given here (the
// server's own advisory lock functions use 1 and 2), and go with the transaction, also with a prepared one.
#pragma once

#include "log_tables.h"

#include <span>
#include <string_view>

namespace tidemark {

enum class LockKind : uint16 {
    MAINTENANCE = 0x7401,     // of the log head: exclusive to start, leap or extend it, shared to restore events
    STREAM = 0x7402,          // of one stream, by the hash of its id
    WAITERS = 0x7403,         // of one group of waiting readers: shared by all of them
    LEADING_WAITER = 0x7404,  // of one group: held by the one that commits wake
    SUBSCRIPTION = 0x7405,    // of how one subscription is shared out, by the hash of its name
    PARTITION = 0x7406,       // of one partition's checkpoint and lease
    REBUILD = 0x7407,         // of one projection's rebuild: held by the session, over many transactions
    STREAM_TURN = 0x7408,     // to be the next who is woken for one stream's lock
};

LOCKTAG lock_tag(LockKind kind, uint64 key = 0);

// The key of something that has a name; the seed tells apart what is of one kind.
uint64 lock_key(std::string_view name, uint64 seed = 0);

// Exclusive, until the transaction ends, or unlocked as often as locked. try_lock does not wait, and says whether it
// was free.
void lock(const LOCKTAG& tag);
bool try_lock(const LOCKTAG& tag);
void unlock(const LOCKTAG& tag);

// The same, held by the session until it is unlocked.
bool try_lock_for_session(const LOCKTAG& tag);
void unlock_for_session(const LOCKTAG& tag);

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

// What whoever appends holds until the transaction ends: lock_streams() takes it. Restores take it too.
void lock_as_appender(const LogTables& tables);

// Until the transaction ends nobody else appends, or locks a stream to do so. Waits for those who have. Does not meet
// those who maintain es_events, as VACUUM does.
void lock_out_appends(const LogTables& tables);

// The lock of one stream. Whoever writes to it holds it exclusively, until the transaction ends; whoever only relies on
// its version shares it, so that the stream does not change until then and others can rely on it too.
struct StreamLock {
    StreamLock(std::string_view stream_id, LOCKMODE mode);  // ExclusiveLock or ShareLock

    uint64 key;
    LOCKMODE mode;
};

// Takes the locks until the transaction ends, in one order for all, so that calls that want the same streams wait for
// one another instead of deadlocking. A transaction of very many streams locks them all at once instead.
void lock_streams(const LogTables& tables, std::span<StreamLock> locks);

// Takes one lock; throws 54000 (program_limit_exceeded) where it would have to lock all streams.
void lock_stream(const LogTables& tables, StreamLock lock);

}  // namespace tidemark
