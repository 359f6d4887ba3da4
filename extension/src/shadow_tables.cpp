#include "shadow_tables.h"

#include "errors.h"
#include "validate.h"

#include <algorithm>

extern "C" {
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
}

namespace tidemark {

namespace {

void execute(const char* statement) {
    const int result = SPI_execute(statement, false, 0);
    if (result < 0)
        throw sql_error(ERRCODE_INTERNAL_ERROR, "a statement of a rebuild has failed", SPI_result_code_string(result));
}

void append_listed(StringInfo list, const char* separator, const char* item) {
    appendStringInfo(list, "%s%s", list->len > 0 ? separator : "", item);
}

bool has_other_unique_index(Relation relation) {
    ListCell* cell;
    foreach (cell, RelationGetIndexList(relation)) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        const Form_pg_index form = index->rd_index;
        const bool is_other = (form->indisunique || form->indisexclusion) && !form->indisprimary;
        index_close(index, AccessShareLock);
        if (is_other) return true;
    }
    return false;
}

bool is_referred_to(Relation relation) {
    const TriggerDesc* triggers = relation->trigdesc;
    return triggers != nullptr &&
           std::any_of(triggers->triggers, triggers->triggers + triggers->numtriggers,
                       [](const Trigger& trigger) { return RI_FKey_trigger_type(trigger.tgfoid) == RI_TRIGGER_PK; });
}

// Whether the running transaction has taken a lock on the table as those do who write to it, or change it.
bool has_written_to(Oid table) {
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
    for (LOCKMODE mode = RowExclusiveLock; mode <= AccessExclusiveLock; mode++)
        if (compat::holds_lock(tag, mode)) return true;
    return false;
}

// What else is in the session's temporary schema would come before the tables that the handler means.
void refuse_temporary_objects() {
    const int result = SPI_execute(
        "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) "
        "pg_catalog.pg_my_temp_schema()"
        " UNION ALL "
        "SELECT typname FROM pg_catalog.pg_type WHERE typnamespace OPERATOR(pg_catalog.=) "
        "pg_catalog.pg_my_temp_schema()",
        true, 1);
    if (result == SPI_OK_SELECT && SPI_processed == 0) return;
    const char* name = SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : "";
    throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the session has temporary objects",
                    "One is named " + quoted(name) + "; the handler could take them for its tables.",
                    "DISCARD TEMP, or call it in another session.");
}

const char* or_null(const StringInfoData& list) { return list.len > 0 ? list.data : nullptr; }

}  // namespace

ShadowTables::ShadowTables(Datum names) : tables(find(names)) {}

std::span<const ShadowTables::Table> ShadowTables::find(Datum names) {
    const auto listed = text_array(names, "tables");
    auto* all = static_cast<Table*>(palloc((listed.size() + 1) * sizeof(Table)));
    for (size_t i = 0; i < listed.size(); i++) all[i] = describe(pnstrdup(listed[i].data(), listed[i].size()));
    return {all, listed.size()};
}

