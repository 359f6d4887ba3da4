#include "upcasting.h"

#include "guard.h"
#include "log_cache.h"
#include "state_table.h"
#include "user_function.h"

#include <algorithm>

extern "C" {
#include "access/htup_details.h"
#include "utils/guc.h"
}

namespace tidemark {

bool upcast_when_read = true;

void define_upcasting_settings() {
    DefineCustomBoolVariable(
        "tidemark.upcast", "Whether events are read with data of the newest schema version of their type.",
        "Off, they are read as they are stored.", &upcast_when_read, true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
}

namespace {

// Of this moment: a snapshot of the transaction's would not do for those that come after it, nor can a parallel worker
// take another one than the catalog's.
std::span<const Upcaster> read_upcasters(Oid table_oid) {
    const StateTable table(table_oid, AccessShareLock);
    PushActiveSnapshot(GetCatalogSnapshot(table_oid));
    List* rows = NIL;
    table.for_each({}, [&](const StateRow& row) {
        auto* upcaster = static_cast<Upcaster*>(palloc(sizeof(Upcaster)));
        *upcaster = {row.name(upcaster::EVENT_TYPE),
                     row.integer(upcaster::FROM),
                     row.name(upcaster::FUNCTION),
                     TextDatumGetCString(row.value(upcaster::FUNCTION_OWNER).value),
                     TextDatumGetCString(row.value(upcaster::OWNER).value),
                     TextDatumGetCString(row.value(upcaster::SEARCH_PATH).value)};
        rows = lappend(rows, upcaster);
    });
    PopActiveSnapshot();
    table.close_and_unlock();
    auto* upcasters = static_cast<Upcaster*>(palloc((list_length(rows) + 1) * sizeof(Upcaster)));
    ListCell* cell;
    foreach (cell, rows) upcasters[foreach_current_index(cell)] = *static_cast<Upcaster*>(lfirst(cell));
    return {upcasters, static_cast<size_t>(list_length(rows))};
}

std::span<const Upcaster> registered_upcasters(Oid table) {
    static LogCache<std::span<const Upcaster>> cache;
    return cache.get([&] { return read_upcasters(table); });
}

// Errors that are not the function's doing, and may be gone when the call is repeated: cancelled, shut down, out of
// resources, to be retried.
bool is_passed_on(int sqlstate) {
    const int category = ERRCODE_TO_CATEGORY(sqlstate);
    return category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES ||
           category == ERRCODE_TRANSACTION_ROLLBACK;
}

}  // namespace

// A step's function, looked up once a call.
struct Upcasting::Callable {
    bool is_ready;
    Oid argument;
    FmgrInfo function;
};

Upcasting::Upcasting(const LogTables& tables, Relation events)
    : table(tables.upcasters), events(events), memory(CurrentMemoryContext) {}

void Upcasting::begin() {
    begun = true;
    upcasters = registered_upcasters(table);
    idle = upcasters.empty();
    if (!idle) of_one_event = AllocSetContextCreate(memory, "upcast event", ALLOCSET_DEFAULT_SIZES);
}

TupleTableSlot* Upcasting::upcast_if_old(TupleTableSlot* event) {
    if (!begun) begin();
    if (idle) return event;
    MemoryContextReset(of_one_event);
    const MemoryContext caller = MemoryContextSwitchTo(of_one_event);
    const auto chain = std::ranges::equal_range(upcasters, view(DatumGetTextPP(event_value(event, EVENT_TYPE))), {},
                                                &Upcaster::event_type);
    const int32 schema_version = DatumGetInt32(event_value(event, SCHEMA_VERSION));
    TupleTableSlot* seen = event;
    if (!chain.empty() && schema_version <= chain.back().from)
        seen = run({chain.begin(), chain.end()}, event, schema_version);
    MemoryContextSwitchTo(caller);
    return seen;
}

TupleTableSlot* Upcasting::run(std::span<const Upcaster> chain, TupleTableSlot* event, int32 schema_version) {
    start_with(event);
    const Upcaster* const end = chain.data() + chain.size();
    const Upcaster* step = std::find_if(chain.data(), end, [&](const Upcaster& u) { return u.from == schema_version; });
    if (step == end) fail(psprintf("No upcaster is registered from schema version %d.", schema_version));
    ErrorData* error = nullptr;
    try {
        pg_call([&] {
            while (step != end) step = run_by_one_registrant(step, end);
        });
    } catch (const pg_error& failure) {
        if (is_passed_on(failure.sqlstate())) throw;
        error = failure.data;
    }
    if (error != nullptr) fail(error->message);
    return result;
}

void Upcasting::start_with(TupleTableSlot* event) {
    if (result == nullptr) {
        const MemoryContext caller = MemoryContextSwitchTo(memory);
        // Nothing has to release a copy of the description.
        result = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(events)), &TTSOpsVirtual);
        callables = static_cast<Callable*>(palloc0(upcasters.size() * sizeof(Callable)));
        MemoryContextSwitchTo(caller);
    }
    stored = event;
    current = nullptr;
    const int columns = result->tts_tupleDescriptor->natts;
    slot_getallattrs(event);
    ExecClearTuple(result);
    std::copy_n(event->tts_values, columns, result->tts_values);
    std::copy_n(event->tts_isnull, columns, result->tts_isnull);
    ExecStoreVirtualTuple(result);
}

