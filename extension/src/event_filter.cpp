#include "event_filter.h"

#include "guard.h"

extern "C" {
#include "utils/array.h"
}

namespace tidemark {

namespace {

void read_types(EventFilter& filter, ArrayType* array) {
    Datum* elements;
    bool* nulls;
    int count;
    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
    auto* types = static_cast<std::string_view*>(palloc((count + 1) * sizeof(std::string_view)));
    for (int i = 0; i < count; i++) {
        if (nulls[i])
            throw bad_argument("event_types must not contain null", "Element " + std::to_string(i + 1) + " is null.",
                               "Pass null instead of an array for all types.");
        types[i] = view(DatumGetTextPP(elements[i]));
    }
    std::sort(types, types + count);
    filter.types = types;
    filter.type_count = static_cast<int>(std::unique(types, types + count) - types);
}

}  // namespace

EventFilter filter_argument(FunctionCallInfo fcinfo, int first) {
    EventFilter filter = {};
    filter.by_category = !PG_ARGISNULL(first);
    filter.by_types = !PG_ARGISNULL(first + 1);
    filter.by_prefix = !PG_ARGISNULL(first + 2);
    if (filter.by_category) filter.category = view(PG_GETARG_TEXT_PP(first));
    if (filter.by_types) read_types(filter, PG_GETARG_ARRAYTYPE_P(first + 1));
    if (filter.by_prefix) filter.prefix = view(PG_GETARG_TEXT_PP(first + 2));
    if (filter.by_category || filter.by_types || filter.by_prefix)
        filter.scratch = AllocSetContextCreate(CurrentMemoryContext, "names of filtered events", ALLOCSET_SMALL_SIZES);
    return filter;
}

}  // namespace tidemark
