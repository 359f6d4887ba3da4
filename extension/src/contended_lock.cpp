#include "contended_lock.h"

#include <sched.h>

extern "C" {
#include "portability/instr_time.h"
}

namespace tidemark {

namespace {

constexpr double LONGEST_LOOK = 1;  // milliseconds: the time of some ten appends
constexpr int MOST_OVERTAKEN = 3;

// One of those that hold it, if any.
VirtualTransactionId holder_of(const LOCKTAG& tag, LOCKMODE mode) {
    VirtualTransactionId* holders = GetLockConflicts(&tag, mode, nullptr);
    const VirtualTransactionId first = *holders;
    pfree(holders);
    return first;
}

// Asked of shared memory, which hinders nobody; the lock manager's tables are locked by whoever looks into them.
bool has_ended(const VirtualTransactionId& transaction) {
    const volatile PGPROC* process = compat::process_of(transaction);
    return process == nullptr || compat::local_transaction_id(process) != transaction.localTransactionId;
}

LockAcquireResult try_acquire(const LOCKTAG& tag, LOCKMODE mode) { return LockAcquire(&tag, mode, false, true); }

LockAcquireResult look_on(const LOCKTAG& tag, LOCKMODE mode) {
    instr_time start, time;
    INSTR_TIME_SET_CURRENT(start);
    VirtualTransactionId holder = holder_of(tag, mode);
    do {
        sched_yield();
        if (has_ended(holder)) {
            const LockAcquireResult result = try_acquire(tag, mode);
            if (result != LOCKACQUIRE_NOT_AVAIL) return result;
            holder = holder_of(tag, mode);
        }
        INSTR_TIME_SET_CURRENT(time);
        INSTR_TIME_SUBTRACT(time, start);
    } while (INSTR_TIME_GET_MILLISEC(time) < LONGEST_LOOK);
    return LOCKACQUIRE_NOT_AVAIL;
}

LockAcquireResult acquire_in_turn(const LOCKTAG& tag, const LOCKTAG& turn, LOCKMODE mode) {
    LockAcquire(&turn, ExclusiveLock, false, false);
    LockAcquireResult result = LOCKACQUIRE_NOT_AVAIL;
    for (int i = 0; i < MOST_OVERTAKEN && result == LOCKACQUIRE_NOT_AVAIL; i++) {
        const VirtualTransactionId holder = holder_of(tag, mode);
        if (VirtualTransactionIdIsValid(holder)) VirtualXactLock(holder, true);
        result = try_acquire(tag, mode);
    }
    if (result == LOCKACQUIRE_NOT_AVAIL) result = LockAcquire(&tag, mode, false, false);
    LockRelease(&turn, ExclusiveLock, false);
    return result;
}

}  // namespace

LockAcquireResult acquire_contended(const LOCKTAG& tag, const LOCKTAG& turn, LOCKMODE mode) {
    if (synchronous_commit > SYNCHRONOUS_COMMIT_OFF) return LockAcquire(&tag, mode, false, false);
    LockAcquireResult result = try_acquire(tag, mode);
    if (result == LOCKACQUIRE_NOT_AVAIL) result = look_on(tag, mode);
    if (result == LOCKACQUIRE_NOT_AVAIL) result = acquire_in_turn(tag, turn, mode);
    return result;
}

}  // namespace tidemark
