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

    bool matches(TupleTableSlot* event) const {
        return (!by_category || view(event, CATEGORY) == category) && matches_type(event) && matches_prefix(event);
    }
    bool matches_type(TupleTableSlot* event) const {
        return !by_types || std::find(types, types + type_count, view(event, EVENT_TYPE)) != types + type_count;
    }
    bool matches_prefix(TupleTableSlot* event) const {
        return !by_prefix || view(event, STREAM_ID).substr(0, prefix.size()) == prefix;
    }

  private:
    // Names are at most 255 characters: stored inline, at the most compressed.
    static std::string_view view(TupleTableSlot* event, EventColumn column) {
        return tidemark::view(DatumGetTextPP(event_value(event, column)));
    }
};

// Reads the filter from the arguments first (category), first + 1 (types) and first + 2 (prefix).
EventFilter filter_argument(FunctionCallInfo fcinfo, int first);

}  // namespace tidemark
