// Handlers of projections: functions of users that fold events into tables.
#pragma once

#include "log_scan.h"
#include "upcasting.h"
#include "user_function.h"

namespace tidemark {

// A handler as it was registered. Its function is found by name each time, for it may have been replaced.
struct Handler {
    const char* projection;
    const char* name;  // of the function, qualified
    const char* function_owner;
    bool takes_batch;  // an array of events, or one at a time
    const char* owner;
    const char *search_path, *time_zone;
};

// How far a handler has come, also where it has failed.
struct Handled {
    int64 count = 0;     // events that it was shown, with the one at which it failed
    int64 position = 0;  // of the last of them
    bool begun = false;  // the function is there and may be called
};

// Calls a handler for the events that it is shown, upcast, under the active snapshot. An error of the handler passes
// through, with a line of context. Looks the function up at the first event: throws 42883 where it is gone, 42704
// where its owner is, 42501 where that may not call it.
class HandlerCalls : public EventVisitor {
  public:
    // `most`: of events that it is to be shown.
    HandlerCalls(const LogTables& log, const Handler& handler, Relation events, Handled& handled,
                 int64 most = PG_INT64_MAX);
    bool visit(TupleTableSlot* event) override;
    // Calls for what is not handed over yet, under the active snapshot.
    void flush();
    // The same; to be called when all is shown, unless by an error.
    void finish();

  private:
    void begin();
    void add_to_batch(TupleTableSlot* event);
    void call_for_batch();
    void call(Datum argument);
    static void describe(void* calls);

    const Handler& handler;
    Handled& handled;
    const int64 most;
    const Oid event_type;
    Upcasting upcasting;
    FmgrInfo function;
    MemoryContext memory;  // of one call
    ErrorContextCallback context;
    RegistrantScope scope;
    Datum* batch;
    int in_batch = 0;
    Size bytes = 0;
};

}  // namespace tidemark
