#include "log_tables.h"

#include "guard.h"

#include <algorithm>

extern "C" {
#include "commands/defrem.h"
#include "commands/trigger.h"
}

namespace tidemark {

namespace {

// What was found is kept only where no invalidation came in meanwhile.
LogTables tables;
EventIndexes indexes;
bool tables_known = false;
bool indexes_known = false;
uint64 invalidations = 0;

// Drops, re-creations and index changes of the log's tables reach every session as an invalidation of the table.
void forget(Datum, Oid relation) {
    const Oid known[] = {InvalidOid,           tables.events,     tables.head,      tables.marker, tables.installations,
                         tables.subscriptions, tables.partitions, tables.consumers, tables.parked, tables.projections,
                         tables.rebuilds,      tables.snapshots,  tables.upcasters};
    if (std::find(std::begin(known), std::end(known), relation) != std::end(known)) {
        invalidations++;
        tables_known = false;
        indexes_known = false;
    }
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

// A range scan on the keys means what it says: they are whole columns, ascending, compared as the columns compare.
bool is_plain_btree(Relation events, Relation index) {
    const Form_pg_index form = index->rd_index;
    if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || RelationGetIndexPredicate(index) != NIL)
        return false;
    for (int i = 0; i < form->indnkeyatts; i++) {
        const AttrNumber number = form->indkey.values[i];
        if (number <= 0 || index->rd_indoption[i] != 0) return false;
        const Form_pg_attribute column = TupleDescAttr(RelationGetDescr(events), number - 1);
        if (index->rd_indcollation[i] != column->attcollation ||
            index->rd_opfamily[i] != get_opclass_family(GetDefaultOpClass(column->atttypid, BTREE_AM_OID)))
            return false;
    }
    return true;
}

// Of several alike the oldest: the list is in the order of OIDs.
void take(Oid& slot, Oid index, bool fits) {
    if (fits && !OidIsValid(slot)) slot = index;
}

EventIndexes find_indexes(Relation events) {
    EventIndexes found = {};
    List* oids = RelationGetIndexList(events);
    ListCell* cell;
    foreach (cell, oids) {
        const Oid oid = lfirst_oid(cell);
        Relation index = index_open(oid, AccessShareLock);
        if (is_plain_btree(events, index)) {
            const bool unique = index->rd_index->indisunique;
            take(found.by_position, oid, unique && has_keys(index, POSITION, InvalidAttrNumber));
            take(found.by_stream, oid, unique && has_keys(index, STREAM_ID, VERSION));
            take(found.by_event_id, oid, unique && has_keys(index, EVENT_ID, InvalidAttrNumber));
            take(found.by_category, oid, has_keys(index, CATEGORY, POSITION));
            take(found.by_type, oid, has_keys(index, EVENT_TYPE, POSITION));
        }
        index_close(index, AccessShareLock);
    }
    list_free(oids);
    return found;
}

template <typename Schema>
const LogTables& find_tables(Schema schema_of_log) {
    static bool registered = false;
    if (!registered) {
        CacheRegisterRelcacheCallback(forget, Datum(0));
        registered = true;
    }
    while (!tables_known) {
        const uint64 before = invalidations;
        const Oid schema = schema_of_log();
        tables = {table_named("es_events", schema),
                  table_named("es_log_head", schema),
                  table_named("es_log_marker", schema),
                  table_named("es_installations", schema),
                  table_named("es_subscriptions", schema),
                  table_named("es_subscription_partitions", schema),
                  table_named("es_subscription_consumers", schema),
                  table_named("es_parked_events", schema),
                  table_named("es_projections", schema),
                  table_named("es_projection_rebuilds", schema),
                  table_named("es_snapshots", schema),
                  table_named("es_upcasters", schema)};
        tables_known = before == invalidations;
    }
    return tables;
}

}  // namespace

const LogTables& log_tables(FunctionCallInfo fcinfo) {
    return find_tables([&] { return get_func_namespace(fcinfo->flinfo->fn_oid); });
}

const LogTables& log_tables_in(Oid schema) {
    return find_tables([&] { return schema; });
}

uint64 log_generation() { return invalidations; }

const EventIndexes& present_indexes(Relation events) {
    while (!indexes_known) {
        const uint64 before = invalidations;
        indexes = find_indexes(events);
        indexes_known = before == invalidations;
    }
    return indexes;
}

const EventIndexes& event_indexes(Relation events) {
    const EventIndexes& present = present_indexes(events);
    if (!OidIsValid(present.by_position) || !OidIsValid(present.by_stream) || !OidIsValid(present.by_event_id) ||
        !OidIsValid(present.by_category))
        throw sql_error(ERRCODE_UNDEFINED_OBJECT, "an index of es_events is missing",
                        "There must be valid indexes on (position), (stream_id, version), (event_id), all three "
                        "unique, and (category, position).",
                        "Create it again, or REINDEX the one that is invalid.");
    return present;
}

bool have_same_keys(Oid one, Oid other) {
    Relation first = index_open(one, AccessShareLock);
    Relation second = index_open(other, AccessShareLock);
    const bool same =
        first->rd_index->indnkeyatts == second->rd_index->indnkeyatts &&
        std::equal(first->rd_index->indkey.values, first->rd_index->indkey.values + first->rd_index->indnkeyatts,
                   second->rd_index->indkey.values) &&
        RelationGetIndexPredicate(first) == NIL;
    index_close(second, AccessShareLock);
    index_close(first, AccessShareLock);
    return same;
}

// The trigger of tables whose rows sessions keep: what somebody changes by hand, as a restore does, holds for them too.
TIDEMARK_FUNCTION(tidemark_announce_change) {
    return pg_call([&] {
        if (!CALLED_AS_TRIGGER(fcinfo))
            throw sql_error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "es_announce_change() is a trigger function",
                            "It was called by itself.");
        CacheInvalidateRelcache(reinterpret_cast<TriggerData*>(fcinfo->context)->tg_relation);
        return PointerGetDatum(nullptr);
    });
}

}  // namespace tidemark
