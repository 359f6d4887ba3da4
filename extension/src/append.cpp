// es_append and es_append_events: expectations checked and positions given under the stream's lock.
#include "append.h"

#include "event_writer.h"
#include "expected_version.h"
#include "guard.h"
#include "history.h"
#include "idempotency.h"
#include "locks.h"
#include "log_head.h"
#include "snapshot_scope.h"
#include "stream.h"
#include "validate.h"

namespace tidemark {

namespace {

// A stream keeps the category of its first event: given by the caller, else the stream id's text before the first `-`.
std::string_view category_of(const AppendRequest& request, const StreamTail& tail) {
    if (tail.version > 0) {
        const std::string_view category = view(tail.category);
        if (request.has_category && request.category != category)
            throw bad_argument("the stream has another category",
                               "Stream " + quoted(request.stream_id) + " is in category " + quoted(category) +
                                   ", not " + quoted(request.category) + ".",
                               "Leave the category out, or give the stream's own.");
        return category;
    }
    if (request.has_category) return request.category;
    const std::string_view category = request.stream_id.substr(0, request.stream_id.find('-'));
    const char* problem = name_problem(category);
    if (problem != nullptr)
        throw bad_argument("the stream id gives no category",
                           "The category is the text before the first \"-\". " + std::string(problem),
                           "Give the category with the stream's first event, or choose another stream id.");
    return category;
}

// Whether the error is a violation of that unique index of es_events.
bool violates(const pg_error& error, Relation events, Oid index) {
    const ErrorData* data = error.data;
    if (error.sqlstate() != ERRCODE_UNIQUE_VIOLATION || data->constraint_name == nullptr ||
        data->table_name == nullptr || strcmp(data->table_name, RelationGetRelationName(events)) != 0)
        return false;
    return pg_call([&] {
        const char* name = get_rel_name(index);
        return name != nullptr && strcmp(data->constraint_name, name) == 0;
    });
}

sql_error head_behind() {
    return {CORRUPTED_LOG, "the log head is behind the log's events",
            "A position that comes next is taken, or below one that this stream has.",
            "Stop appending, see what es_verify() finds, and call es_leap()."};
}

void store(Relation events, const AppendRequest& request, std::string_view category, const AppendResult& result) {
    try {
        pg_call([&] { write_events(events, request, category, result.first_version, result.first_position); });
    } catch (const pg_error& error) {
        const EventIndexes& indexes = event_indexes(events);
        if (violates(error, events, indexes.by_event_id))
            throw event_id_taken("The log holds the id of one of these events already, or two of them have the same.");
        if (violates(error, events, indexes.by_stream))
            throw sql_error(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
                            "a trigger appended to the stream being appended to",
                            "It took the version of the event that it was called for.",
                            "Append to the same stream from an AFTER trigger.");
        if (violates(error, events, indexes.by_position)) throw head_behind();
        throw;
    }
}

// The order matters: the stream's lock before its version is read, the positions last before the events are stored. So
// a conflict leaves no gap in the log, and within a stream position order is version order.
AppendResult append(const LogTables& tables, const AppendRequest& request) {
    Relation events = table_open(tables.events, RowExclusiveLock);
    lock_stream(events, request.stream_id, true);

    const SnapshotScope snapshot;
    const StreamTail tail = find_tail(events, request.stream_id);
    const bool expected = matches(request.expected_version, tail.version);
    AppendResult result = {};
    // Where an exact expectation holds, this cannot be a repetition, and the unique index finds ids that are taken.
    const bool may_be_repeated = !(expected && is_exact(request.expected_version)) && has_given_ids(request);
    const bool repeated = may_be_repeated && find_original(events, request, &result);
    snapshot.end();

    if (!repeated) {
        if (!expected) {
            const VersionConflict conflict = {request.stream_id, request.expected_version, tail.version};
            throw wrong_expected_version(&conflict, 1);
        }
        const std::string_view category = category_of(request, tail);
        result.last_version = tail.version + request.count;
        if (request.count > 0) {
            Relation head = table_open(tables.head, RowExclusiveLock);
            ensure_history(tables, head, events);
            result.first_version = tail.version + 1;
            result.first_position = allocate_positions(head, request.count);
            result.last_position = result.first_position + request.count - 1;
            table_close(head, RowExclusiveLock);
            if (result.first_position <= tail.position) throw head_behind();
            store(events, request, category, result);
        }
    }
    table_close(events, NoLock);
    return result;
}

// The six output parameters of the append functions.
Datum make_row(FunctionCallInfo fcinfo, const AppendRequest& request, const AppendResult& result) {
    if (fcinfo->flinfo->fn_extra == nullptr) {
        const MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
        TupleDesc found;
        get_call_result_type(fcinfo, nullptr, &found);
        fcinfo->flinfo->fn_extra = BlessTupleDesc(found);
        MemoryContextSwitchTo(caller);
    }
    const auto descriptor = static_cast<TupleDesc>(fcinfo->flinfo->fn_extra);
    const bool nothing_written = result.first_version == 0;
    Datum values[] = {PointerGetDatum(make_text(request.stream_id)),
                      Int64GetDatum(result.first_version),
                      Int64GetDatum(result.last_version),
                      Int64GetDatum(result.first_position),
                      Int64GetDatum(result.last_position),
                      BoolGetDatum(result.is_duplicate)};
    bool nulls[] = {false, nothing_written, false, nothing_written, nothing_written, false};
    return HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls));
}

