#include "contended_lock.h"

#include <sched.h>

extern "C" {
#include "portability/instr_time.h"
}

namespace tidemark {

namespace {

// Milliseconds: the time of some ten appends, and of a few. A yield that takes longer says that others wait for the
// processor, perhaps the one that holds the lock: looking on would only keep them from it.
constexpr double LONGEST_LOOK = 1, LONGEST_YIELD = 0.2;

// One of the transactions that hold a lock. None where that is on its way out: it cannot be told any more, and has
// still to let go.
class Holder {
  public:
    Holder(const LOCKTAG& tag, LOCKMODE mode) {
        VirtualTransactionId* holders = GetLockConflicts(&tag, mode, nullptr);
        process = compat::process_of(*holders);
        transaction = holders->localTransactionId;
        pfree(holders);
    }

    // Asked without a lock of any kind, so that those who look on do not hinder the one that works.
    bool is_gone() const { return process == nullptr || compat::local_transaction_id(process) != transaction; }

  private:
    const volatile PGPROC* process;
    LocalTransactionId transaction;
};

LockAcquireResult try_acquire(const LOCKTAG& tag, LOCKMODE mode) { return LockAcquire(&tag, mode, false, true); }

double milliseconds(instr_time from, instr_time to) {
    INSTR_TIME_SUBTRACT(to, from);
    return INSTR_TIME_GET_MILLISEC(to);
}

LockAcquireResult look_on(const LOCKTAG& tag, LOCKMODE mode) {
    instr_time start, before, now;
    INSTR_TIME_SET_CURRENT(start);
    now = start;
    Holder holder(tag, mode);
    do {
        before = now;
        sched_yield();
        if (holder.is_gone()) {
            const LockAcquireResult result = try_acquire(tag, mode);
            if (result != LOCKACQUIRE_NOT_AVAIL) return result;
            holder = Holder(tag, mode);
        }
        INSTR_TIME_SET_CURRENT(now);
    } while (milliseconds(start, now) < LONGEST_LOOK && milliseconds(before, now) < LONGEST_YIELD);
    return LOCKACQUIRE_NOT_AVAIL;
}

LockAcquireResult acquire_in_turn(const LOCKTAG& tag, const LOCKTAG& turn, LOCKMODE mode) {
    LockAcquire(&turn, ExclusiveLock, false, false);
    LockAcquireResult result = look_on(tag, mode);
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
