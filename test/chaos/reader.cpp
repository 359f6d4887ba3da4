#include "reader.h"

#include <algorithm>

namespace chaos {

Reader::Reader(const std::string& conninfo, ReaderPlan plan, unsigned seed, unsigned number, const Finish& finish,
               Journal& journal)
    : session_(conninfo, "chaos reader " + plan.name),
      plan_(std::move(plan)),
      dice_(seed, 2, number),
      finish_(finish),
      journal_(journal) {}

void Reader::run(std::stop_token stop) {
    while (!stop.stop_requested()) {
        try {
            // The order matters: only a page read after the line was seen to have arrived can be the last.
            const std::int64_t line = finish_.line;
            const bool arrived =
                line != Finish::unknown && session_.run("SELECT es_safe_position()").number(0, 0) >= line;
            const std::vector<Event> events = page();
            if (!events.empty())
                take(events);
            else if (arrived)
                return;
            else
                rest(Millis(1));
        } catch (const SqlError& error) {
            // Under SERIALIZABLE, and on a standby where replay goes first, a page may have to be read again.
            if (error.sqlstate != "40001" && error.sqlstate != "40P01") throw;
            journal_.count("pages read again");
            session_.run("ROLLBACK");
        }
    }
    journal_.complain(no_error, "reader " + plan_.name + " did not reach the end of the log");
}

std::vector<Event> Reader::page() {
    if (plan_.isolation.empty()) return query();
    session_.run("BEGIN ISOLATION LEVEL " + plan_.isolation);
    // Fixes the transaction's snapshot; the page comes after others have gone on.
    session_.run("SELECT count(*) FROM chaos_notes WHERE false");
    rest(Millis(dice_.between(0, 20)));
    std::vector<Event> events = query();
    session_.run("COMMIT");
    return events;
}

std::vector<Event> Reader::query() {
    const std::string columns = event_columns, cursor = std::to_string(cursor_), batch = std::to_string(plan_.batch);
    const std::optional<std::string> category = plan_.category.empty() ? std::nullopt : std::optional(plan_.category);
    const Rows rows =
        plan_.naive
            ? session_.run("SELECT " + columns + " FROM es_events WHERE position > $1 ORDER BY position LIMIT $2",
                           {cursor, batch})
            : session_.run("SELECT " + columns + " FROM es_read_after($1, $2, $3)", {cursor, batch, category});
    std::vector<Event> events;
    for (int row = 0; row < rows.size(); ++row) events.push_back(event_at(rows, row));
    return events;
}

void Reader::take(const std::vector<Event>& events) {
    const auto now = Clock::now();
    if (last_event_ && !finish_.writers_done)
        longest_wait_ = std::max(longest_wait_, std::chrono::duration_cast<Millis>(now - *last_event_));
    last_event_ = now;
    ++pages_;
    for (const Event& event : events) {
        std::int64_t& version = versions_[event.stream];
        if (event.version != version + 1) ++out_of_order_;
        version = event.version;
        seen_.push_back({event.position, digest_of(event)});
        chain_.add(seen_.back().digest);
        accounts_.take(event);
    }
    cursor_ = events.back().position;
}

}  // namespace chaos
