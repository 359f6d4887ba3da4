#include "log_tables.h"

#include "guard.h"

namespace tidemark {

namespace {

LogTables tables;
EventIndexes indexes;
bool tables_known = false;
bool indexes_known = false;
uint64 invalidations = 0;

// Drops, re-creations and index changes of the log's tables reach every session as an invalidation of the table.
void forget(Datum, Oid relation) {
    invalidations++;
    if (relation == InvalidOid || relation == tables.events) indexes_known = false;
    if (relation == InvalidOid || relation == tables.events || relation == tables.head || relation == tables.marker)
        tables_known = false;
}

Oid table_named(const char* name, Oid schema) {
    const Oid oid = get_relname_relid(name, schema);
    if (!OidIsValid(oid))
        throw sql_error(ERRCODE_UNDEFINED_TABLE, std::string("table ") + name + " is missing",
                        "It belongs to the extension tidemark and stands in its functions' schema.");
    return oid;
}

bool has_keys(Relation index, AttrNumber first, AttrNumber second) {
    const Form_pg_index form = index->rd_index;
    return form->indnkeyatts == (second == InvalidAttrNumber ? 1 : 2) && form->indkey.values[0] == first &&
           (second == InvalidAttrNumber || form->indkey.values[1] == second);
}

// The key columns ascending and in their type's default order: a range scan on them means what it says.
bool is_plain_btree(Relation index) {
    if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
        RelationGetIndexPredicate(index) != NIL || RelationGetIndexExpressions(index) != NIL)
        return false;
    for (int i = 0; i < index->rd_index->indnkeyatts; i++)
        if (index->rd_indoption[i] != 0) return false;
    return true;
}

EventIndexes find_indexes(Relation events) {
    EventIndexes found = {};
    List* oids = RelationGetIndexList(events);
    ListCell* cell;
    foreach (cell, oids) {
        const Oid oid = lfirst_oid(cell);
        Relation index = index_open(oid, AccessShareLock);
        if (is_plain_btree(index)) {
            const bool unique = index->rd_index->indisunique;
            if (unique && has_keys(index, POSITION, InvalidAttrNumber)) found.by_position = oid;
            if (unique && has_keys(index, STREAM_ID, VERSION)) found.by_stream = oid;
            if (unique && has_keys(index, EVENT_ID, InvalidAttrNumber)) found.by_event_id = oid;
            if (has_keys(index, CATEGORY, POSITION)) found.by_category = oid;
            if (has_keys(index, EVENT_TYPE, POSITION)) found.by_type = oid;
        }
        index_close(index, AccessShareLock);
    }
    list_free(oids);
    if (!OidIsValid(found.by_position) || !OidIsValid(found.by_stream) || !OidIsValid(found.by_event_id) ||
        !OidIsValid(found.by_category))
        throw sql_error(ERRCODE_UNDEFINED_OBJECT, "an index of es_events is missing",
                        "There must be valid indexes on (position), (stream_id, version), (event_id), all three "
                        "unique, and (category, position).",
                        "Create it again, or REINDEX the one that is invalid.");
    return found;
}

}  // namespace

const LogTables& log_tables(FunctionCallInfo fcinfo) {
    static bool registered = false;
    if (!registered) {
        CacheRegisterRelcacheCallback(forget, Datum(0));
        registered = true;
    }
    if (!tables_known) {
        const Oid schema = get_func_namespace(fcinfo->flinfo->fn_oid);
        tables = {table_named("es_events", schema), table_named("es_log_head", schema),
                  table_named("es_log_marker", schema), table_named("es_installations", schema)};
        tables_known = true;
    }
    return tables;
}

const EventIndexes& event_indexes(Relation events) {
    // Opening an index may bring an invalidation in: what was found is kept only where none came meanwhile.
    while (!indexes_known) {
        const uint64 before = invalidations;
        indexes = find_indexes(events);
        indexes_known = before == invalidations;
    }
    return indexes;
}

}  // namespace tidemark
