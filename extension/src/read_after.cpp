// es_read_after: the log in position order, up to the safe position, filtered before the limit and served by indexes.
#include "guard.h"
#include "log_scan.h"
#include "scratch.h"

namespace tidemark {

namespace {

// A page of the result, as far as it is filled.
class Page : public EventVisitor {
  public:
    Page(EventSink& sink, int64 max_count) : sink(sink), left(max_count) {}

    bool visit(TupleTableSlot* event) override {
        sink.put(event);
        is_empty = false;
        return --left > 0;
    }

    bool is_empty = true;

  private:
    EventSink& sink;
    int64 left;
};

}  // namespace

// es_read_after(after_position, max_count, category, event_types, stream_prefix, wait) → setof es_events
TIDEMARK_FUNCTION(tidemark_read_after) {
    return pg_call([&] {
        const int64 after = bigint_argument(fcinfo, 0, "after_position");
        if (after < 0)
            throw bad_argument("after_position must not be negative", "It is " + std::to_string(after) + ".",
                               "Pass 0 to read from the beginning.");
        const int64 max_count = max_count_argument(fcinfo, 1);
        const EventFilter filter = filter_argument(fcinfo, 2);
        const int64 wait = wait_argument(fcinfo, 5);

        const LogTables& tables = log_tables(fcinfo);
        Relation events = table_open(tables.events, AccessShareLock);
        Relation head = table_open(tables.head, AccessShareLock);
        if (wait > 0) refuse_wait_for_oneself(head, "es_read_after()");
        EventSink sink(fcinfo, events);
        Page page(sink, max_count);
        Waiter waiter(max_count > 0 ? wait : 0);
        WaitGroup group = WaitGroup::everything();
        int64 reached = after;
        const Scratch scratch;
        do {
            scratch.reset();
            const SafeRead read = begin_safe_read(head, "es_read_after()");
            group = group_to_wait_in(filter, read);
            ScanBudget budget;
            if (max_count > 0) reached = scan_log(events, filter, reached, read.position, budget, page);
            read.end();
        } while (page.is_empty && waiter.sleep(group));
        waiter.leave();
        scratch.end();
        table_close(head, AccessShareLock);
        table_close(events, NoLock);
        return Datum(0);
    });
}

}  // namespace tidemark
