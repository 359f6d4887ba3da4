#include "event_writer.h"

#include "event_scan.h"
#include "guard.h"
#include "uuid7.h"
#include "validate.h"

extern "C" {
#include "commands/trigger.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

// Rows are put into the table together, up to so many or until they hold so many bytes: one WAL record a page, rather
// than one a row.
constexpr int MOST_ROWS = 100;
constexpr Size ENOUGH_BYTES = 65536;

// A trigger may enrich an event or raise an error. An event that silently vanished, or went elsewhere, would leave a
// hole in its stream that the caller was told is filled.
sql_error displaced(const char* detail) {
    return {ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION, "a trigger on es_events displaced an event", detail,
            "Let the trigger raise an error to refuse the append."};
}

// One INSERT's worth of executor state, for as many rows as the call has. Everything it allocates goes with the state.
class EventWriter {
  public:
    EventWriter(Relation relation, const Append& append);
    void write(const NewEvent& event, int64 version, int64 position);
    void finish();

    Datum stream_id, category;

  private:
    TupleTableSlot* fill(const NewEvent& event, int64 version, int64 position);
    void find_defaults();
    void evaluate_defaults(TupleTableSlot* slot);
    void check_kept(TupleTableSlot* slot, int64 version, int64 position);
    void check_constraints(TupleTableSlot* slot);
    void insert();

    EState* const estate;
    ResultRelInfo* const target;
    Jsonb* const common_metadata;
    const TimestampTz recorded_at;
    ExprState** defaults;  // by column, for those that a user added; null where none has one
    bool has_before_triggers;
    TupleTableSlot* rows[MOST_ROWS];  // those filled and not inserted come first, then ones to be used again
    int row_count, slot_count;
    Size bytes;  // of the filled ones, about
};

EventWriter::EventWriter(Relation relation, const Append& append)
    : estate(CreateExecutorState()),
      target(makeNode(ResultRelInfo)),
      common_metadata(append.common_metadata),
      recorded_at(GetCurrentTimestamp()),
      defaults(nullptr),
      row_count(0),
      slot_count(0),
      bytes(0) {
    compat::init_range_table(estate, relation);
    InitResultRelInfo(target, relation, 1, nullptr, 0);
    has_before_triggers = target->ri_TrigDesc != nullptr && target->ri_TrigDesc->trig_insert_before_row;
    ExecOpenIndices(target, false);
    AfterTriggerBeginQuery();
    if (RelationGetDescr(relation)->natts > METADATA) find_defaults();
}

// A domain may refuse null. Null where the column's type is none.
Node* null_of_domain(Form_pg_attribute column) {
    const Oid base = getBaseType(column->atttypid);
    if (base == column->atttypid) return nullptr;
    Const* null = makeConst(base, -1, column->attcollation, column->attlen, Datum(0), true, column->attbyval);
    return coerce_to_domain(reinterpret_cast<Node*>(null), InvalidOid, -1, column->atttypid, COERCION_IMPLICIT,
                            COERCE_IMPLICIT_CAST, -1, false);
}

void EventWriter::find_defaults() {
    const TupleDesc descriptor = RelationGetDescr(target->ri_RelationDesc);
    const MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);
    for (int i = METADATA; i < descriptor->natts; i++) {
        const Form_pg_attribute column = TupleDescAttr(descriptor, i);
        if (column->attisdropped || column->attgenerated) continue;
        Node* expression = build_column_default(target->ri_RelationDesc, i + 1);
        if (expression == nullptr) expression = null_of_domain(column);
        if (expression == nullptr) continue;
        if (defaults == nullptr) defaults = static_cast<ExprState**>(palloc0(descriptor->natts * sizeof(ExprState*)));
        defaults[i] = ExecPrepareExpr(reinterpret_cast<Expr*>(expression), estate);
    }
    MemoryContextSwitchTo(caller);
}

void EventWriter::evaluate_defaults(TupleTableSlot* slot) {
    const int columns = slot->tts_tupleDescriptor->natts;
    for (int i = METADATA; i < columns; i++)
        if (defaults[i] != nullptr)
            slot->tts_values[i] = ExecEvalExpr(defaults[i], GetPerTupleExprContext(estate), &slot->tts_isnull[i]);
}

