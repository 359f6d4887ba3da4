// How readers wait for what a commit brings, and are woken by it, without cost for those who commit while nobody waits.
//
// Who waits belongs to a group, by what it waits for. All waiters of a group share a heavyweight lock on it; one of
// them, the leader, also holds a second lock, exclusively. The end of a transaction asks the lock manager who leads
// the groups that it concerns, and sets the latch of those; a leader that wakes wakes the others. So a commit wakes
// one process a group, however many wait. NOTIFY would do without any of this, but takes a lock of the whole cluster
// until the commit is over.
//
// So no wake-up is lost: a waiter takes its locks first, then looks for what it waits for, then sleeps; a transaction
// is visible first, then asks for leaders. So either it finds the leader, or that looks when the commit can be seen. A
// leader that leaves wakes another waiter, which takes its place; a commit that finds no leader in between wakes all
// of the group. Whatever else goes wrong, as a leader that is killed, or a COMMIT PREPARED, which runs in a session
// that knows nothing of us: waiters look again every 250 ms. On a standby commits come by replay, which wakes nobody;
// there they look at how far it has come, every few milliseconds.
#pragma once

#include "pg_compat.h"

#include <string_view>

namespace tidemark {

// What is waited for. The line moves as transactions end that have appended, so those concern, by EVERYTHING, who waits
// behind them, whatever they have appended. While nothing holds the line back, who waits for one category is only
// concerned by those that append to it.
struct WaitGroup {
    uint64 key;

    static WaitGroup everything() { return {0}; }
    static WaitGroup category(std::string_view name);
    static WaitGroup progress(std::string_view subscription);  // of its checkpoints

    bool operator==(const WaitGroup&) const = default;
};

// When this transaction ends, wakes who waits in the group; where it aborts, only those who wait for EVERYTHING, whom
// it may have held back.
void wake_at_end(WaitGroup group);

// A bounded wait: look for what is waited for, and sleep() while it is not there and that returns true.
class Waiter {
  public:
    explicit Waiter(int64 milliseconds);

    // Sleeps until something may have changed for the group; the first time it only joins the group, so that one looks
    // again. `briefly`: looks again very soon in any case, and then less and less so. False when the time is over.
    // Interruptible.
    bool sleep(WaitGroup group, bool briefly = false);

    // To be called when the wait is over, unless by an error: that ends the (sub)transaction, which leaves the group.
    void leave();

  private:
    void join(WaitGroup group);
    void try_to_lead();

    const int64 end;
    uint64 replayed;  // on a standby: before the last look
    WaitGroup group;
    bool joined = false;
    bool leads = false;
    int64 brief_time = 2;  // milliseconds
};

// Longer waits inside a statement would hold back the cluster's VACUUM: the statement's snapshot stays.
constexpr int64 LONGEST_WAIT = 60 * 1000;

// How long a waiter can go without looking at everything that it depends on: what wakes it tells only of the log.
constexpr int64 LOOK_AGAIN = 250;  // milliseconds

// Of a clock that is never set back.
int64 clock_milliseconds();

// Just sleeps. Interruptible.
void pause_for(int64 milliseconds);

// The value in milliseconds of an argument that says how long to wait. Throws 22023 unless it is 0 to LONGEST_WAIT.
int64 wait_argument(FunctionCallInfo fcinfo, int number);

}  // namespace tidemark
