#include "handler.h"

#include "guard.h"

extern "C" {
#include "access/htup_details.h"
#include "pgstat.h"
#include "utils/array.h"
}

namespace tidemark {

namespace {

// A batch handler is given no more at a time: of events, and of their bytes.
constexpr int LARGEST_BATCH = 1000;
constexpr Size FULL_BATCH = 16 * 1024 * 1024;

// The row as a value of the table's type: also where it is older than the newest column, which has its default then.
Datum as_value(TupleTableSlot* event) {
    bool is_copy;
    HeapTuple row = ExecFetchSlotHeapTuple(event, false, &is_copy);
    const TupleDesc columns = event->tts_tupleDescriptor;
    if (HeapTupleHeaderGetNatts(row->t_data) == columns->natts) return heap_copy_tuple_as_datum(row, columns);
    slot_getallattrs(event);
    return heap_copy_tuple_as_datum(heap_form_tuple(columns, event->tts_values, event->tts_isnull), columns);
}

// Looked up with the owner's rights.
Oid function_of(const Handler& handler, Oid event_type, Oid owner) {
    const Oid argument = handler.takes_batch ? get_array_type(event_type) : event_type;
    const Oid function = function_of_name(handler.name, argument);
    if (!OidIsValid(function)) {
        const char* signature = psprintf("%s(%s)", handler.name, format_type_be(argument));
        throw sql_error(ERRCODE_UNDEFINED_FUNCTION, "a projection's handler is missing",
                        std::string("Projection ") + quoted(handler.projection) + " calls " + signature + ".",
                        "Create the function again, or drop the projection with es_drop_projection().");
    }
    check_may_call(function, owner);
    check_is_trusted(function, handler.function_owner, owner);
    return function;
}

}  // namespace

HandlerCalls::HandlerCalls(const LogTables& log, const Handler& handler, Relation events, Handled& handled, int64 most)
    : handler(handler), handled(handled), most(most), event_type(events->rd_rel->reltype), upcasting(log, events) {}

void HandlerCalls::begin() {
    context = {error_context_stack, describe, this};
    error_context_stack = &context;
    const Oid owner = registrant(handler.owner, "a projection's handler");
    scope.begin(owner, handler.search_path);
    scope.set("TimeZone", handler.time_zone);
    const Oid oid = function_of(handler, event_type, owner);
    memory = AllocSetContextCreate(CurrentMemoryContext, "a call of a handler", ALLOCSET_DEFAULT_SIZES);
    batch = handler.takes_batch ? static_cast<Datum*>(palloc(LARGEST_BATCH * sizeof(Datum))) : nullptr;
    fmgr_info(oid, &function);
    handled.begun = true;
}

bool HandlerCalls::visit(TupleTableSlot* stored) {
    handled.position = DatumGetInt64(event_value(stored, POSITION));
    handled.count++;
    if (!handled.begun) begin();
    TupleTableSlot* event = upcasting.upcast(stored);
    const MemoryContext caller = MemoryContextSwitchTo(memory);
    if (handler.takes_batch) {
        add_to_batch(event);
    } else {
        call(as_value(event));
        MemoryContextReset(memory);
    }
    MemoryContextSwitchTo(caller);
    return handled.count < most;
}

void HandlerCalls::flush() {
    if (in_batch > 0) call_for_batch();
}

void HandlerCalls::finish() {
    if (!handled.begun) return;
    flush();
    scope.end();
    error_context_stack = context.previous;
    MemoryContextDelete(memory);
}

void HandlerCalls::add_to_batch(TupleTableSlot* event) {
    const Datum value = as_value(event);
    bytes += HeapTupleHeaderGetDatumLength(DatumGetHeapTupleHeader(value));
    batch[in_batch++] = value;
    if (in_batch == LARGEST_BATCH || bytes >= FULL_BATCH) call_for_batch();
}

void HandlerCalls::call_for_batch() {
    const MemoryContext caller = MemoryContextSwitchTo(memory);
    const int count = in_batch;
    in_batch = 0;
    bytes = 0;
    call(PointerGetDatum(construct_array(batch, count, event_type, -1, false, TYPALIGN_DOUBLE)));
    MemoryContextReset(memory);
    MemoryContextSwitchTo(caller);
}

void HandlerCalls::call(Datum argument) {
    LOCAL_FCINFO(fcinfo, 1);
    PgStat_FunctionCallUsage usage;
    InitFunctionCallInfoData(*fcinfo, &function, 1, InvalidOid, nullptr, nullptr);
    fcinfo->args[0] = {argument, false};
    pgstat_init_function_usage(fcinfo, &usage);
    FunctionCallInvoke(fcinfo);
    pgstat_end_function_usage(&usage, true);
}

// The stream and type would be of use too, but the error may be one of memory.
void HandlerCalls::describe(void* calls) {
    const auto* its = static_cast<const HandlerCalls*>(calls);
    errcontext("projection \"%s\", %s " INT64_FORMAT, its->handler.projection,
               its->handler.takes_batch ? "events up to position" : "event at position", its->handled.position);
}

}  // namespace tidemark
