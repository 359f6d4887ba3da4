// es_append, es_append_events, es_append_streams: expectations checked and positions given under the streams' locks.
#include "append.h"

#include "event_writer.h"
#include "expected_version.h"
#include "guard.h"
#include "history.h"
#include "idempotency.h"
#include "locks.h"
#include "log_head.h"
#include "snapshot_scope.h"
#include "sync_projections.h"
#include "waiting.h"

#include <algorithm>

extern "C" {
#include "catalog/namespace.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
}

namespace tidemark {

namespace {

// A stream keeps the category of its first event: given by the caller, else the stream id's text before the first `-`.
std::string_view category_of(const StreamWrite& write) {
    if (write.tail.version > 0) {
        const std::string_view category = view(write.tail.category);
        if (write.has_category && write.category != category)
            throw bad_argument("the stream has another category",
                               "Stream " + quoted(write.stream_id) + " is in category " + quoted(category) + ", not " +
                                   quoted(write.category) + ".",
                               "Leave the category out, or give the stream's own.");
        return category;
    }
    if (write.has_category) return write.category;
    const std::string_view category = write.stream_id.substr(0, write.stream_id.find('-'));
    const char* problem = name_problem(category);
    if (problem != nullptr)
        throw bad_argument("the stream id gives no category",
                           "The category of " + quoted(write.stream_id) + " is the text before the first \"-\". " +
                               std::string(problem),
                           "Give the category with the stream's first event, or choose another stream id.");
    return category;
}

enum class Taken { NOTHING, EVENT_ID, VERSION, POSITION };

// What the error says was taken already, by the index of es_events that it names. While REINDEX CONCURRENTLY replaces
// an index, or where it was interrupted, that may be one that stands in for the known one.
Taken taken_by(const pg_error& error, Relation events) {
    const ErrorData* data = error.data;
    if (error.sqlstate() != ERRCODE_UNIQUE_VIOLATION || data->constraint_name == nullptr ||
        data->table_name == nullptr || data->schema_name == nullptr)
        return Taken::NOTHING;
    return pg_call([&] {
        const Oid schema = get_namespace_oid(data->schema_name, true);
        if (schema != RelationGetNamespace(events) || strcmp(data->table_name, RelationGetRelationName(events)) != 0)
            return Taken::NOTHING;
        const Oid violated = get_relname_relid(data->constraint_name, schema);
        if (!list_member_oid(RelationGetIndexList(events), violated)) return Taken::NOTHING;
        const EventIndexes& known = event_indexes(events);
        if (have_same_keys(violated, known.by_event_id)) return Taken::EVENT_ID;
        if (have_same_keys(violated, known.by_stream)) return Taken::VERSION;
        if (have_same_keys(violated, known.by_position)) return Taken::POSITION;
        return Taken::NOTHING;
    });
}

sql_error head_behind() {
    return {CORRUPTED_LOG, "the log head is behind the log's events",
            "A position that comes next is taken, or below one that this stream has.",
            "Stop appending, see what es_verify() finds, and call es_leap()."};
}

void store(Relation events, const Append& append) {
    try {
        pg_call([&] { write_events(events, append); });
    } catch (const pg_error& error) {
        switch (taken_by(error, events)) {
            case Taken::EVENT_ID:
                throw event_id_taken(
                    "The log holds the id of one of these events already, or two of them have the same.");
            case Taken::VERSION:
                throw sql_error(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
                                "a trigger appended to the stream being appended to",
                                "It took the version of the event that it was called for.",
                                "Append to the same stream from an AFTER trigger.");
            case Taken::POSITION:
                throw head_behind();
            case Taken::NOTHING:
                throw;
        }
    }
}

void lock(const LogTables& tables, std::span<const StreamWrite> writes) {
    auto* locks = static_cast<StreamLock*>(palloc((writes.size() + 1) * sizeof(StreamLock)));
    for (size_t i = 0; i < writes.size(); i++)
        locks[i] = StreamLock(writes[i].stream_id, writes[i].events.empty() ? ShareLock : ExclusiveLock);
    lock_streams(tables, {locks, writes.size()});
}

bool is_expected(const StreamWrite& write) { return matches(write.expected_version, write.tail.version); }

// Where all expectations hold, and one of them is exact and of a stream that is written to, this is no repetition: that
// would have moved the stream on. Ids that are taken are found by the unique index then.
bool may_be_repetition(std::span<const StreamWrite> writes) {
    const auto pins = [](const StreamWrite& write) {
        return !write.events.empty() && is_exact(write.expected_version);
    };
    return std::any_of(writes.begin(), writes.end(), has_given_ids) &&
           !(std::all_of(writes.begin(), writes.end(), is_expected) && std::any_of(writes.begin(), writes.end(), pins));
}

bool is_repetition(Relation events, std::span<StreamWrite> writes) {
    if (!may_be_repetition(writes)) return false;
    const SnapshotScope snapshot;
    const bool found = find_original(events, writes);
    snapshot.end();
    return found;
}

// All expectations that failed, in one error.
void check_expectations(std::span<const StreamWrite> writes) {
    if (std::all_of(writes.begin(), writes.end(), is_expected)) return;
    auto* conflicts = static_cast<VersionConflict*>(palloc(writes.size() * sizeof(VersionConflict)));
    int count = 0;
    for (const StreamWrite& write : writes)
        if (!is_expected(write)) conflicts[count++] = {write.stream_id, write.expected_version, write.tail.version};
    throw wrong_expected_version(conflicts, count);
}

void write(const LogTables& tables, Relation events, const Append& append) {
    int64 total = 0;
    for (StreamWrite& write : append.writes) {
        if (!write.events.empty() || write.tail.version > 0) write.category = category_of(write);
        write.result = {};
        write.result.last_version = write.tail.version + std::ssize(write.events);
        total += std::ssize(write.events);
    }
    if (total == 0) return;

    Relation head = table_open(tables.head, RowExclusiveLock);
    ensure_history(tables, head, events);
    wake_at_end(WaitGroup::everything());
    for (const StreamWrite& write : append.writes)
        if (!write.events.empty()) wake_at_end(WaitGroup::category(write.category));
    int64 next = allocate_positions(head, total);
    table_close(head, RowExclusiveLock);
    for (StreamWrite& write : append.writes) {
        if (write.events.empty()) continue;
        if (next <= write.tail.position) throw head_behind();
        write.result.first_version = write.tail.version + 1;
        write.result.first_position = next;
        next += std::ssize(write.events);
        write.result.last_position = next - 1;
    }
    const bool is_outermost = !is_appending();
    try {
        note_append(append);
        store(events, append);
        if (is_outermost) pg_call([&] { project_appended(tables, events); });
    } catch (...) {
        if (is_outermost) end_appending();
        throw;
    }
    if (is_outermost) end_appending();
}

// The order matters: the streams' locks before their versions are read, the positions last before the events are
// stored. So a conflict leaves no gap in the log, and within a stream position order is version order.
void run(const LogTables& tables, const Append& append) {
    lock(tables, append.writes);
    Relation events = table_open(tables.events, RowExclusiveLock);
    // The lock that storing the events takes too, so that there is one to take and let go. Not kept to the end of the
    // transaction: an index is moved elsewhere while transactions are open that have appended.
    const Oid by_stream = event_indexes(events).by_stream;
    LockRelationOid(by_stream, RowExclusiveLock);
    const LockedStreamsScope locked;
    for (StreamWrite& write : append.writes)
        write.tail = find_tail(events, by_stream, write.stream_id, locked.get(), NoLock);
    locked.end();
    if (!is_repetition(events, append.writes)) {
        check_expectations(append.writes);
        write(tables, events, append);
    }
    UnlockRelationOid(by_stream, RowExclusiveLock);
    table_close(events, NoLock);
}

// A row of es_appended. Attributes that a user has added to the type are null.
struct ResultRow {
    ResultRow(const StreamWrite& write, TupleDesc appended)
        : values(static_cast<Datum*>(palloc(appended->natts * sizeof(Datum)))),
          nulls(static_cast<bool*>(palloc(appended->natts * sizeof(bool)))) {
        const Datum own[] = {PointerGetDatum(make_text(write.stream_id)), Int64GetDatum(write.result.first_version),
                             Int64GetDatum(write.result.last_version),    Int64GetDatum(write.result.first_position),
                             Int64GetDatum(write.result.last_position),   BoolGetDatum(write.result.is_duplicate)};
        constexpr Oid TYPES[] = {TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID};
        for (int i = 0; i < std::ssize(own); i++)
            if (i >= appended->natts || TupleDescAttr(appended, i)->atttypid != TYPES[i])
                throw sql_error(ERRCODE_DATATYPE_MISMATCH, "the type es_appended is not Tidemark's any more",
                                "Attribute " + std::to_string(i + 1) + " is gone, or has another type.",
                                "Attributes may be added to it; its own must stay as they are.");
        std::copy(std::begin(own), std::end(own), values);
        std::fill_n(nulls, appended->natts, true);
        nulls[0] = nulls[2] = nulls[5] = false;
        nulls[1] = nulls[3] = nulls[4] = write.events.empty();
    }

