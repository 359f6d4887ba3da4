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

// Whether the row is where the event of that place in its write would have gone, had the append begun as the write's
// result and the position of its own first event say.
bool same_place(TupleTableSlot* row, const StreamWrite& write, int64 place, int64 position) {
    return name_in(row, STREAM_ID) == write.stream_id &&
           DatumGetInt64(event_value(row, VERSION)) == write.result.first_version + place &&
           DatumGetInt64(event_value(row, POSITION)) == position &&
           (!write.has_category || name_in(row, CATEGORY) == write.category) &&
           matches(write.expected_version, write.result.first_version - 1);
}

int64 position_of(Relation events, std::string_view stream_id, int64 version) {
    const ScanKeyData keys[] = {text_key(1, BTEqualStrategyNumber, stream_id),
                                bigint_key(2, BTEqualStrategyNumber, version)};
    EventScan scan(events, event_indexes(events).by_stream, keys, 2);
    const int64 position = scan.next() ? scan.position() : 0;
    scan.end();
    return position;
}

// The version of the stream's last event below the position. Nobody can have appended to the stream between the check
// and the end of an append that relied on it, so for one that got that position it is the version it found. Positions
// rise with versions.
int64 version_below(Relation events, const StreamWrite& write, int64 position) {
    int64 below = 0, above = write.tail.version + 1;
    while (above - below > 1) {
        const int64 middle = below + (above - below) / 2;
        (position_of(events, write.stream_id, middle) < position ? below : above) = middle;
    }
    return below;
}

const char* describe(TupleTableSlot* row) {
    const std::string_view stream_id = name_in(row, STREAM_ID);
    return psprintf("The log holds event %s already, as version " INT64_FORMAT
                    " of stream \"%.*s\", and this append is not the one that wrote it over again.",
                    DatumGetCString(DirectFunctionCall1(uuid_out, event_value(row, EVENT_ID))),
                    DatumGetInt64(event_value(row, VERSION)), static_cast<int>(stream_id.size()), stream_id.data());
}

}  // namespace

bool has_given_ids(const StreamWrite& write) {
    return std::any_of(write.events.begin(), write.events.end(), [](const NewEvent& event) { return event.has_id; });
}

bool find_original(Relation events, std::span<StreamWrite> writes) {
    const char* first_found = nullptr;
    bool repeated = true;
    int64 first_position = 0, count = 0;
    for (StreamWrite& write : writes) {
        for (int64 place = 0; place < std::ssize(write.events); place++, count++) {
            const NewEvent& event = write.events[place];
            if (!event.has_id) {
                repeated = false;
                continue;
            }
            const ScanKeyData key = id_key(event.id);
            EventScan scan(events, event_indexes(events).by_event_id, &key, 1);
            if (scan.next()) {
                TupleTableSlot* row = scan.row();
                if (first_found == nullptr) first_found = describe(row);
                if (count == 0) first_position = scan.position();
                if (place == 0) write.result.first_version = DatumGetInt64(event_value(row, VERSION));
                repeated = repeated && same_place(row, write, place, first_position + count) && same_event(row, event);
            } else {
                repeated = false;
            }
            scan.end();
        }
    }
    if (first_found == nullptr) return false;

    int64 position = first_position;
    for (StreamWrite& write : writes) {
        AppendResult& result = write.result;
        result.is_duplicate = true;
        if (write.events.empty()) {
            result.last_version = version_below(events, write, first_position);
            repeated = repeated && matches(write.expected_version, result.last_version);
        } else {
            result.last_version = result.first_version + std::ssize(write.events) - 1;
            result.first_position = position;
            position += std::ssize(write.events);
            result.last_position = position - 1;
        }
    }
    if (!repeated) throw event_id_taken(first_found);
    return true;
}

sql_error event_id_taken(const char* detail) { return {IDEMPOTENCY_CONFLICT, "idempotency conflict", detail, HINT}; }

}  // namespace tidemark
