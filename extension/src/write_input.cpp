// Writes from JSON: the array that es_append_streams takes.
#include "append.h"
#include "expected_version.h"
#include "guard.h"
#include "json_object.h"

namespace tidemark {

namespace {

constexpr const char* KEYS[] = {"stream", "expected", "events", "category"};

sql_error bad_write(
    const Place& place, const char* problem,
    const char* hint = "A write is an object with the keys stream (required), expected, events and category.") {
    return bad_argument("invalid write", at(place) + problem, hint);
}

// A version, or what the detail of a wrong expected version calls the other expectations.
int64 parse_expected(const JsonbValue& value, const Place& place) {
    int64 expected;
    if (value.type == jbvString) {
        if (string_of(value) == "any") return ANY;
        if (string_of(value) == "no stream") return NO_STREAM;
        if (string_of(value) == "stream exists") return STREAM_EXISTS;
    } else if (to_integer(value, &expected)) {
        check_expected_version(expected, place);
        return expected;
    }
    throw bad_write(place, "What is expected is neither an integer nor one of the words for expectations.",
                    "Expect a version, or \"any\" (-2), \"no stream\" (-1) or \"stream exists\" (-4).");
}

std::string_view parse_name(const JsonbValue& value, const char* key, const char* what, const Place& place) {
    if (value.type != jbvString) throw bad_write(place, psprintf("The %s must be a string.", key));
    check_name(string_of(value), what, place);
    return string_of(value);
}

StreamWrite parse_write(const JsonbValue& value, const Place& place) {
    if (!is_object(value)) throw bad_write(place, "It is not a JSON object.");
    JsonbContainer* object = value.val.binary.data;
    if (const char* problem = unknown_key_problem(object, KEYS)) throw bad_write(place, problem);

    StreamWrite write = {};
    JsonbValue field;
    if (!find_field(object, "stream", &field)) throw bad_write(place, "The stream is missing.");
    write.stream_id = parse_name(field, "stream", "stream id", place);
    write.expected_version = find_field(object, "expected", &field) ? parse_expected(field, place) : ANY;
    write.has_category = find_field(object, "category", &field);
    if (write.has_category) write.category = parse_name(field, "category", "category", place);
    if (find_field(object, "events", &field)) {
        if (field.type != jbvBinary || !is_array(field.val.binary.data))
            throw bad_write(place, "The events must be an array.");
        write.events = parse_events(field.val.binary.data, place);
    }
    return write;
}

void refuse_repeated_streams(std::span<const StreamWrite> writes) {
    auto* names = static_cast<std::string_view*>(palloc((writes.size() + 1) * sizeof(std::string_view)));
    for (size_t i = 0; i < writes.size(); i++) names[i] = writes[i].stream_id;
    const bool* repeated = find_repetitions({names, writes.size()});
    for (size_t i = 0; i < writes.size(); i++)
        if (repeated[i])
            throw bad_write({.write = static_cast<int64>(i)}, "An earlier write is of the same stream.",
                            "Write to each stream once, with all of its events.");
}

}  // namespace

std::span<StreamWrite> parse_writes(JsonbContainer* array) {
    if (!is_array(array))
        throw bad_argument(
            "writes must be a JSON array", "It is another kind of JSON value.",
            "Write [{\"stream\": \"order-1\", \"expected\": 3, \"events\": [{\"type\": \"OrderPaid\"}]}].");
    const size_t count = JsonContainerSize(array);
    auto* writes =
        static_cast<StreamWrite*>(MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(StreamWrite)));
    for (size_t i = 0; i < count; i++) {
        JsonbValue* value = getIthJsonbValueFromContainer(array, static_cast<uint32>(i));
        writes[i] = parse_write(*value, {.write = static_cast<int64>(i)});
        pfree(value);
    }
    refuse_repeated_streams({writes, count});
    return {writes, count};
}

Jsonb* correlation_metadata(std::string_view id, std::span<const StreamWrite> writes) {
    static constexpr char KEY[] = "correlation_id";
    for (size_t i = 0; i < writes.size(); i++) {
        for (size_t j = 0; j < writes[i].events.size(); j++) {
            JsonbValue value;
            if (!find_field(writes[i].events[j].metadata.container(), KEY, &value)) continue;
            if (value.type == jbvString && string_of(value) == id) continue;
            throw bad_argument("an event has another correlation id",
                               at({static_cast<int64>(i), static_cast<int64>(j)}) +
                                   "Its metadata has a correlation_id that is not the call's.",
                               "Leave it out of the event's metadata, or out of the call.");
        }
    }
    JsonbParseState* state = nullptr;
    JsonbValue key, value;
    key.type = value.type = jbvString;
    key.val.string = {static_cast<int>(sizeof(KEY) - 1), const_cast<char*>(KEY)};
    value.val.string = {static_cast<int>(id.size()), const_cast<char*>(id.data())};
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    pushJsonbValue(&state, WJB_KEY, &key);
    pushJsonbValue(&state, WJB_VALUE, &value);
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

}  // namespace tidemark
