#include "idempotency.h"

#include "event_scan.h"
#include "expected_version.h"
#include "guard.h"
#include "validate.h"

#include <algorithm>

extern "C" {
#include "access/stratnum.h"
#include "utils/fmgroids.h"
}

namespace tidemark {

namespace {

const char* const HINT =
    "A retry repeats the whole append: the same events in the same order, with the same ids and the same expected "
    "version. Give new events new ids.";

ScanKeyData id_key(const pg_uuid_t& id) {
    ScanKeyData key;
    ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&id));
    return key;
}

std::string_view name_in(TupleTableSlot* row, EventColumn column) {
    return view(DatumGetTextPP(event_value(row, column)));
}

bool same_event(TupleTableSlot* row, const NewEvent& event) {
    return name_in(row, EVENT_TYPE) == event.type &&
           DatumGetInt32(event_value(row, SCHEMA_VERSION)) == event.schema_version &&
           compareJsonbContainers(&DatumGetJsonbP(event_value(row, DATA))->root, &event.data.stored()->root) == 0;
}

// Whether the row is where the request's event of that place would have gone, had its append begun as `first` says.
bool same_place(TupleTableSlot* row, const AppendRequest& request, int64 place, const AppendResult& first) {
    return name_in(row, STREAM_ID) == request.stream_id &&
           DatumGetInt64(event_value(row, VERSION)) == first.first_version + place &&
           DatumGetInt64(event_value(row, POSITION)) == first.first_position + place &&
           (!request.has_category || name_in(row, CATEGORY) == request.category) &&
           matches(request.expected_version, first.first_version - 1);
}

const char* describe(TupleTableSlot* row) {
    const std::string_view stream_id = name_in(row, STREAM_ID);
    return psprintf("The log holds event %s already, as version " INT64_FORMAT
                    " of stream \"%.*s\", and this append is not the one that wrote it over again.",
                    DatumGetCString(DirectFunctionCall1(uuid_out, event_value(row, EVENT_ID))),
                    DatumGetInt64(event_value(row, VERSION)), static_cast<int>(stream_id.size()), stream_id.data());
}

}  // namespace

bool has_given_ids(const AppendRequest& request) {
    return std::any_of(request.events, request.events + request.count,
                       [](const NewEvent& event) { return event.has_id; });
}

bool find_original(Relation events, const AppendRequest& request, AppendResult* result) {
    const char* first_found = nullptr;
    bool repeated = true;
    for (int64 place = 0; place < request.count; place++) {
        const NewEvent& event = request.events[place];
        if (!event.has_id) {
            repeated = false;
            continue;
        }
        const ScanKeyData key = id_key(event.id);
        EventScan scan(events, event_indexes(events).by_event_id, &key, 1);
        if (scan.next()) {
            TupleTableSlot* row = scan.row();
            if (first_found == nullptr) first_found = describe(row);
            if (place == 0) {
                result->first_version = DatumGetInt64(event_value(row, VERSION));
                result->first_position = scan.position();
            }
            repeated = repeated && same_place(row, request, place, *result) && same_event(row, event);
        } else {
            repeated = false;
        }
        scan.end();
    }
    if (first_found == nullptr) return false;
    if (!repeated) throw event_id_taken(first_found);
    result->last_version = result->first_version + request.count - 1;
    result->last_position = result->first_position + request.count - 1;
    result->is_duplicate = true;
    return true;
}

sql_error event_id_taken(const char* detail) { return {IDEMPOTENCY_CONFLICT, "idempotency conflict", detail, HINT}; }

}  // namespace tidemark
