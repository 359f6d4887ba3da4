// An append to one stream: what is asked, and what comes back.
#pragma once

#include "log_tables.h"
#include "validate.h"

#include <string_view>

namespace tidemark {

// A document as it came: a jsonb of its own, or a part of a larger one that is copied out when it is stored.
struct Document {
    Jsonb* whole;
    JsonbValue part;

    // In the current memory context, where it is a part.
    Jsonb* stored() const { return whole ? whole : JsonbValueToJsonb(const_cast<JsonbValue*>(&part)); }
};

struct NewEvent {
    std::string_view type;
    Document data, metadata;
    int32 schema_version;
    bool has_id;  // the caller's own; else one is made when the event is stored
    pg_uuid_t id;
};

struct AppendRequest {
    std::string_view stream_id;
    int64 expected_version;
    bool has_category;
    std::string_view category;
    const NewEvent* events;
    int64 count;
};

struct AppendResult {
    int64 first_version, last_version;
    int64 first_position, last_position;  // 0, as first_version, where no event was given
    bool is_duplicate;                    // an earlier append was this one; nothing was written
};

// The events of a JSON array of objects {type, data, metadata, id, schema_version}. Throws 22023 with the place of what
// is wrong. The events' views point into the array.
NewEvent* parse_events(Jsonb* array, int64* count);

// `{}`, for data and metadata that are not given.
Jsonb* empty_object();

// Both throw 22023.
void check_metadata(const Document& metadata, int64 place = NO_PLACE);
void check_schema_version(int64 schema_version, int64 place = NO_PLACE);

}  // namespace tidemark
