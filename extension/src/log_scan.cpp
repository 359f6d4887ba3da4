// The scan is over the index that fits the filter best and gives position order: (category, position); or, where the
// user has made it, (event_type, position), one range a type, merged; or else the primary key. A stream prefix has no
// such index: its events are ordered by stream. There the primary key is scanned first, which serves a frequent prefix
// at once; a scan that goes on after PATIENCE rows turns to the prefix's own range of (stream_id, version), which
// serves a rare one; where that range has too many rows as well, the first scan goes on.
#include "log_scan.h"

#include "guard.h"

#include <new>

extern "C" {
#include "access/stratnum.h"
}

namespace tidemark {

namespace {

constexpr int64 PATIENCE = 10000;
constexpr int MOST_MERGED_TYPES = 64;  // each keeps pages pinned

// The rows above `after`, up to `upto`, that one index range holds for a value of its first column.
EventScan open_range(Relation events, Oid index, std::string_view value, int64 after, int64 upto) {
    const ScanKeyData keys[] = {text_key(1, BTEqualStrategyNumber, value),
                                bigint_key(2, BTGreaterStrategyNumber, after),
                                bigint_key(2, BTLessEqualStrategyNumber, upto)};
    return EventScan(events, index, keys, 3);
}

EventScan open_log(Relation events, int64 after, int64 upto) {
    const ScanKeyData keys[] = {bigint_key(1, BTGreaterStrategyNumber, after),
                                bigint_key(1, BTLessEqualStrategyNumber, upto)};
    return EventScan(events, event_indexes(events).by_position, keys, 2);
}

// A scan in progress: which rows were looked at, and whether that is enough.
struct Progress {
    const EventFilter& filter;
    ScanBudget& budget;
    EventVisitor& visitor;
    int64 reached;
    bool enough;

    void offer(TupleTableSlot* event) {
        budget.visited++;
        reached = DatumGetInt64(event_value(event, POSITION));
        enough = (filter.matches(event) && !visitor.visit(event)) || budget.spent();
    }
};

void scan_range(Progress& progress, EventScan scan) {
    while (!progress.enough && scan.next()) progress.offer(scan.row());
    scan.end();
}

// One range a type, merged by position.
void scan_types(Progress& progress, Relation events, Oid index, int64 after, int64 upto) {
    const EventFilter& filter = progress.filter;
    auto* scans = static_cast<EventScan*>(palloc((filter.type_count + 1) * sizeof(EventScan)));
    int open = 0;
    for (int i = 0; i < filter.type_count; i++) {
        EventScan* scan = new (&scans[open]) EventScan(open_range(events, index, filter.types[i], after, upto));
        if (scan->next())
            open++;
        else
            scan->end();
    }
    while (!progress.enough && open > 0) {
        EventScan* lowest = std::min_element(
            scans, scans + open, [](const EventScan& a, const EventScan& b) { return a.position() < b.position(); });
        progress.offer(lowest->row());
        if (!lowest->next()) {
            lowest->end();
            open--;
            if (lowest != scans + open) new (lowest) EventScan(scans[open]);
        }
    }
    for (int i = 0; i < open; i++) scans[i].end();
}

// Shows the events from the prefix's range of (stream_id, version); where that is long, returns false with none shown.
bool scan_prefix(Progress& progress, Relation events, int64 after, int64 upto) {
    struct Found {
        int64 position;
        ItemPointerData row;
    };
    auto* found = static_cast<Found*>(palloc(PATIENCE * sizeof(Found)));
    int64 visited = 0, count = 0;
    bool short_enough = true;
    const ScanKeyData key = text_key(1, BTGreaterEqualStrategyNumber, progress.filter.prefix);
    EventScan scan(events, event_indexes(events).by_stream, &key, 1);
    while (short_enough && scan.next() && progress.filter.matches_prefix(scan.row())) {
        const int64 position = scan.position();
        if (position > after && position <= upto && progress.filter.matches_type(scan.row()))
            found[count++] = {position, scan.row()->tts_tid};
        short_enough = ++visited < PATIENCE;
    }
    scan.end();
    if (short_enough) {
        std::sort(found, found + count, [](const Found& a, const Found& b) { return a.position < b.position; });
        TupleTableSlot* slot = table_slot_create(events, nullptr);
        for (int64 i = 0; i < count && !progress.enough; i++)
            if (table_tuple_fetch_row_version(events, &found[i].row, GetActiveSnapshot(), slot)) progress.offer(slot);
        ExecDropSingleTupleTableSlot(slot);
    }
    pfree(found);
    return short_enough;
}

void scan_by_prefix(Progress& progress, Relation events, int64 after, int64 upto) {
    EventScan scan = open_log(events, after, upto);
    bool more = true;
    for (int64 visited = 0; visited < PATIENCE && !progress.enough && (more = scan.next()); visited++)
        progress.offer(scan.row());
    if (more && !progress.enough && !scan_prefix(progress, events, progress.reached, upto))
        while (!progress.enough && scan.next()) progress.offer(scan.row());
    scan.end();
}

}  // namespace

int64 scan_log(Relation events, const EventFilter& filter, int64 after, int64 upto, ScanBudget& budget,
               EventVisitor& visitor) {
    if (after >= upto || filter.matches_nothing()) return std::max(after, upto);
    Progress progress = {filter, budget, visitor, after, budget.spent()};
    const EventIndexes& indexes = event_indexes(events);
    if (filter.by_category)
        scan_range(progress, open_range(events, indexes.by_category, filter.category, after, upto));
    else if (filter.by_types && filter.type_count <= MOST_MERGED_TYPES && OidIsValid(indexes.by_type))
        scan_types(progress, events, indexes.by_type, after, upto);
    else if (filter.by_prefix)
        scan_by_prefix(progress, events, after, upto);
    else
        scan_range(progress, open_log(events, after, upto));
    return progress.enough ? progress.reached : upto;
}

void scan_stretch(Relation events, const EventFilter& filter, int64 after, int64 upto, EventVisitor& visitor) {
    EventScan scan = open_log(events, after, upto);
    while (scan.next())
        if (filter.matches(scan.row()) && !visitor.visit(scan.row())) break;
    scan.end();
}

WaitGroup group_to_wait_in(const EventFilter& filter, const SafeRead& read) {
    return filter.by_category && !read.is_held_back() ? WaitGroup::category(filter.category) : WaitGroup::everything();
}

}  // namespace tidemark
