// Positions: handing them out, and who may still write below the last one.
//
// Why a reader can never skip an event. A transaction T that appends does, in this order:
//   (a) takes its transaction id;
//   (b) under the head's exclusive lock, is given positions p .. p+n-1, and an entry (T, p) is on the page from then;
//   (c) inserts the events; (d) commits or aborts. Only then may somebody drop the entry.
// A reader
//   (1) copies the head under its shared lock: the last position L and the entries;
//   (2) takes a snapshot S, strictly after that;
//   (3) draws the line: the minimum of L and of first_position - 1 over the entries whose transactions are in progress
//       in S; its own transaction counts as in progress;
//   (4) returns events at or below the line that S sees.
// Take any event of T, at position q, at or below the reader's line. As q <= L, (b) came before (1), for positions are
// handed out under the same lock. So at (1) T's entry was on the page, or had been dropped because T had ended.
//   - It was there: were T in progress in S, the line would lie below p <= q. So T had ended when S was taken: S sees
//     the event for good, or T aborted and nobody ever will.
//   - It had been dropped: T had ended before (1), hence before S. The same follows.
// So what lies at or below the line is final, and S shows all of it. No other transaction can come to lie there later:
// positions only rise. Were S taken before (1), T could end, and its entry go, in between: S would not see an event
// below the line, and a reader that moves its cursor past it would lose it for ever.
// Transactions that append nothing have no entry and hold nobody back. A prepared transaction stays in progress.
// A restore of a dump inserts at positions of the past; its entry, from position 1 on, is there before it inserts.
// On a standby the same holds for what has been replayed: T's transaction id is in the WAL record that writes the
// entry, so T is known as running there before the page changes, and its commit is replayed after it.
//
// Changes of the head are not transactional: positions of a transaction that aborts are gone. After a crash the page
// may lag behind what readers have seen; history.h tells how positions stay unique then.
#pragma once

#include "head_page.h"

namespace tidemark {

// Hands count positions to this transaction, consecutive and above all handed out before, and returns the first.
// The caller holds RowExclusiveLock on es_events until its transaction ends and has made sure of the log's history.
int64 allocate_positions(Relation head, int64 count);

// Keeps readers below the position until this transaction ends: it inserts events at positions that it brings along.
// When they are inserted, raise_head makes the head follow.
void hold_line(Relation head, int64 position);

// What the head says at one moment. entries is allocated in the current memory context.
struct HeadCopy {
    TimeLineID timeline;
    int64 last_position;
    FullTransactionId last_dropped;
    bool is_new;
    uint32 entry_count;
    InFlight* entries;
};

HeadCopy read_head(Relation head);

// Whether the transaction id can belong to a transaction that runs now, next being the id to be assigned next. One that
// is half the 32-bit id space behind, or not assigned yet, cannot; the 32-bit tests would be wrong about it.
bool may_be_running(FullTransactionId xid, FullTransactionId next);

// Raises the last position to at least target, and drops the entries whose transactions are over. Throws where target
// is beyond all positions.
void raise_head(Relation head, int64 target);

// The same, and the log begins or goes on in the present timeline. Returns the last position, which is durable then.
int64 start_head(Relation head, int64 target);

}  // namespace tidemark
