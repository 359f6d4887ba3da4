// An append: what is asked of each of its streams, and what comes back.
#pragma once

#include "log_tables.h"
#include "stream.h"
#include "validate.h"

#include <span>
#include <string_view>

namespace tidemark {

// A document as it came: a jsonb of its own, or a part of a larger one that is copied out when it is stored.
struct Document {
    Jsonb* whole;
    JsonbValue part;

    // Of an object or array.
    JsonbContainer* container() const { return whole ? &whole->root : part.val.binary.data; }
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

struct AppendResult {
    int64 first_version, last_version;
    int64 first_position, last_position;  // 0, as first_version, where no event was given
    bool is_duplicate;                    // an earlier append was this one; nothing was written
};

// What an append demands of one stream and adds to it.
struct StreamWrite {
    std::string_view stream_id;
    int64 expected_version;
    bool has_category;
    std::string_view category;         // the caller's; once the append goes ahead, the stream's
    std::span<const NewEvent> events;  // none: the stream is only checked

    StreamTail tail;  // the stream as it was found
    AppendResult result;
};

struct Append {
    std::span<StreamWrite> writes;  // no stream twice
    Jsonb* common_metadata;         // an object that goes into each event's metadata; null: nothing does
};

// The events of a JSON array of objects {type, data, metadata, id, schema_version}. Throws 22023 with the place of what
// is wrong, which for an array within a write begins with that write's. The events' views point into the array.
std::span<const NewEvent> parse_events(JsonbContainer* array, Place place = {});

// The writes of a JSON array of objects {stream, expected, events, category}, likewise.
std::span<StreamWrite> parse_writes(JsonbContainer* array);

// The object {"correlation_id": id}. Throws 22023 where the metadata of an event of the writes has another one.
Jsonb* correlation_metadata(std::string_view id, std::span<const StreamWrite> writes);

// `{}`, for data and metadata that are not given.
Jsonb* empty_object();

// Throws 22023.
void check_metadata(const Document& metadata, const Place& place = {});

}  // namespace tidemark
