// Which events a reader wants: by category, by type, by the literal beginning of the stream id.
#pragma once

#include "event_scan.h"
#include "validate.h"

#include <algorithm>

namespace tidemark {

// A condition that is absent lets everything pass. The views point into the function's arguments.
struct EventFilter {
    bool by_category, by_types, by_prefix;
    std::string_view category;
    const std::string_view* types;  // distinct
    int type_count;
    std::string_view prefix;

    MemoryContext scratch;  // for names that are stored compressed; null where there is nothing to compare

    bool matches_nothing() const { return by_types && type_count == 0; }

    bool matches(TupleTableSlot* event) const {
        return (!by_category || name(event, CATEGORY) == category) && matches_type(event) && matches_prefix(event);
    }
    bool matches_type(TupleTableSlot* event) const {
        return !by_types || std::find(types, types + type_count, name(event, EVENT_TYPE)) != types + type_count;
    }
    bool matches_prefix(TupleTableSlot* event) const {
        return !by_prefix || name(event, STREAM_ID).substr(0, prefix.size()) == prefix;
    }

    bool operator==(const EventFilter& other) const {
        return by_category == other.by_category && category == other.category && by_types == other.by_types &&
               std::equal(types, types + type_count, other.types, other.types + other.type_count) &&
               by_prefix == other.by_prefix && prefix == other.prefix;
    }

  private:
    // Good until the next name is asked for.
    std::string_view name(TupleTableSlot* event, EventColumn column) const {
        MemoryContextReset(scratch);
        const MemoryContext caller = MemoryContextSwitchTo(scratch);
        const std::string_view result = view(DatumGetTextPP(event_value(event, column)));
        MemoryContextSwitchTo(caller);
        return result;
    }
};

// A filter of values as they are in arguments or in a row; the types' array must not be toasted.
EventFilter make_filter(const NullableDatum& category, const NullableDatum& types, const NullableDatum& prefix);

// Reads the filter from the arguments first (category), first + 1 (types) and first + 2 (prefix).
EventFilter filter_argument(FunctionCallInfo fcinfo, int first);

// Throws 22023 where an event can never pass it.
void check_filter(const EventFilter& filter);

}  // namespace tidemark