TupleTableSlot* EventWriter::fill(const NewEvent& event, int64 version, int64 position) {
    auto* id = static_cast<pg_uuid_t*>(palloc(sizeof(pg_uuid_t)));
    *id = event.has_id ? event.id : new_uuid7();

    TupleTableSlot* slot = rows[row_count];
    ExecClearTuple(slot);
    ItemPointerSetInvalid(&slot->tts_tid);
    const auto set = [&](EventColumn column, Datum value) {
        slot->tts_values[column - 1] = value;
        slot->tts_isnull[column - 1] = false;
    };
    std::fill_n(slot->tts_isnull, slot->tts_tupleDescriptor->natts, true);
    set(POSITION, Int64GetDatum(position));
    set(VERSION, Int64GetDatum(version));
    set(RECORDED_AT, TimestampTzGetDatum(recorded_at));
    set(EVENT_ID, UUIDPGetDatum(id));
    set(SCHEMA_VERSION, Int32GetDatum(event.schema_version));
    set(STREAM_ID, stream_id);
    set(CATEGORY, category);
    set(EVENT_TYPE, PointerGetDatum(make_text(event.type)));
    set(DATA, JsonbPGetDatum(event.data.stored()));
    Datum metadata = JsonbPGetDatum(event.metadata.stored());
    if (common_metadata != nullptr)
        metadata = DirectFunctionCall2(jsonb_concat, metadata, JsonbPGetDatum(common_metadata));
    set(METADATA, metadata);
    if (defaults != nullptr) evaluate_defaults(slot);
    bytes += VARSIZE(DatumGetPointer(slot->tts_values[DATA - 1])) + VARSIZE(DatumGetPointer(metadata));
    return ExecStoreVirtualTuple(slot);
}

void EventWriter::write(const NewEvent& event, int64 version, int64 position) {
    if (row_count == slot_count) {
        MemoryContextSwitchTo(estate->es_query_cxt);
        rows[slot_count++] = table_slot_create(target->ri_RelationDesc, &estate->es_tupleTable);
    }
    MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
    TupleTableSlot* slot = fill(event, version, position);
    MemoryContextSwitchTo(estate->es_query_cxt);
    if (has_before_triggers && !ExecBRInsertTriggers(estate, target, slot))
        throw displaced("The trigger returned null, which would leave a hole in the stream.");
    check_constraints(slot);
    if (has_before_triggers) check_kept(slot, version, position);
    row_count++;
    // A trigger may look for the events that come before its own.
    if (has_before_triggers || row_count == MOST_ROWS || bytes >= ENOUGH_BYTES) insert();
}

void EventWriter::check_constraints(TupleTableSlot* slot) {
    Relation relation = target->ri_RelationDesc;
    const TupleConstr* constraints = RelationGetDescr(relation)->constr;
    if (constraints != nullptr) {
        if (constraints->has_generated_stored) ExecComputeStoredGenerated(target, estate, slot, CMD_INSERT);
        ExecConstraints(target, slot, estate);
    }
    if (relation->rd_rel->relispartition) ExecPartitionCheck(target, slot, estate, true);
}

void EventWriter::insert() {
    if (row_count == 0) return;
    Relation relation = target->ri_RelationDesc;
    // What that leaves in memory goes with the rows' own.
    const MemoryContext caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
    if (row_count == 1)
        simple_table_tuple_insert(relation, rows[0]);
    else
        table_multi_insert(relation, rows, row_count, GetCurrentCommandId(true), 0, nullptr);
    MemoryContextSwitchTo(caller);
    for (int i = 0; i < row_count; i++) {
        List* to_recheck = compat::insert_into_indexes(target, rows[i], estate);
        ExecARInsertTriggers(estate, target, rows[i], to_recheck, nullptr);
        list_free(to_recheck);
    }
    row_count = 0;
    bytes = 0;
    ResetPerTupleExprContext(estate);
}

void EventWriter::check_kept(TupleTableSlot* slot, int64 version, int64 position) {
    if (DatumGetInt64(event_value(slot, POSITION)) != position ||
        DatumGetInt64(event_value(slot, VERSION)) != version ||
        view(DatumGetTextPP(event_value(slot, STREAM_ID))) != view(DatumGetTextPP(stream_id)) ||
        view(DatumGetTextPP(event_value(slot, CATEGORY))) != view(DatumGetTextPP(category)))
        throw displaced("The trigger changed the event's position, stream, version or category.");
    // What else it wrote must be such as an append may write.
    check_name(view(DatumGetTextPP(event_value(slot, EVENT_TYPE))), "event type");
    check_schema_version(DatumGetInt32(event_value(slot, SCHEMA_VERSION)));
    check_metadata({DatumGetJsonbP(event_value(slot, METADATA)), {}});
}

void EventWriter::finish() {
    insert();
    AfterTriggerEndQuery(estate);
    ExecCloseIndices(target);
    ExecResetTupleTable(estate->es_tupleTable, false);
    ExecCloseResultRelations(estate);
    FreeExecutorState(estate);
}

}  // namespace

void write_events(Relation events, const Append& append) {
    const MemoryContext caller = CurrentMemoryContext;
    EventWriter writer(events, append);
    for (const StreamWrite& write : append.writes) {
        MemoryContextSwitchTo(caller);
        writer.stream_id = PointerGetDatum(make_text(write.stream_id));
        writer.category = PointerGetDatum(make_text(write.category));
        int64 version = write.result.first_version, position = write.result.first_position;
        for (const NewEvent& event : write.events) {
            CHECK_FOR_INTERRUPTS();
            writer.write(event, version++, position++);
        }
    }
    MemoryContextSwitchTo(caller);
    writer.finish();
    CommandCounterIncrement();
}

}  // namespace tidemark
