#include "waiting.h"

#include "guard.h"
#include "locks.h"
#include "validate.h"

#include <algorithm>
#include <utility>

extern "C" {
#include "access/xlogrecovery.h"
#include "storage/latch.h"
#include "portability/instr_time.h"
}

namespace tidemark {

namespace {

constexpr int64 REPLAY_INTERVAL = 4;  // milliseconds

int64 clock_microseconds() {
    instr_time now;
    INSTR_TIME_SET_CURRENT(now);
    return static_cast<int64>(INSTR_TIME_GET_MICROSEC(now));
}

LOCKTAG members(WaitGroup group) { return lock_tag(LockKind::WAITERS, group.key); }
LOCKTAG leader(WaitGroup group) { return lock_tag(LockKind::LEADING_WAITER, group.key); }

// Sets the latches of other processes that hold a lock on the tag that conflicts with the mode, of at most so many.
// Returns how many.
int set_latches(const LOCKTAG& tag, LOCKMODE mode, int most = INT_MAX) {
    int count = 0;
    VirtualTransactionId* holders = GetLockConflicts(&tag, mode, nullptr);
    for (VirtualTransactionId* holder = holders; VirtualTransactionIdIsValid(*holder) && count < most; holder++) {
        // It may be another process by now, which a latch set for nothing does not hurt.
        PGPROC* process = compat::process_of(*holder);
        if (process == nullptr) continue;
        SetLatch(&process->procLatch);
        count++;
    }
    pfree(holders);
    return count;
}

// Asked by every commit: unlike GetLockConflicts(), it does not clear a list with room for each possible connection.
bool has_members(WaitGroup group) {
    const LOCKTAG tag = members(group);
    return LockWaiterCount(&tag) > 0;
}

// When this session's group may be woken again; what is committed until then is seen then. So that commits which bring
// nothing for most of those who wait do not spend the processor on them.
int64 next_round = 0;
constexpr int64 SHORTEST_INTERVAL = 500;      // microseconds
constexpr int64 INTERVAL_FOR_A_WAITER = 200;  // microseconds
constexpr int64 LONGEST_INTERVAL = 20000;     // microseconds

int wake_members(WaitGroup group) { return set_latches(members(group), ExclusiveLock); }
void wake_one_member(WaitGroup group) { set_latches(members(group), ExclusiveLock, 1); }
void wake_leader(WaitGroup group) {
    // One question where nobody waits, as with most commits.
    if (has_members(group) && set_latches(leader(group), ShareLock) == 0) wake_members(group);
}

void wait_for_latch(int64 milliseconds) {
    const int event =
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, compat::wait_event());
    if (event & WL_LATCH_SET) ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

// Whoever waited for a client that is gone would take a lease for it, and wake up for nothing. Ends the session.
void check_client() {
    if (MyProcPort == nullptr || pq_check_connection()) return;
    ClientConnectionLost = true;
    InterruptPending = true;
    CHECK_FOR_INTERRUPTS();
}

// Until more is replayed than that.
void wait_for_replay(XLogRecPtr replayed, int64 milliseconds) {
    for (; milliseconds > 0 && GetXLogReplayRecPtr(nullptr) == replayed; milliseconds -= REPLAY_INTERVAL)
        wait_for_latch(REPLAY_INTERVAL);
}

// Sleeps until the group may be woken again. A round after a while of quiet is not put off.
void await_round() {
    const int64 left = next_round - clock_microseconds();
    if (left > 0) pg_usleep(static_cast<long>(left));
    CHECK_FOR_INTERRUPTS();
}

void wake_round(WaitGroup group) {
    const int64 interval = wake_members(group) * INTERVAL_FOR_A_WAITER;
    next_round = clock_microseconds() + std::clamp(interval, SHORTEST_INTERVAL, LONGEST_INTERVAL);
}

// The groups that the running transaction concerns: everything, and others; more than these find out by looking again.
constexpr int MOST_GROUPS = 64;
bool concerns_everything = false;
WaitGroup concerned[MOST_GROUPS];
int concerned_count = 0;

// Runs in the middle of a commit, where an error would bring the server down.
void at_end(XactEvent event, void*) {
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) return;
    const bool everything = std::exchange(concerns_everything, false);
    const int count = std::exchange(concerned_count, 0);
    if (event == XACT_EVENT_PREPARE) return;
    ignore_errors([&] {
        if (everything) wake_leader(WaitGroup::everything());
        for (int i = 0; i < count && event == XACT_EVENT_COMMIT; i++) wake_leader(concerned[i]);
    });
}

}  // namespace

int64 clock_milliseconds() { return clock_microseconds() / 1000; }

WaitGroup WaitGroup::category(std::string_view name) { return {lock_key(name, 1)}; }
WaitGroup WaitGroup::progress(std::string_view subscription) { return {lock_key(subscription, 2)}; }

void wake_at_end(WaitGroup group) {
    static bool registered = false;
    if (!registered) {
        RegisterXactCallback(at_end, nullptr);
        registered = true;
    }
    if (group == WaitGroup::everything())
        concerns_everything = true;
    else if (concerned_count < MOST_GROUPS &&
             std::find(concerned, concerned + concerned_count, group) == concerned + concerned_count)
        concerned[concerned_count++] = group;
}

Waiter::Waiter(int64 milliseconds)
    : end(milliseconds == 0 ? 0 : clock_milliseconds() + milliseconds),
      replayed(RecoveryInProgress() ? GetXLogReplayRecPtr(nullptr) : InvalidXLogRecPtr),
      group{0} {}

void Waiter::join(WaitGroup new_group) {
    group = new_group;
    const LOCKTAG tag = members(group);
    LockAcquire(&tag, ShareLock, false, false);
    joined = true;
    try_to_lead();
}

void Waiter::try_to_lead() {
    const LOCKTAG tag = leader(group);
    leads = LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void Waiter::leave() {
    if (!joined) return;
    joined = false;
    const LOCKTAG group_tag = members(group), leader_tag = leader(group);
    LockRelease(&group_tag, ShareLock, false);
    if (!leads) return;
    leads = false;
    LockRelease(&leader_tag, ExclusiveLock, false);
    // A commit that has still woken us meant all of them.
    if (MyLatch->is_set)
        wake_members(group);
    else
        wake_one_member(group);
}

bool Waiter::sleep(WaitGroup new_group, bool briefly) {
    CHECK_FOR_INTERRUPTS();
    const int64 now = end == 0 ? 0 : clock_milliseconds();
    if (now >= end) return false;
    if (briefly) brief_time = std::min(2 * brief_time, LOOK_AGAIN);
    const int64 time = std::min(briefly ? brief_time : LOOK_AGAIN, end - now);
    if (RecoveryInProgress()) {
        wait_for_replay(replayed, time);
        check_client();
        replayed = GetXLogReplayRecPtr(nullptr);
        return true;
    }
    if (!joined || new_group != group) {
        leave();
        join(new_group);
        return true;
    }
    if (leads) await_round();
    // Whether the latch was set is not asked: looking, and looking after the client, can reset it.
    wait_for_latch(time);
    check_client();
    if (!leads)
        try_to_lead();
    else
        wake_round(group);
    return true;
}

void pause_for(int64 milliseconds) {
    const int64 end = clock_milliseconds() + milliseconds;
    for (int64 now = clock_milliseconds(); now < end; now = clock_milliseconds())
        wait_for_latch(std::min<int64>(end - now, 1000));
}

int64 wait_argument(FunctionCallInfo fcinfo, int number) {
    return milliseconds_argument(fcinfo, number, "wait", 0, LONGEST_WAIT);
}

}  // namespace tidemark