ShadowTables::Table ShadowTables::describe(const char* name) {
    const RangeVar* range = makeRangeVarFromNameList(compat::qualified_name_list(name));
    const Oid oid = RangeVarGetRelid(range, AccessShareLock, false);
    Relation relation = table_open(oid, NoLock);
    StringInfoData inserted, updated, same_key;
    initStringInfo(&inserted);
    initStringInfo(&updated);
    initStringInfo(&same_key);
    const char* identity = nullptr;
    bool has_unchangeable = false;
    Bitmapset* primary_key = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
    const TupleDesc descriptor = RelationGetDescr(relation);
    for (int i = 0; i < descriptor->natts; i++) {
        const Form_pg_attribute column = TupleDescAttr(descriptor, i);
        if (column->attisdropped || column->attgenerated) continue;
        const char* column_name = quote_identifier(NameStr(column->attname));
        append_listed(&inserted, ", ", column_name);
        const bool is_key = bms_is_member(column->attnum - FirstLowInvalidHeapAttributeNumber, primary_key);
        if (is_key) append_listed(&same_key, " AND ", psprintf("old_row.%s = new_row.%s", column_name, column_name));
        // Keys may be equal and yet not the same, as 1.0 and 1.00.
        if (column->attidentity != ATTRIBUTE_IDENTITY_ALWAYS) append_listed(&updated, ", ", column_name);
        has_unchangeable = has_unchangeable || (!is_key && column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS);
        if (column->attidentity) identity = pstrdup(NameStr(column->attname));
    }
    const char* copy = quote_qualified_identifier("pg_temp", RelationGetRelationName(relation));
    // Rows may exchange a unique value, which updating them one by one would stumble over. Where other tables refer to
    // rows, these must stay.
    const bool is_referred = is_referred_to(relation);
    const bool replaces_rows = (has_unchangeable || has_other_unique_index(relation)) && !is_referred;
    const bool has_triggers = relation->trigdesc != nullptr && (relation->trigdesc->trig_insert_before_row ||
                                                                relation->trigdesc->trig_update_before_row);
    table_close(relation, NoLock);
    if (has_triggers)
        throw sql_error(
            ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "a trigger makes rows what they are",
            std::string("Table ") + name + " has a trigger BEFORE INSERT or UPDATE, which its copy has not.",
            "Let the handler do what the trigger does, or make the column a generated one.");
    if (is_referred && same_key.len == 0)
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "rows cannot be told apart that others refer to",
                        std::string("Table ") + name + " has no primary key, and a foreign key refers to it.",
                        "Give it a primary key.");
    return {oid, name, copy, inserted.data, or_null(updated), replaces_rows, or_null(same_key), identity};
}

void ShadowTables::create() const {
    refuse_temporary_objects();
    for (const Table& table : tables)
        execute(psprintf("CREATE TEMPORARY TABLE %s (LIKE %s INCLUDING ALL)", table.copy, table.name));
}

void ShadowTables::drop() const {
    for (const Table& table : tables) execute(psprintf("DROP TABLE IF EXISTS %s", table.copy));
}

void ShadowTables::check_untouched() const {
    for (const Table& table : tables)
        if (has_written_to(table.oid))
            throw sql_error(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the handler writes to the real table",
                std::string("It is ") + table.name + ", of which the rebuild fills a copy.",
                "Let the handler name its tables without their schema, and have no search_path of its own.");
}

void ShadowTables::replace_rows() const {
    // What refers to another table goes first and comes last: they are named in the order of their references.
    for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
        const char* kept = "";
        if (table->same_key != nullptr)
            kept = psprintf(" WHERE NOT EXISTS (SELECT FROM %s AS new_row WHERE %s%s)", table->copy, table->same_key,
                            table->replaces_rows ? " AND new_row.* OPERATOR(pg_catalog.*=) old_row.*" : "");
        execute(psprintf("DELETE FROM ONLY %s AS old_row%s", table->name, kept));
    }
    for (const Table& table : tables) {
        const char* kept = "";
        if (table.same_key != nullptr) {
            if (!table.replaces_rows && table.updated != nullptr) update_rows(table);
            kept = psprintf(" WHERE NOT EXISTS (SELECT FROM ONLY %s AS old_row WHERE %s)", table.name, table.same_key);
        }
        execute(psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s AS new_row%s", table.name,
                         table.inserted, table.inserted, table.copy, kept));
        if (table.identity != nullptr) follow_identity(table);
    }
}

void ShadowTables::update_rows(const Table& table) {
    execute(
        psprintf("UPDATE ONLY %s AS old_row SET (%s) = (SELECT %s FROM %s AS new_row WHERE %s) WHERE EXISTS "
                 "(SELECT FROM %s AS new_row WHERE %s AND new_row.* OPERATOR(pg_catalog.*<>) old_row.*)",
                 table.name, table.updated, table.updated, table.copy, table.same_key, table.copy, table.same_key));
}

// The copy has numbered its rows by a sequence of its own.
void ShadowTables::follow_identity(const Table& table) {
    const char* sequence = psprintf("pg_catalog.pg_get_serial_sequence(%s, %s)::regclass",
                                    quote_literal_cstr(table.name), quote_literal_cstr(table.identity));
    execute(psprintf("SELECT pg_catalog.setval(%s, greatest(max(%s), pg_catalog.nextval(%s))) FROM %s", sequence,
                     quote_identifier(table.identity), sequence, table.name));
}

}  // namespace tidemark
