// One stream: where it ends, by a backward probe of the unique index on (stream_id, version).
#pragma once

#include "log_tables.h"

#include <string_view>

namespace tidemark {

struct StreamTail {
    int64 version;  // 0: the stream has no events
    int64 position;
    text* category;
};

// The stream's last event as the snapshot shows it, by that index or the one known for it. NoLock: it is locked.
StreamTail find_tail(Relation events, Oid by_stream, std::string_view stream_id, Snapshot snapshot,
                     LOCKMODE index_lock = AccessShareLock);
inline StreamTail find_tail(Relation events, std::string_view stream_id, Snapshot snapshot) {
    return find_tail(events, event_indexes(events).by_stream, stream_id, snapshot);
}

}  // namespace tidemark
