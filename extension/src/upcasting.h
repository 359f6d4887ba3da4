// Events as readers are to see them: with data of the newest schema version of their type, brought there step by step
// by the functions in es_upcasters. All of it runs inside pg_call; nothing here has a destructor.
#pragma once

#include "log_tables.h"

#include <span>
#include <string_view>

namespace tidemark {

namespace upcaster {
enum Column : AttrNumber { EVENT_TYPE = 1, FROM, FUNCTION, FUNCTION_OWNER, OWNER, SEARCH_PATH, CREATED_AT };
// How the name of a function ends that gets the data alone, or the whole event.
constexpr std::string_view OF_DATA = "(jsonb)", OF_EVENT = "(es_events)";
}  // namespace upcaster

// A row of es_upcasters.
struct Upcaster {
    std::string_view event_type;
    int32 from;  // turns data of this schema version into that of the next
    std::string_view function;
    const char *function_owner, *owner, *search_path;
};

// The setting tidemark.upcast, which is for the functions that read: whoever projects events upcasts them anyway.
extern bool upcast_when_read;
void define_upcasting_settings();

class Upcasting {
  public:
    // Of rows of es_events, which stays open. What is allocated goes with the current memory context. All events are
    // brought to what is registered when the first of them comes, however long that takes.
    Upcasting(const LogTables& tables, Relation events);

    // The event as readers are to see it, good until the next call and as long as `event`; that itself where nothing is
    // to be done. Throws TM007 where it cannot be done.
    TupleTableSlot* upcast(TupleTableSlot* event) { return idle ? event : upcast_if_old(event); }

  private:
    struct Callable;

    void begin();
    TupleTableSlot* upcast_if_old(TupleTableSlot* event);
    TupleTableSlot* run(std::span<const Upcaster> chain, TupleTableSlot* event, int32 schema_version);
    void start_with(TupleTableSlot* event);
    const Upcaster* run_by_one_registrant(const Upcaster* step, const Upcaster* end);
    void run_step(const Upcaster& step, Oid role);
    Callable& callable(const Upcaster& step, Oid role);
    [[noreturn]] void fail(const char* problem) const;

    const Oid table;
    const Relation events;
    const MemoryContext memory;
    MemoryContext of_one_event = nullptr;
    bool begun = false, idle = false;
    std::span<const Upcaster> upcasters;  // all, in the order of the primary key
    Callable* callables = nullptr;        // likewise

    // Of the event that is being upcast:
    TupleTableSlot* stored = nullptr;
    TupleTableSlot* result = nullptr;   // what it has become so far
    const Upcaster* current = nullptr;  // null: none of them is at fault
};

}  // namespace tidemark
