// Where the log's tables and indexes are: by OID, in the extension's own schema, never through search_path.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// The attribute numbers of es_events. Columns that a user adds come after these.
enum EventColumn : AttrNumber {
    POSITION = 1,
    VERSION,
    RECORDED_AT,
    EVENT_ID,
    SCHEMA_VERSION,
    STREAM_ID,
    CATEGORY,
    EVENT_TYPE,
    DATA,
    METADATA,
};

struct LogTables {
    Oid events;
    Oid head;
    Oid marker;
    Oid installations;
    Oid subscriptions;
    Oid partitions;  // of subscriptions
    Oid consumers;   // that stand in line
    Oid parked;      // events
    Oid projections;
    Oid rebuilds;   // of projections, that are under way
    Oid snapshots;  // of streams
    Oid upcasters;
};

// The indexes of es_events, known by their key columns, which are in those columns' own order: an administrator may
// rename or rebuild them, and add others.
struct EventIndexes {
    Oid by_position;  // unique (position)
    Oid by_stream;    // unique (stream_id, version)
    Oid by_category;  // (category, position)
    Oid by_event_id;  // unique (event_id)
    Oid by_type;      // (event_type, position); InvalidOid where nobody has asked for it
};

// The tables of the log that the called function belongs to. Cached until one of them changes.
const LogTables& log_tables(FunctionCallInfo fcinfo);
const LogTables& log_tables_in(Oid schema);

// Changes whenever what is known of the log's tables may have: also when a projection is made or dropped.
uint64 log_generation();

// The indexes of es_events, which must be open and locked: an index cannot be dropped while its table is. Cached.
const EventIndexes& event_indexes(Relation events);

// The same, where some may be missing: InvalidOid.
const EventIndexes& present_indexes(Relation events);

// Whether two indexes of es_events are on the same columns.
bool have_same_keys(Oid one, Oid other);

// The column's value in a row of es_events. Never null: these columns are declared so.
inline Datum event_value(TupleTableSlot* slot, EventColumn column) {
    bool is_null;
    return slot_getattr(slot, column, &is_null);
}

}  // namespace tidemark
