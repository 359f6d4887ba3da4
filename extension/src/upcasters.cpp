// Registering upcasters and taking them back, and seeing what they make of an event.
#include "append.h"
#include "guard.h"
#include "snapshot_scope.h"
#include "state_table.h"
#include "upcasting.h"
#include "user_function.h"

extern "C" {
#include "access/stratnum.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

std::string_view event_type_argument(FunctionCallInfo fcinfo) {
    const std::string_view type = view(text_argument(fcinfo, 0, "event type"));
    check_name(type, "event type");
    return type;
}

// The function, and in *kept_name its name with the type of its argument.
Oid function_argument(FunctionCallInfo fcinfo, int number, Oid event_row_type, const char** kept_name) {
    const std::string_view given = view(text_argument(fcinfo, number, "function"));
    const UserFunction found = find_user_function(given, {JSONBOID, event_row_type}, JSONBOID, "upcaster");
    const char* name = qualified_name(found.function);
    if (func_volatile(found.function) != PROVOLATILE_IMMUTABLE)
        throw sql_error(ERRCODE_INVALID_OBJECT_DEFINITION, "an upcaster must be IMMUTABLE",
                        std::string("It is ") + name + ".",
                        "Declare it so, if it makes the same of the same event always; it must not depend on tables.");
    *kept_name = psprintf("%s%s", name, (found.argument == JSONBOID ? upcaster::OF_DATA : upcaster::OF_EVENT).data());
    return found.function;
}

// The upcasters of a type, open to be changed by this transaction alone. Every backend forgets what it knows of them
// when the transaction commits, this one at the next change.
class Chain {
  public:
    Chain(const LogTables& tables, std::string_view type)
        : type(type), table(tables.upcasters, ShareRowExclusiveLock), oid(tables.upcasters) {
        const SnapshotScope snapshot;
        const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, type)};
        table.for_each(key, [&](const StateRow& row) {
            const int32 from = row.integer(upcaster::FROM);
            if (length++ == 0) first = from;
            last = from;
        });
        snapshot.end();
    }
    void close() const { table.close(); }

    bool is_empty() const { return length == 0; }
    bool find(int32 from, StateRow* row) const {
        const SnapshotScope snapshot;
        const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, type), integer_key(2, from)};
        const bool found = table.find(key, row);
        snapshot.end();
        return found;
    }
    std::string description() const {
        if (is_empty()) return "Type " + quoted(type) + " has no upcasters.";
        return "Those of type " + quoted(type) + " lead from schema version " + std::to_string(first) + " to " +
               std::to_string(int64(last) + 1) + ".";
    }
    void insert(const StateRow& row) const {
        table.insert(row);
        table.announce_change();
    }
    void remove(const StateRow& row) const {
        table.remove(row);
        table.announce_change();
    }
    StateRow new_row() const { return table.new_row(); }

    const std::string_view type;
    int32 first = 0, last = 0;

  private:
    const StateTable table;
    const Oid oid;
    int32 length = 0;
};

int32 from_argument(FunctionCallInfo fcinfo) {
    const int32 from = schema_version_argument(fcinfo, 1);
    if (from == PG_INT32_MAX)
        throw bad_argument("from_schema_version is out of range", "It is the greatest there is.",
                           "An upcaster leads to the next schema version.");
    return from;
}

}  // namespace

// es_create_upcaster(event_type, from_schema_version, function) → whether it was made
TIDEMARK_FUNCTION(tidemark_create_upcaster) {
    return pg_call([&] {
        require_read_write("es_create_upcaster()");
        const std::string_view type = event_type_argument(fcinfo);
        const int32 from = from_argument(fcinfo);
        const LogTables& tables = log_tables(fcinfo);
        const char* name;
        const Oid function = function_argument(fcinfo, 2, get_rel_type_id(tables.events), &name);
        const Chain chain(tables, type);
        StateRow row;
        const bool exists = chain.find(from, &row);
        if (exists && row.name(upcaster::FUNCTION) != name)
            throw sql_error(ERRCODE_DUPLICATE_OBJECT, "there is another upcaster from that schema version",
                            "It is " + std::string(row.name(upcaster::FUNCTION)) + ", for type " + quoted(type) + ".",
                            "Replace the function itself, or drop the upcaster with es_drop_upcaster().");
        if (!exists) {
            if (!chain.is_empty() && from != chain.last + 1 && from != chain.first - 1)
                throw bad_argument("the upcaster does not join the others of its type", chain.description(),
                                   "Register the one in between first.");
            row = chain.new_row();
            row.set_text(upcaster::EVENT_TYPE, type);
            row.set_integer(upcaster::FROM, from);
            row.set_text(upcaster::FUNCTION, name);
            row.set_text(upcaster::FUNCTION_OWNER, function_owner_name(function));
            row.set_text(upcaster::OWNER, current_role_name());
            row.set_text(upcaster::SEARCH_PATH, search_path_to_keep());
            row.set(upcaster::CREATED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
            chain.insert(row);
        }
        chain.close();
        return BoolGetDatum(!exists);
    });
}

// es_drop_upcaster(event_type, from_schema_version) → whether there was one
TIDEMARK_FUNCTION(tidemark_drop_upcaster) {
    return pg_call([&] {
        require_read_write("es_drop_upcaster()");
        const std::string_view type = event_type_argument(fcinfo);
        const int32 from = from_argument(fcinfo);
        const Chain chain(log_tables(fcinfo), type);
        StateRow row;
        const bool exists = chain.find(from, &row);
        if (exists && from != chain.first && from != chain.last)
            throw bad_argument("the upcaster is in the midst of others", chain.description(),
                               "Drop the first or the last one of a type.");
        if (exists) chain.remove(row);
        chain.close();
        return BoolGetDatum(exists);
    });
}

// es_upcast(event_type, schema_version, data) → schema_version, data
TIDEMARK_FUNCTION(tidemark_upcast) {
    return pg_call([&] {
        const std::string_view type = event_type_argument(fcinfo);
        const int32 schema_version = schema_version_argument(fcinfo, 1);
        refuse_null(fcinfo, 2, "data", "Give any JSON value.");
        const LogTables& tables = log_tables(fcinfo);
        Relation events = table_open(tables.events, AccessShareLock);

        TupleTableSlot* event = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(events)), &TTSOpsVirtual);
        ExecStoreAllNullTuple(event);
        const auto set = [&](EventColumn column, Datum value) {
            event->tts_values[column - 1] = value;
            event->tts_isnull[column - 1] = false;
        };
        set(EVENT_TYPE, PointerGetDatum(make_text(type)));
        set(SCHEMA_VERSION, Int32GetDatum(schema_version));
        set(DATA, PG_GETARG_DATUM(2));
        set(METADATA, JsonbPGetDatum(empty_object()));

        Upcasting upcasting(tables, events);
        TupleTableSlot* seen = upcasting.upcast(event);
        TupleDesc columns;
        get_call_result_type(fcinfo, nullptr, &columns);
        Datum values[] = {event_value(seen, SCHEMA_VERSION), event_value(seen, DATA)};
        bool nulls[] = {false, false};
        const Datum row = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
        table_close(events, NoLock);
        return row;
    });
}

}  // namespace tidemark
