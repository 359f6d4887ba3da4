// Snapshots: what a stream has added up to, saved so that its events need not be read from the first one on. They are
// no part of the log: whatever becomes of them, the events are there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tidemark/event.hpp>

namespace tidemark {

struct Snapshot {
    std::string stream;
    int schema_version;                   // of the state
    std::int64_t version;                 // of the stream: its events up to there are in the state
    std::string state_text;               // JSON, as the server wrote it
    std::optional<Timestamp> saved_at{};  // load_stream() does not tell

    // Parsed at each call. Throws decode_error.
    json state() const;
};

// A stream as it is loaded with a snapshot, of one moment.
struct LoadedStream {
    std::optional<Snapshot> snapshot;
    std::vector<Event> events;  // behind the snapshot; where there is none, all

    // 0: no events.
    std::int64_t version() const {
        if (!events.empty()) return events.back().version;
        return snapshot ? snapshot->version : 0;
    }
};

}  // namespace tidemark
