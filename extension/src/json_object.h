// Reading the objects of a JSON argument: fields by key, numbers as integers.
#pragma once

#include "errors.h"

#include <span>
#include <string_view>

namespace tidemark {

inline std::string_view string_of(const JsonbValue& value) {
    return {value.val.string.val, static_cast<size_t>(value.val.string.len)};
}

inline bool is_object(const JsonbValue& value) {
    return value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data);
}

inline bool is_array(JsonbContainer* container) {
    return JsonContainerIsArray(container) && !JsonContainerIsScalar(container);
}

// The value of a key in *value; false where it is absent. A JSON null counts as absent, as many drivers write it for
// what is not set.
bool find_field(JsonbContainer* object, const char* key, JsonbValue* value);

// Says that a key of the object is none of those known, in a sentence, or returns null.
const char* unknown_key_problem(JsonbContainer* object, std::span<const char* const> known);

// Whether the value is a number without a fraction that fits, which comes in *integer.
bool to_integer(const JsonbValue& value, int64* integer);

}  // namespace tidemark
