// Events from JSON: the array that es_append_events takes.
#include "append.h"
#include "guard.h"
#include "validate.h"

#include <algorithm>
#include <iterator>

extern "C" {
#include "utils/numeric.h"
}

namespace tidemark {

namespace {

constexpr const char* KEYS[] = {"type", "data", "metadata", "id", "schema_version"};

// The value of a key; a JSON null counts as absent, as many drivers write it for what is not set.
JsonbValue* find(JsonbContainer* object, const char* key, JsonbValue* value) {
    JsonbValue* found = getKeyJsonValueFromContainer(object, key, static_cast<int>(strlen(key)), value);
    return found != nullptr && found->type == jbvNull ? nullptr : found;
}

std::string_view string_of(const JsonbValue& value) {
    return {value.val.string.val, static_cast<size_t>(value.val.string.len)};
}

sql_error bad_event(int64 place, const char* problem,
                    const char* hint =
                        "An event is an object with the keys type (required), data, metadata, id and "
                        "schema_version.") {
    return bad_argument("invalid event", at(place) + problem, hint);
}

void refuse_unknown_keys(JsonbContainer* object, int64 place) {
    JsonbIterator* iterator = JsonbIteratorInit(object);
    JsonbValue value;
    JsonbIteratorToken token;
    while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE) {
        if (token != WJB_KEY) continue;
        const std::string_view key = string_of(value);
        if (std::find(std::begin(KEYS), std::end(KEYS), key) == std::end(KEYS)) {
            const char* problem = psprintf("Unknown key \"%.*s\".", static_cast<int>(key.size()), key.data());
            throw bad_event(place, problem);
        }
    }
}

pg_uuid_t parse_id(const JsonbValue& value, int64 place) {
    if (value.type != jbvString) throw bad_event(place, "The id must be a string that holds a UUID.");
    const char* string = pnstrdup(value.val.string.val, value.val.string.len);
    try {
        return *pg_call([&] { return DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(string))); });
    } catch (const pg_error& error) {
        if (error.sqlstate() != ERRCODE_INVALID_TEXT_REPRESENTATION) throw;
        throw bad_event(place, "The id is no UUID.", "Write it as 8-4-4-4-12 hexadecimal digits.");
    }
}

int32 parse_schema_version(const JsonbValue& value, int64 place) {
    if (value.type == jbvNumeric) {
        bool failed = false;
        const int32 number = numeric_int4_opt_error(value.val.numeric, &failed);
        const Datum back = failed ? Datum(0) : DirectFunctionCall1(int4_numeric, Int32GetDatum(number));
        if (!failed && DatumGetBool(DirectFunctionCall2(numeric_eq, back, NumericGetDatum(value.val.numeric)))) {
            check_schema_version(number, place);
            return number;
        }
    }
    throw bad_event(place, "The schema_version must be an integer.");
}

NewEvent parse_event(JsonbValue* value, int64 place) {
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        throw bad_event(place, "It is not a JSON object.");
    JsonbContainer* object = value->val.binary.data;
    refuse_unknown_keys(object, place);

    NewEvent event = {};
    JsonbValue field;
    if (find(object, "type", &field) == nullptr) throw bad_event(place, "The type is missing.");
    if (field.type != jbvString) throw bad_event(place, "The type must be a string.");
    event.type = string_of(field);
    check_name(event.type, "event type", place);

    // Only here is a JSON null a value: data may be any document.
    if (getKeyJsonValueFromContainer(object, "data", 4, &event.data.part) == nullptr) event.data.whole = empty_object();
    if (find(object, "metadata", &event.metadata.part) == nullptr) event.metadata.whole = empty_object();
    check_metadata(event.metadata, place);

    event.has_id = find(object, "id", &field) != nullptr;
    if (event.has_id) event.id = parse_id(field, place);
    event.schema_version = find(object, "schema_version", &field) ? parse_schema_version(field, place) : 1;
    return event;
}

}  // namespace

Jsonb* empty_object() {
    static Jsonb object;
    SET_VARSIZE(&object, sizeof(object));
    object.root.header = JB_FOBJECT;
    return &object;
}

void check_metadata(const Document& metadata, int64 place) {
    const bool is_object =
        metadata.whole ? JB_ROOT_IS_OBJECT(metadata.whole)
                       : metadata.part.type == jbvBinary && JsonContainerIsObject(metadata.part.val.binary.data);
    if (!is_object)
        throw bad_argument("metadata must be a JSON object", at(place) + "It is another kind of JSON value.",
                           "Write {\"user\": \"ann\"}, or leave it out.");
}

void check_schema_version(int64 schema_version, int64 place) {
    if (schema_version < 1)
        throw bad_argument("schema_version must be positive",
                           at(place) + "It is " + std::to_string(schema_version) + ".",
                           "Schema versions of an event type begin at 1.");
}

NewEvent* parse_events(Jsonb* array, int64* count) {
    JsonbContainer* root = &array->root;
    if (!JsonContainerIsArray(root) || JsonContainerIsScalar(root))
        throw bad_argument("events must be a JSON array", "It is another kind of JSON value.",
                           "Write [{\"type\": \"OrderPlaced\", \"data\": {}}].");
    *count = JsonContainerSize(root);
    auto* events =
        static_cast<NewEvent*>(MemoryContextAllocHuge(CurrentMemoryContext, (*count + 1) * sizeof(NewEvent)));
    for (int64 i = 0; i < *count; i++) {
        JsonbValue* value = getIthJsonbValueFromContainer(root, static_cast<uint32>(i));
        events[i] = parse_event(value, i);
        pfree(value);
    }
    return events;
}

}  // namespace tidemark
