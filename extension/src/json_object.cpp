#include "json_object.h"

#include <algorithm>

extern "C" {
#include "utils/numeric.h"
}

namespace tidemark {

bool find_field(JsonbContainer* object, const char* key, JsonbValue* value) {
    const JsonbValue* found = getKeyJsonValueFromContainer(object, key, static_cast<int>(strlen(key)), value);
    return found != nullptr && found->type != jbvNull;
}

const char* unknown_key_problem(JsonbContainer* object, std::span<const char* const> known) {
    JsonbIterator* iterator = JsonbIteratorInit(object);
    JsonbValue value;
    JsonbIteratorToken token;
    while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
        if (token == WJB_KEY && std::find(known.begin(), known.end(), string_of(value)) == known.end())
            return psprintf("Unknown key \"%.*s\".", value.val.string.len, value.val.string.val);
    return nullptr;
}

bool to_integer(const JsonbValue& value, int64* integer) {
    if (value.type != jbvNumeric) return false;
    // Compared as numerics first, as the conversion raises an error for what does not fit.
    const Datum number = NumericGetDatum(value.val.numeric);
    const auto compare = [&](int64 limit) {
        return DatumGetInt32(
            DirectFunctionCall2(numeric_cmp, number, DirectFunctionCall1(int8_numeric, Int64GetDatum(limit))));
    };
    if (compare(PG_INT64_MIN) < 0 || compare(PG_INT64_MAX) > 0) return false;
    *integer = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
    return compare(*integer) == 0;
}

}  // namespace tidemark
