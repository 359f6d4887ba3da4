// es_fetch: what a consumer gets.
#include "guard.h"
#include "leases.h"
#include "locks.h"
#include "scratch.h"
#include "snapshot_scope.h"
#include "undelivered.h"
#include "waiting.h"

#include <new>

extern "C" {
#include "access/stratnum.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

// How many rows one call looks at: for its first event, and then for more to go with it, which would keep that waiting.
constexpr int64 ROWS_BEFORE_FIRST = 500000;
constexpr int64 ROWS_AFTER_FIRST = 10000;
// An empty stretch shorter than this is cheaper looked through again by the next call than written down by this one.
constexpr int64 ROWS_WORTH_NOTING = 1000;
// A look at the versions before and after an event tells whether its stream is in order, which it cannot fail to be. A
// batch from the past has many events, so only its beginning is looked at, where a checkpoint could lie in between.
constexpr int64 EVENTS_CHECKED = 16;

// The events that one call returns, all of one partition.
class Batch : public EventVisitor {
  public:
    Batch(Relation events, EventSink& sink, int64 max_count) : events(events), sink(sink), max_count(max_count) {}

    // What is to be read now, within which budget. Where events come from a released stream they are of its partition.
    void begin(std::span<const Partition> all_partitions, const Undelivered* all_undelivered, ScanBudget* scan_budget) {
        partitions = all_partitions;
        undelivered = all_undelivered;
        budget = scan_budget;
        passed = static_cast<bool*>(palloc0(partitions.size() * sizeof(bool)));
    }
    void redeliver(int32 from) { chosen = from; }

    bool visit(TupleTableSlot* event) override {
        const bool redelivered = budget == nullptr;
        const int32 number = redelivered ? chosen : undelivered->partition_of_event(event);
        if (number < 0) return true;
        if (chosen < 0) {
            chosen = number;
            const int64 wanted = std::min(max_count, ROWS_BEFORE_FIRST) * 10;
            budget->limit = std::min(budget->limit, budget->visited + ROWS_AFTER_FIRST + wanted);
        }
        if (number != chosen) {
            passed[number] = true;
            return true;
        }
        if (count < EVENTS_CHECKED) check_order(event);
        last_position = DatumGetInt64(event_value(event, POSITION));
        const Datum more[] = {Int32GetDatum(chosen), Int64GetDatum(partitions[chosen].fence()),
                              BoolGetDatum(redelivered)};
        sink.put(event, more);
        return ++count < max_count;
    }

    bool* passed;  // partitions whose events were seen and left for another call
    int32 chosen = -1;
    int64 last_position = 0;
    int64 count = 0;

  private:
    // The event is to lie between those before and after it in its stream, as far as there are such.
    void check_order(TupleTableSlot* event) const {
        const text* stream_id = DatumGetTextPP(event_value(event, STREAM_ID));
        const int64 version = DatumGetInt64(event_value(event, VERSION));
        const ScanKeyData keys[] = {text_key(1, BTEqualStrategyNumber, view(stream_id)),
                                    bigint_key(2, BTGreaterEqualStrategyNumber, version - 1),
                                    bigint_key(2, BTLessEqualStrategyNumber, version + 1)};
        EventScan neighbours(events, event_indexes(events).by_stream, keys, 3);
        int64 before = 0;
        bool in_order = true;
        for (; in_order && neighbours.next(); before = neighbours.position()) in_order = before < neighbours.position();
        neighbours.end();
        if (!in_order)
            throw corrupted("an event was overtaken by its successor",
                            "It is about version " + std::to_string(version) + " of stream " + quoted(view(stream_id)) +
                                " and those before and after it.");
    }

    const Relation events;
    EventSink& sink;
    const int64 max_count;
    std::span<const Partition> partitions;
    const Undelivered* undelivered = nullptr;
    ScanBudget* budget = nullptr;
};

// What one call has looked through without finding anything, so that it does not do so each time it wakes. That holds
// as long as the partitions that it reads are as they were.
class Searched {
  public:
    // Where to look from now.
    int64 start(const Undelivered& undelivered, std::span<const Partition> partitions, size_t parked_count) {
        const bool is_same = std::ssize(partitions) == count && parked_count == parked &&
                             std::equal(from, from + count, undelivered.from) &&
                             std::equal(partitions.begin(), partitions.end(), fences,
                                        [](const Partition& one, int64 fence) { return one.fence() == fence; });
        if (!is_same) remember(undelivered, partitions, parked_count);
        return std::max(undelivered.start(), reached);
    }

    int64 reached = 0;
    int64 visited = 0;  // rows

  private:
    void remember(const Undelivered& undelivered, std::span<const Partition> partitions, size_t parked_count) {
        reached = visited = 0;
        count = static_cast<int32>(partitions.size());
        parked = parked_count;
        from = static_cast<int64*>(MemoryContextAlloc(memory, partitions.size() * sizeof(int64)));
        fences = static_cast<int64*>(MemoryContextAlloc(memory, partitions.size() * sizeof(int64)));
        std::copy_n(undelivered.from, count, from);
        std::transform(partitions.begin(), partitions.end(), fences, [](const Partition& one) { return one.fence(); });
    }

    const MemoryContext memory = CurrentMemoryContext;
    int64 *from = nullptr, *fences = nullptr;
    int32 count = 0;
    size_t parked = 0;
};

// One call of es_fetch.
class Fetch {
  public:
    Fetch(const SubscriptionTables& tables, Relation events, Relation head, const LeaseRequest& request,
          EventSink& sink, int64 max_count)
        : tables(tables), events(events), head(head), request(request), batch(events, sink, max_count) {}

    // Looks once, and whether that is the answer.
    bool look(const Scratch& scratch);
    WaitGroup group() const { return waits_for; }
    // Whether there is something to do that was locked, perhaps by a transaction that has already woken us.
    bool is_busy() const { return busy; }
    // The call has waited in vain.
    void refuse_if_held_by_another() const;
    // After the last look: where many rows were looked at, the next call is not to look at them again.
    void note_progress();

  private:
    bool look_at_everything();
    bool is_nothing_new();
    void begin_read();
    void redeliver(std::span<const ParkedStream> parked);
    bool note_progress(int32 number);
    bool reads(const Partition& partition) const {
        const TimestampTz now = GetCurrentTimestamp();
        return partition.is_leased_to(request.consumer, now) && !partition.is_put_off(now);
    }

    const SubscriptionTables& tables;
    const Relation events, head;
    const LeaseRequest& request;
    Batch batch;
    const bool read_only = RecoveryInProgress();
    bool written = false, busy = false;
    WaitGroup waits_for = WaitGroup::everything();
    Searched searched;
    int64 look_fully_at = 0;

    // Of one look at everything:
    SafeRead read;
    Subscription subscription;
    std::span<const Partition> partitions;
    const Undelivered* undelivered = nullptr;  // null where nothing was looked through
};

// Sees to the leases, and takes the snapshot that everything is read under.
void Fetch::begin_read() {
    for (bool planned = read_only;; planned = true) {
        read = begin_safe_read(head, "es_fetch()");
        subscription = tables.consumed_subscription(request.subscription);
        partitions = tables.partitions(subscription);
        busy = !read_only && !plan_leases(tables, subscription, partitions, request).is_empty();
        if (planned || !busy) return;
        read.end();
        written = see_to_leases(tables, request) || written;
    }
}

bool Fetch::look(const Scratch& scratch) {
    if (is_nothing_new()) return false;
    scratch.reset();
    look_fully_at = clock_milliseconds() + LOOK_AGAIN;
    return look_at_everything();
}

// Most of what wakes a waiting consumer brings events for others. To find that out, what it knew of its partitions a
// moment ago will do.
bool Fetch::is_nothing_new() {
    if (undelivered == nullptr || busy || clock_milliseconds() >= look_fully_at) return false;
    read = begin_safe_read(head, "es_fetch()");
    waits_for = group_to_wait_in(subscription.filter, read);
    const int64 upto = std::min(read.position, subscription.barrier);
    FirstUndelivered first(*undelivered);
    const bool has_moved = upto > searched.reached;
    if (has_moved) {
        ScanBudget budget = {ROWS_BEFORE_FIRST};
        const int64 reached = scan_log(events, subscription.filter, searched.reached, upto, budget, first);
        searched.reached = first.found ? reached - 1 : reached;
        searched.visited += budget.visited;
    }
    read.end();
    return has_moved && !first.found;
}

bool Fetch::look_at_everything() {
    begin_read();
    waits_for = group_to_wait_in(subscription.filter, read);
    const auto parked = parked_streams(tables, request.subscription);
    redeliver(parked);
    undelivered = nullptr;
    bool exhausted = false;
    if (batch.count == 0) {
        const auto reads_it = [&](const Partition& partition) { return reads(partition); };
        undelivered = new (palloc(sizeof(Undelivered))) Undelivered(partitions, parked, reads_it);
        ScanBudget budget = {read_only ? PG_INT64_MAX : ROWS_BEFORE_FIRST};
        batch.begin(partitions, undelivered, &budget);
        const int64 start = searched.start(*undelivered, partitions, parked.size());
        const int64 upto = std::min(read.position, subscription.barrier);
        searched.reached = scan_log(events, subscription.filter, start, upto, budget, batch);
        searched.visited += budget.visited;
        exhausted = budget.spent();
    }
    read.end();
    if (subscription.next_partitions > 0) note_progress();  // the change waits for it
    return batch.count > 0 || written || exhausted;
}

void Fetch::redeliver(std::span<const ParkedStream> parked) {
    for (const ParkedStream& stream : parked) {
        if (!stream.is_released() || batch.count > 0) continue;
        const Partition& partition = partitions[partition_of(stream.stream_id(), subscription.partitions)];
        if (!reads(partition)) continue;
        batch.begin(partitions, nullptr, nullptr);
        batch.redeliver(partition.number());
        scan_released(events, subscription, partition, stream, batch);
    }
    if (batch.count == 0) batch.redeliver(-1);
}

void Fetch::note_progress() {
    if (read_only || undelivered == nullptr) return;
    if (searched.visited < ROWS_WORTH_NOTING && subscription.next_partitions == 0) return;
    for (const Partition& partition : partitions)
        if (note_progress(partition.number())) written = true;
}

bool Fetch::note_progress(int32 number) {
    const int64 from = undelivered->from[number], reached = searched.reached;
    const bool delivers = batch.count > 0 && number == batch.chosen;
    if (from == Undelivered::NOT_READ || batch.passed[number] || reached <= (delivers ? batch.last_position : from) ||
        !try_lock(partition_lock(request.subscription, number)))
        return false;
    const SnapshotScope snapshot;
    StateRow row;
    const bool exists = tables.find_partition(request.subscription, number, &row);
    Partition partition(row);
    const bool unchanged = exists && partition.fence() == partitions[number].fence() && partition.read_from() == from;
    if (unchanged) {
        partition.note_empty(delivers ? batch.last_position : partition.checkpoint(), reached);
        if (!delivers) partition.advance(partition.checkpoint());
        tables.partition_rows.update(&partition.row);
        wake_at_end(WaitGroup::progress(request.subscription));
        if (subscription.next_partitions > 0) wake_consumers(subscription);
    }
    snapshot.end();
    if (!unchanged) unlock(partition_lock(request.subscription, number));
    return unchanged;
}

void Fetch::refuse_if_held_by_another() const {
    if (written) return;
    const SnapshotScope snapshot;
    const Subscription now = tables.subscription(request.subscription);
    const Partition only = tables.partition(request.subscription, 0);
    const bool is_leased = only.is_leased(GetCurrentTimestamp());
    if (now.partitions == 1 && is_leased && only.consumer() != request.consumer)
        throw sql_error(
            ERRCODE_LOCK_NOT_AVAILABLE, "the subscription is held by another consumer",
            "Consumer " + quoted(only.consumer()) + " has it until " + timestamptz_to_str(only.lease_until()) + ".",
            "Wait for it, or make more partitions for more consumers with es_set_partitions().");
    if (now.partitions == 1 && !is_leased && busy)
        throw sql_error(
            ERRCODE_LOCK_NOT_AVAILABLE, "the subscription is locked by another transaction",
            "Its last consumer has acknowledged, or somebody changes it, and has not ended the transaction.",
            "See pg_locks, objsubid 29701 and 29702, for who it is.");
    if (now.partitions == 1 && !is_leased && read_only)
        throw sql_error(ERRCODE_LOCK_NOT_AVAILABLE, "the consumer has no lease", "A standby cannot give it one.",
                        "Call es_claim() on the primary.");
    snapshot.end();
}

}  // namespace