// The arguments that both functions take: the stream, what is expected of it, and its category.
AppendRequest common_arguments(FunctionCallInfo fcinfo, int expected_version, int category) {
    AppendRequest request = {};
    request.stream_id = view(text_argument(fcinfo, 0, "stream id"));
    check_name(request.stream_id, "stream id");
    request.expected_version = bigint_argument(fcinfo, expected_version, "expected version");
    check_expected_version(request.expected_version);
    request.has_category = !PG_ARGISNULL(category);
    if (request.has_category) {
        request.category = view(PG_GETARG_TEXT_PP(category));
        check_name(request.category, "category");
    }
    return request;
}

}  // namespace

// es_append(stream_id, event_type, data, metadata, expected_version, event_id, category, schema_version)
TIDEMARK_FUNCTION(tidemark_append) {
    return pg_call([&] {
        require_read_write("es_append()");
        AppendRequest request = common_arguments(fcinfo, 4, 6);

        NewEvent event = {};
        event.type = view(text_argument(fcinfo, 1, "event type"));
        check_name(event.type, "event type");
        refuse_null(fcinfo, 2, "data", "Leave it out for an empty object, or pass the JSON null.");
        event.data.whole = PG_GETARG_JSONB_P(2);
        event.metadata.whole = PG_ARGISNULL(3) ? empty_object() : PG_GETARG_JSONB_P(3);
        check_metadata(event.metadata);
        event.has_id = !PG_ARGISNULL(5);
        if (event.has_id) event.id = *PG_GETARG_UUID_P(5);
        refuse_null(fcinfo, 7, "schema_version", "Leave it out for version 1.");
        event.schema_version = PG_GETARG_INT32(7);
        check_schema_version(event.schema_version);

        request.events = &event;
        request.count = 1;
        return make_row(fcinfo, request, append(log_tables(fcinfo), request));
    });
}

// es_append_events(stream_id, events, expected_version, category)
TIDEMARK_FUNCTION(tidemark_append_events) {
    return pg_call([&] {
        require_read_write("es_append_events()");
        AppendRequest request = common_arguments(fcinfo, 2, 3);
        refuse_null(fcinfo, 1, "events", "Pass an empty array to check the expectation only.");
        request.events = parse_events(PG_GETARG_JSONB_P(1), &request.count);
        return make_row(fcinfo, request, append(log_tables(fcinfo), request));
    });
}

}  // namespace tidemark
