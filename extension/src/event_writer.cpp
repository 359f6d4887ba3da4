#include "event_writer.h"

#include "event_scan.h"
#include "guard.h"
#include "uuid7.h"
#include "validate.h"

extern "C" {
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

// One INSERT's worth of executor state, for as many rows as the call has. Everything it allocates goes with the state.
class EventWriter {
  public:
    EventWriter(Relation relation, Jsonb* common_metadata);
    void write(const NewEvent& event, int64 version, int64 position);
    void finish();

    Datum stream_id, category;

  private:
    void fill(const NewEvent& event, int64 version, int64 position);
    void find_defaults();
    void evaluate_defaults();
    void check_kept(int64 version, int64 position);

    EState* const estate;
    ResultRelInfo* const target;
    TupleTableSlot* const slot;
    Jsonb* const common_metadata;
    const TimestampTz recorded_at;
    ExprState** defaults;  // by column, for those that a user added; null where none has one
};

EventWriter::EventWriter(Relation relation, Jsonb* metadata_of_all)
    : estate(CreateExecutorState()),
      target(makeNode(ResultRelInfo)),
      slot(table_slot_create(relation, &estate->es_tupleTable)),
      common_metadata(metadata_of_all),
      recorded_at(GetCurrentTimestamp()),
      defaults(nullptr) {
    compat::init_range_table(estate, relation);
    InitResultRelInfo(target, relation, 1, nullptr, 0);
    estate->es_output_cid = GetCurrentCommandId(true);
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

void EventWriter::evaluate_defaults() {
    const int columns = slot->tts_tupleDescriptor->natts;
    for (int i = METADATA; i < columns; i++)
        if (defaults[i] != nullptr)
            slot->tts_values[i] = ExecEvalExpr(defaults[i], GetPerTupleExprContext(estate), &slot->tts_isnull[i]);
}

void EventWriter::fill(const NewEvent& event, int64 version, int64 position) {
    auto* id = static_cast<pg_uuid_t*>(palloc(sizeof(pg_uuid_t)));
    *id = event.has_id ? event.id : new_uuid7();

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
    if (defaults != nullptr) evaluate_defaults();
    ExecStoreVirtualTuple(slot);
}

void EventWriter::write(const NewEvent& event, int64 version, int64 position) {
    ResetPerTupleExprContext(estate);
    MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
    fill(event, version, position);
    MemoryContextSwitchTo(estate->es_query_cxt);
    ExecSimpleRelationInsert(target, estate, slot);
    if (target->ri_TrigDesc != nullptr && target->ri_TrigDesc->trig_insert_before_row) check_kept(version, position);
}

// A trigger may enrich an event or raise an error. An event that silently vanished, or went elsewhere, would leave a
// hole in its stream that the caller was told is filled.
void EventWriter::check_kept(int64 version, int64 position) {
    const char* problem = nullptr;
    if (!ItemPointerIsValid(&slot->tts_tid))
        problem = "The trigger returned null, which would leave a hole in the stream.";
    else if (DatumGetInt64(event_value(slot, POSITION)) != position ||
             DatumGetInt64(event_value(slot, VERSION)) != version ||
             view(DatumGetTextPP(event_value(slot, STREAM_ID))) != view(DatumGetTextPP(stream_id)) ||
             view(DatumGetTextPP(event_value(slot, CATEGORY))) != view(DatumGetTextPP(category)))
        problem = "The trigger changed the event's position, stream, version or category.";
    if (problem != nullptr)
        throw sql_error(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION, "a trigger on es_events displaced an event", problem,
                        "Let the trigger raise an error to refuse the append.");
    // What else it wrote must be such as an append may write.
    check_name(view(DatumGetTextPP(event_value(slot, EVENT_TYPE))), "event type");
    check_schema_version(DatumGetInt32(event_value(slot, SCHEMA_VERSION)));
    check_metadata({DatumGetJsonbP(event_value(slot, METADATA)), {}});
}

void EventWriter::finish() {
    AfterTriggerEndQuery(estate);
    ExecCloseIndices(target);
    ExecResetTupleTable(estate->es_tupleTable, false);
    ExecCloseResultRelations(estate);
    FreeExecutorState(estate);
}

}  // namespace

void write_events(Relation events, const Append& append) {
    const MemoryContext caller = CurrentMemoryContext;
    EventWriter writer(events, append.common_metadata);
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