// es_fetch(name, consumer, max_count, wait, lease) → setof (columns of es_events, partition, fence, redelivered)
TIDEMARK_FUNCTION(tidemark_fetch) {
    return pg_call([&] {
        if (!RecoveryInProgress()) require_read_write("es_fetch()");
        const LeaseRequest request = lease_request(fcinfo, 4);
        const int64 max_count = max_count_argument(fcinfo, 2);
        if (max_count == 0)
            throw bad_argument("max_count must not be 0", "No event could be returned.", "Give 1 or more.");
        const int64 wait = wait_argument(fcinfo, 3);

        const LogTables& log = log_tables(fcinfo);
        Relation events = table_open(log.events, AccessShareLock);
        Relation head = table_open(log.head, AccessShareLock);
        if (wait > 0) refuse_wait_for_oneself(head, "es_fetch()");
        const SubscriptionTables tables(log, RecoveryInProgress() ? AccessShareLock : RowExclusiveLock);
        EventSink sink(fcinfo, events, METADATA);
        Fetch fetch(tables, events, head, request, sink, max_count);
        Waiter waiter(wait);
        const Scratch scratch;
        bool answered;
        do answered = fetch.look(scratch);
        while (!answered && waiter.sleep(fetch.group(), fetch.is_busy()));
        waiter.leave();
        if (!answered) fetch.refuse_if_held_by_another();
        fetch.note_progress();
        scratch.end();
        tables.close();
        table_close(head, NoLock);
        table_close(events, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
