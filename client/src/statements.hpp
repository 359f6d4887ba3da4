// The SQL calls of the extension.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "session.hpp"

namespace tidemark::detail {

struct Statements {
    // The schema of the extension; empty: the search_path finds it.
    explicit Statements(const std::string& schema);

    Statement append, append_events, append_streams, read_stream, read_streams, stream_version, read_after,
        safe_position, head_position, lock_stream, any_of_events;
    Statement create_subscription, drop_subscription, set_partitions, reset_subscription, fetch, claim, release, ack,
        fail, park, parked, unpark, wait_for, status, partition_of;
    Statement save_snapshot, load_snapshot, load;
    Statement create_projection, drop_projection, run_projection, rebuild_projection, projection_status;
};

// The JSON of events, and of writes, as the append functions take them.
std::string to_json(std::span<const NewEvent> events);
std::string to_json(std::span<const StreamWrite> writes);

// The parameters of Statements::append for one event, of append_events for any other number.
std::vector<Parameter> append_parameters(std::string_view stream, std::span<const NewEvent> events,
                                         ExpectedVersion expected, const std::optional<std::string_view>& category);
Parameter nullable(const std::optional<std::string_view>& text);
Parameter interval(std::chrono::milliseconds time);

// From that row on.
std::vector<Event> to_events(const PGresult* result, int row = 0);
AppendResult to_append_result(const PGresult* result, int row);

}  // namespace tidemark::detail
