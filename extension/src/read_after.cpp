// es_read_after: the log in position order, up to the safe position, filtered before the limit and served by indexes.
//
// The scan is over the index that fits the filter best and gives position order: (category, position); or, where the
// user has made it, (event_type, position), one range a type, merged; or else the primary key. A stream prefix has no
// such index: its events are ordered by stream. There the primary key is scanned first, which serves a frequent prefix
// at once; a page that is not full after PATIENCE rows turns to the prefix's own range of (stream_id, version), which
// serves a rare one; where that range has too many rows as well, the first scan goes on.
#include "event_filter.h"
#include "guard.h"
#include "safe_position.h"

#include <new>

extern "C" {
#include "access/stratnum.h"
}

namespace tidemark {

namespace {

constexpr int64 PATIENCE = 10000;
constexpr int MOST_MERGED_TYPES = 64;  // each keeps pages pinned

// The rows above `after`, up to the safe position, that one index range holds for a value of its first column.
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

struct Page {
    EventSink& sink;
    const EventFilter& filter;
    int64 left;

    bool full() const { return left == 0; }
    void offer(TupleTableSlot* event) {
        if (!filter.matches(event)) return;
        sink.put(event);
        left--;
    }
};

void read_range(Page& page, EventScan scan) {
    while (!page.full() && scan.next()) page.offer(scan.row());
    scan.end();
}

// One range a type, merged by position.
void read_types(Page& page, Relation events, Oid index, int64 after, int64 upto) {
    const EventFilter& filter = page.filter;
    auto* scans = static_cast<EventScan*>(palloc((filter.type_count + 1) * sizeof(EventScan)));
    int open = 0;
    for (int i = 0; i < filter.type_count; i++) {
        EventScan* scan = new (&scans[open]) EventScan(open_range(events, index, filter.types[i], after, upto));
        if (scan->next())
            open++;
        else
            scan->end();
    }
    while (!page.full() && open > 0) {
        EventScan* lowest = std::min_element(
            scans, scans + open, [](const EventScan& a, const EventScan& b) { return a.position() < b.position(); });
        page.offer(lowest->row());
        if (!lowest->next()) {
            lowest->end();
            open--;
            if (lowest != scans + open) new (lowest) EventScan(scans[open]);
        }
    }
    for (int i = 0; i < open; i++) scans[i].end();
}

// Reads the page from the prefix's range of (stream_id, version); where that is long, returns false with nothing read.
bool read_prefix(Page& page, Relation events, int64 after, int64 upto) {
    struct Found {
        int64 position;
        ItemPointerData row;
    };
    auto* found = static_cast<Found*>(palloc(PATIENCE * sizeof(Found)));
    int64 visited = 0, count = 0;
    bool short_enough = true;
    const ScanKeyData key = text_key(1, BTGreaterEqualStrategyNumber, page.filter.prefix);
    EventScan scan(events, event_indexes(events).by_stream, &key, 1);
    while (short_enough && scan.next() && page.filter.matches_prefix(scan.row())) {
        const int64 position = scan.position();
        if (position > after && position <= upto && page.filter.matches_type(scan.row()))
            found[count++] = {position, scan.row()->tts_tid};
        short_enough = ++visited < PATIENCE;
    }
    scan.end();
    if (short_enough) {
        std::sort(found, found + count, [](const Found& a, const Found& b) { return a.position < b.position; });
        TupleTableSlot* slot = table_slot_create(events, nullptr);
        for (int64 i = 0; i < count && !page.full(); i++)
            if (table_tuple_fetch_row_version(events, &found[i].row, GetActiveSnapshot(), slot)) page.offer(slot);
        ExecDropSingleTupleTableSlot(slot);
    }
    pfree(found);
    return short_enough;
}

void read_log_by_prefix(Page& page, Relation events, int64 after, int64 upto) {
    EventScan scan = open_log(events, after, upto);
    bool more = true;
    int64 reached = after;
    for (int64 visited = 0; visited < PATIENCE && !page.full() && (more = scan.next()); visited++) {
        reached = scan.position();
        page.offer(scan.row());
    }
    if (more && !page.full() && !read_prefix(page, events, reached, upto))
        while (!page.full() && scan.next()) page.offer(scan.row());
    scan.end();
}

void read_page(Page& page, Relation events, int64 after, int64 upto) {
    const EventFilter& filter = page.filter;
    const EventIndexes& indexes = event_indexes(events);
    if (filter.by_category)
        read_range(page, open_range(events, indexes.by_category, filter.category, after, upto));
    else if (filter.by_types && filter.type_count <= MOST_MERGED_TYPES && OidIsValid(indexes.by_type))
        read_types(page, events, indexes.by_type, after, upto);
    else if (filter.by_prefix)
        read_log_by_prefix(page, events, after, upto);
    else
        read_range(page, open_log(events, after, upto));
}

}  // namespace

// es_read_after(after_position, max_count, category, event_types, stream_prefix) → setof es_events
TIDEMARK_FUNCTION(tidemark_read_after) {
    return pg_call([&] {
        const int64 after = bigint_argument(fcinfo, 0, "after_position");
        if (after < 0)
            throw bad_argument("after_position must not be negative", "It is " + std::to_string(after) + ".",
                               "Pass 0 to read from the beginning.");
        const int64 max_count = max_count_argument(fcinfo, 1);
        const EventFilter filter = filter_argument(fcinfo, 2);

        const LogTables& tables = log_tables(fcinfo);
        Relation events = table_open(tables.events, AccessShareLock);
        Relation head = table_open(tables.head, AccessShareLock);
        EventSink sink(fcinfo, events);
        const SafeRead read = begin_safe_read(head, "es_read_after()");
        Page page = {sink, filter, filter.matches_nothing() ? 0 : max_count};
        if (after < read.position && !page.full()) read_page(page, events, after, read.position);
        read.end();
        table_close(head, AccessShareLock);
        table_close(events, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