// Runs as many steps as were registered by one role with one search_path, and returns the step after those.
const Upcaster* Upcasting::run_by_one_registrant(const Upcaster* step, const Upcaster* end) {
    const Upcaster* const first = current = step;
    const Oid role = get_role_oid(first->owner, true);
    if (!OidIsValid(role)) fail(psprintf("role \"%s\", which registered it, does not exist any more", first->owner));
    RegistrantScope scope;
    scope.begin(role, first->search_path);
    do run_step(*step++, role);
    while (step != end && strcmp(step->owner, first->owner) == 0 && strcmp(step->search_path, first->search_path) == 0);
    scope.end();
    return step;
}

void Upcasting::run_step(const Upcaster& step, Oid role) {
    current = &step;
    if (DatumGetInt32(result->tts_values[SCHEMA_VERSION - 1]) != step.from) fail("none is registered before it");
    Callable& callable = this->callable(step, role);
    LOCAL_FCINFO(call, 1);
    InitFunctionCallInfoData(*call, &callable.function, 1, InvalidOid, nullptr, nullptr);
    call->args[0].isnull = false;
    call->args[0].value =
        callable.argument == JSONBOID ? result->tts_values[DATA - 1] : ExecFetchSlotHeapTupleDatum(result);
    const Datum data = FunctionCallInvoke(call);
    if (call->isnull) fail("it has returned null");
    result->tts_values[DATA - 1] = data;
    result->tts_values[SCHEMA_VERSION - 1] = Int32GetDatum(step.from + 1);
}

// As the registrant, who needs rights on the function's schema as well.
Upcasting::Callable& Upcasting::callable(const Upcaster& step, Oid role) {
    Callable& found = callables[&step - upcasters.data()];
    if (found.is_ready) return found;
    const bool of_data = step.function.ends_with(upcaster::OF_DATA);
    const size_t ending = (of_data ? upcaster::OF_DATA : upcaster::OF_EVENT).size();
    found.argument = of_data ? JSONBOID : events->rd_rel->reltype;
    const Oid function =
        function_of_name(pnstrdup(step.function.data(), step.function.size() - ending), found.argument);
    if (!OidIsValid(function)) fail("there is no such function any more");
    if (get_func_rettype(function) != JSONBOID || get_func_retset(function) ||
        get_func_prokind(function) != PROKIND_FUNCTION || func_volatile(function) != PROVOLATILE_IMMUTABLE)
        fail("it is no IMMUTABLE function returning jsonb any more");
    if (!compat::may_execute(function, role))
        fail(psprintf("role \"%s\", which registered it, may not call it", step.owner));
    if (!is_trusted(function, step.function_owner, role))
        fail(psprintf("it is owned by \"%s\" now, and \"%s\" owned it when it was registered",
                      function_owner_name(function), step.function_owner));
    fmgr_info_cxt(function, &found.function, memory);
    found.is_ready = true;
    return found;
}

void Upcasting::fail(const char* problem) const {
    const char* where = "";
    bool is_null;
    const int64 position = DatumGetInt64(slot_getattr(stored, POSITION, &is_null));
    if (!is_null)
        where = psprintf("version " INT64_FORMAT " of stream \"%s\", at position " INT64_FORMAT ", and ",
                         DatumGetInt64(event_value(stored, VERSION)),
                         TextDatumGetCString(event_value(stored, STREAM_ID)), position);
    if (current != nullptr)
        problem = psprintf("Upcaster %.*s, from schema version %d: %s.", static_cast<int>(current->function.size()),
                           current->function.data(), current->from, problem);
    const char* detail = psprintf("It is %sof type \"%s\" and schema version %d. %s", where,
                                  TextDatumGetCString(event_value(stored, EVENT_TYPE)),
                                  DatumGetInt32(event_value(stored, SCHEMA_VERSION)), problem);
    throw sql_error(UPCAST_IMPOSSIBLE, "an event cannot be upcast", detail,
                    "Mend the upcasters of its type; with tidemark.upcast = off events are read as they are stored.");
}

}  // namespace tidemark
