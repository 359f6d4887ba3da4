#include "event_filter.h"

#include "guard.h"

namespace tidemark {

EventFilter filter_argument(FunctionCallInfo fcinfo, int first) {
    EventFilter filter = {};
    filter.by_category = !PG_ARGISNULL(first);
    filter.by_types = !PG_ARGISNULL(first + 1);
    filter.by_prefix = !PG_ARGISNULL(first + 2);
    if (filter.by_category) filter.category = view(PG_GETARG_TEXT_PP(first));
    if (filter.by_types) {
        const auto types = text_array_argument(fcinfo, first + 1, "event_types");
        std::sort(types.begin(), types.end());
        filter.types = types.data();
        filter.type_count = static_cast<int>(std::unique(types.begin(), types.end()) - types.begin());
    }
    if (filter.by_prefix) filter.prefix = view(PG_GETARG_TEXT_PP(first + 2));
    if (filter.by_category || filter.by_types || filter.by_prefix)
        filter.scratch = AllocSetContextCreate(CurrentMemoryContext, "names of filtered events", ALLOCSET_SMALL_SIZES);
    return filter;
}

}  // namespace tidemark
