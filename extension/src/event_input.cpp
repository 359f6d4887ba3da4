// Events from JSON: the array that es_append_events takes, and each write of es_append_streams.
#include "append.h"
#include "guard.h"
#include "json_object.h"

namespace tidemark {

namespace {

constexpr const char* KEYS[] = {"type", "data", "metadata", "id", "schema_version"};

sql_error bad_event(const Place& place, const char* problem,
                    const char* hint =
                        "An event is an object with the keys type (required), data, metadata, id and "
                        "schema_version.") {
    return bad_argument("invalid event", at(place) + problem, hint);
}

pg_uuid_t parse_id(const JsonbValue& value, const Place& place) {
    if (value.type != jbvString) throw bad_event(place, "The id must be a string that holds a UUID.");
    const char* string = pnstrdup(value.val.string.val, value.val.string.len);
    try {
        return *pg_call([&] { return DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(string))); });
    } catch (const pg_error& error) {
        if (error.sqlstate() != ERRCODE_INVALID_TEXT_REPRESENTATION) throw;
        throw bad_event(place, "The id is no UUID.", "Write it as 8-4-4-4-12 hexadecimal digits.");
    }
}

int32 parse_schema_version(const JsonbValue& value, const Place& place) {
    int64 number;
    if (!to_integer(value, &number) || number > PG_INT32_MAX)
        throw bad_event(place, "The schema_version must be an integer.");
    check_schema_version(number, place);
    return static_cast<int32>(number);
}

NewEvent parse_event(const JsonbValue& value, const Place& place) {
    if (!is_object(value)) throw bad_event(place, "It is not a JSON object.");
    JsonbContainer* object = value.val.binary.data;
    if (const char* problem = unknown_key_problem(object, KEYS)) throw bad_event(place, problem);

    NewEvent event = {};
    JsonbValue field;
    if (!find_field(object, "type", &field)) throw bad_event(place, "The type is missing.");
    if (field.type != jbvString) throw bad_event(place, "The type must be a string.");
    event.type = string_of(field);
    check_name(event.type, "event type", place);

    // Only here is a JSON null a value: data may be any document.
    if (getKeyJsonValueFromContainer(object, "data", 4, &event.data.part) == nullptr) event.data.whole = empty_object();
    if (!find_field(object, "metadata", &event.metadata.part)) event.metadata.whole = empty_object();
    check_metadata(event.metadata, place);

    event.has_id = find_field(object, "id", &field);
    if (event.has_id) event.id = parse_id(field, place);
    event.schema_version = find_field(object, "schema_version", &field) ? parse_schema_version(field, place) : 1;
    return event;
}

}  // namespace

Jsonb* empty_object() {
    static Jsonb object;
    SET_VARSIZE(&object, sizeof(object));
    object.root.header = JB_FOBJECT;
    return &object;
}

void check_metadata(const Document& metadata, const Place& place) {
    if (!(metadata.whole ? JB_ROOT_IS_OBJECT(metadata.whole) : is_object(metadata.part)))
        throw bad_argument("metadata must be a JSON object", at(place) + "It is another kind of JSON value.",
                           "Write {\"user\": \"ann\"}, or leave it out.");
}

std::span<const NewEvent> parse_events(JsonbContainer* array, Place place) {
    if (!is_array(array))
        throw bad_argument("events must be a JSON array", at(place) + "It is another kind of JSON value.",
                           "Write [{\"type\": \"OrderPlaced\", \"data\": {}}].");
    const size_t count = JsonContainerSize(array);
    auto* events = static_cast<NewEvent*>(MemoryContextAllocHuge(CurrentMemoryContext, (count + 1) * sizeof(NewEvent)));
    for (size_t i = 0; i < count; i++) {
        JsonbValue* value = getIthJsonbValueFromContainer(array, static_cast<uint32>(i));
        place.event = static_cast<int64>(i);
        events[i] = parse_event(*value, place);
        pfree(value);
    }
    return {events, count};
}

}  // namespace tidemark