    Datum* const values;
    bool* const nulls;
};

Datum append_one(FunctionCallInfo fcinfo, StreamWrite write) {
    run(log_tables(fcinfo), {{&write, 1}, nullptr});
    TupleDesc appended = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
    const ResultRow row(write, appended);
    HeapTuple tuple = heap_form_tuple(appended, row.values, row.nulls);
    ReleaseTupleDesc(appended);
    return HeapTupleGetDatum(tuple);
}

// The arguments of the functions that append to one stream: which, what is expected of it, and its category.
StreamWrite common_arguments(FunctionCallInfo fcinfo, int expected_version, int category) {
    StreamWrite write = {};
    write.stream_id = view(text_argument(fcinfo, 0, "stream id"));
    check_name(write.stream_id, "stream id");
    write.expected_version = bigint_argument(fcinfo, expected_version, "expected version");
    check_expected_version(write.expected_version);
    write.has_category = !PG_ARGISNULL(category);
    if (write.has_category) {
        write.category = view(PG_GETARG_TEXT_PP(category));
        check_name(write.category, "category");
    }
    return write;
}

}  // namespace

// es_append(stream_id, event_type, data, metadata, expected_version, event_id, category, schema_version)
TIDEMARK_FUNCTION(tidemark_append) {
    return pg_call([&] {
        require_read_write("es_append()");
        StreamWrite write = common_arguments(fcinfo, 4, 6);

        NewEvent event = {};
        event.type = view(text_argument(fcinfo, 1, "event type"));
        check_name(event.type, "event type");
        refuse_null(fcinfo, 2, "data", "Leave it out for an empty object, or pass the JSON null.");
        event.data.whole = PG_GETARG_JSONB_P(2);
        event.metadata.whole = PG_ARGISNULL(3) ? empty_object() : PG_GETARG_JSONB_P(3);
        check_metadata(event.metadata);
        event.has_id = !PG_ARGISNULL(5);
        if (event.has_id) event.id = *PG_GETARG_UUID_P(5);
        event.schema_version = schema_version_argument(fcinfo, 7);

        write.events = {&event, 1};
        return append_one(fcinfo, write);
    });
}

// es_append_events(stream_id, events, expected_version, category)
TIDEMARK_FUNCTION(tidemark_append_events) {
    return pg_call([&] {
        require_read_write("es_append_events()");
        StreamWrite write = common_arguments(fcinfo, 2, 3);
        refuse_null(fcinfo, 1, "events", "Pass an empty array to check the expectation only.");
        write.events = parse_events(&PG_GETARG_JSONB_P(1)->root);
        return append_one(fcinfo, write);
    });
}

// es_append_streams(writes, correlation_id)
TIDEMARK_FUNCTION(tidemark_append_streams) {
    return pg_call([&] {
        require_read_write("es_append_streams()");
        refuse_null(fcinfo, 0, "writes", "Pass an array of {stream, expected, events}.");
        Append append = {};
        append.writes = parse_writes(&PG_GETARG_JSONB_P(0)->root);
        if (!PG_ARGISNULL(1)) {
            const std::string_view correlation_id = view(PG_GETARG_TEXT_PP(1));
            check_name(correlation_id, "correlation id");
            append.common_metadata = correlation_metadata(correlation_id, append.writes);
        }
        run(log_tables(fcinfo), append);

        InitMaterializedSRF(fcinfo, 0);
        const auto result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        for (const StreamWrite& write : append.writes) {
            const ResultRow row(write, result->setDesc);
            tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
        }
        return Datum(0);
    });
}

}  // namespace tidemark
