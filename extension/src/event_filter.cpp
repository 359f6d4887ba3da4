#include "event_filter.h"

#include "guard.h"

namespace tidemark {

EventFilter make_filter(const NullableDatum& category, const NullableDatum& types, const NullableDatum& prefix) {
    EventFilter filter = {};
    filter.by_category = !category.isnull;
    filter.by_types = !types.isnull;
    filter.by_prefix = !prefix.isnull;
    if (filter.by_category) filter.category = view(DatumGetTextPP(category.value));
    if (filter.by_types) {
        const auto names = text_array(types.value, "event_types");
        std::sort(names.begin(), names.end());
        filter.types = names.data();
        filter.type_count = static_cast<int>(std::unique(names.begin(), names.end()) - names.begin());
    }
    if (filter.by_prefix) filter.prefix = view(DatumGetTextPP(prefix.value));
    if (filter.by_category || filter.by_types || filter.by_prefix)
        filter.scratch = AllocSetContextCreate(CurrentMemoryContext, "names of filtered events", ALLOCSET_SMALL_SIZES);
    return filter;
}

EventFilter filter_argument(FunctionCallInfo fcinfo, int first) {
    return make_filter(fcinfo->args[first], fcinfo->args[first + 1], fcinfo->args[first + 2]);
}

void check_filter(const EventFilter& filter) {
    if (filter.by_category) check_name(filter.category, "category");
    for (int i = 0; i < filter.type_count; i++) check_name(filter.types[i], "event type");
    if (filter.matches_nothing())
        throw bad_argument("event_types must not be empty", "No event would match.",
                           "Name the types, or leave them out for all.");
}

}  // namespace tidemark
