#include "statements.hpp"

#include "binary.hpp"

namespace tidemark::detail {

namespace {

constexpr const char* EVENT_COLUMNS =
    "position, version, recorded_at, event_id, schema_version, stream_id, category, event_type, data, metadata";
constexpr const char* RESULT_COLUMNS =
    "stream_id, first_version, last_version, first_position, last_position, is_duplicate";

// "schema". with its quotes doubled, or nothing.
std::string qualifier(const std::string& schema) {
    if (schema.empty()) return "";
    std::string quoted = "\"";
    for (const char character : schema) {
        if (character == '"') quoted += '"';
        quoted += character;
    }
    return quoted + "\".";
}

std::string dump(const json& value) {
    try {
        return value.dump();
    } catch (const json::exception& problem) {
        throw usage_error(std::string("not JSON in UTF-8: ") + problem.what());
    }
}

}  // namespace

Statements::Statements(const std::string& schema) {
    const std::string in = qualifier(schema);
    const auto events = [&](const std::string& call) {
        return "SELECT " + std::string(EVENT_COLUMNS) + " FROM " + in + call;
    };
    const auto results = [&](const std::string& call) {
        return "SELECT " + std::string(RESULT_COLUMNS) + " FROM " + in + call;
    };
    append = {
        "tidemark_append",
        results("es_append($1::text, $2::text, $3::jsonb, $4::jsonb, $5::bigint, $6::uuid, $7::text, $8::integer)"),
        Effect::lasting};
    append_events = {"tidemark_append_events", results("es_append_events($1::text, $2::jsonb, $3::bigint, $4::text)"),
                     Effect::lasting};
    append_streams = {"tidemark_append_streams", results("es_append_streams($1::jsonb, $2::text)"), Effect::lasting};
    read_stream = {"tidemark_read_stream", events("es_read_stream($1::text, $2::bigint, $3::bigint, $4::boolean)")};
    read_streams = {"tidemark_read_streams", events("es_read_streams($1::text[])")};
    read_after = {"tidemark_read_after",
                  events("es_read_after($1::bigint, $2::bigint, $3::text, $4::text[], $5::text, $6::interval)")};
    stream_version = {"tidemark_stream_version", "SELECT " + in + "es_stream_version($1::text)"};
    safe_position = {"tidemark_safe_position", "SELECT " + in + "es_safe_position()"};
    head_position = {"tidemark_head_position", "SELECT " + in + "es_head_position()"};
    lock_stream = {"tidemark_lock_stream", "SELECT " + in + "es_lock_stream($1::text)"};
    any_of_events = {"tidemark_any_of_events",
                     "SELECT count(*) FROM " + in + "es_events WHERE event_id = ANY($1::uuid[])"};

    const auto changes = [&](const char* name, const std::string& call) {
        return Statement{name, "SELECT " + in + call, Effect::lasting};
    };
    create_subscription = changes("tidemark_create_subscription",
                                  "es_create_subscription($1::text, $2::text, $3::text[], $4::text, $5::text, "
                                  "$6::integer)");
    drop_subscription = changes("tidemark_drop_subscription", "es_drop_subscription($1::text)");
    set_partitions = changes("tidemark_set_partitions", "es_set_partitions($1::text, $2::integer)");
    reset_subscription = changes("tidemark_reset_subscription", "es_reset_subscription($1::text, $2::bigint)");
    ack = changes("tidemark_ack", "es_ack($1::text, $2::bigint, $3::bigint)");
    fail = changes("tidemark_fail", "es_fail($1::text, $2::bigint, $3::bigint, $4::text, $5::interval)");
    park = changes("tidemark_park", "es_park($1::text, $2::bigint, $3::bigint, $4::text)");
    unpark = changes("tidemark_unpark", "es_unpark($1::text, $2::bigint, $3::boolean)");
    // What these change is a lease, which the next call renews or finds.
    fetch = {"tidemark_fetch", "SELECT " + std::string(EVENT_COLUMNS) + ", partition, fence, redelivered FROM " + in +
                                   "es_fetch($1::text, $2::text, $3::bigint, $4::interval, $5::interval)"};
    claim = {"tidemark_claim", "SELECT partition, fence, checkpoint, lease_until, retry_at FROM " + in +
                                   "es_claim($1::text, $2::text, $3::interval, $4::boolean)"};
    release = {"tidemark_release", "SELECT " + in + "es_release($1::text, $2::text)"};
    parked = {"tidemark_parked",
              "SELECT stream_id, position, event_type, reason, parked_at, times, held, redelivering "
              "FROM " +
                  in + "es_parked($1::text)"};
    wait_for = {"tidemark_wait_for", "SELECT " + in + "es_wait_for($1::text, $2::bigint, $3::interval)"};
    status = {
        "tidemark_subscription_status",
        "SELECT partition, checkpoint, backlog, backlog_is_exact, oldest_undelivered_at, "
        "(extract(epoch FROM oldest_undelivered_age) * 1000000)::bigint, consumer, lease_until, fence, is_leased, "
        "acked_at, failed_at, failed_position, attempts, retry_at, error, parked, partitions, next_partitions "
        "FROM " +
            in + "es_subscription_status WHERE subscription = $1::text ORDER BY partition"};
    partition_of = {"tidemark_partition_of", "SELECT " + in + "es_partition_of($1::text, $2::integer)"};

    save_snapshot = changes("tidemark_save_snapshot", "es_save_snapshot($1::text, $2::bigint, $3::jsonb, $4::integer)");
    load_snapshot = {"tidemark_load_snapshot", "SELECT stream_id, schema_version, version, state, saved_at FROM " + in +
                                                   "es_load_snapshot($1::text, $2::integer)"};
    load = {"tidemark_load", "SELECT " + std::string(EVENT_COLUMNS) + ", snapshot_version, snapshot FROM " + in +
                                 "es_load($1::text, $2::integer)"};

    create_projection =
        changes("tidemark_create_projection",
                "es_create_projection($1::text, $2::text, $3::text, $4::text[], $5::text, $6::text, $7::text, "
                "$8::text, $9::integer, $10::interval, $11::regclass[])");
    drop_projection = changes("tidemark_drop_projection", "es_drop_projection($1::text)");
    const auto runs = [&](const char* name, const std::string& call) {
        return Statement{name, "CALL " + in + call, Effect::lasting};
    };
    run_projection = runs("tidemark_run_projection", "es_run_projection($1::text, $2::bigint, $3::interval)");
    rebuild_projection = runs("tidemark_rebuild_projection", "es_rebuild_projection($1::text, $2::bigint)");
    projection_status = {
        "tidemark_projection_status",
        "SELECT name, mode, handler, checkpoint, coalesce(backlog, 0), coalesce(backlog_is_exact, true), "
        "oldest_undelivered_at, (extract(epoch FROM oldest_undelivered_age) * 1000000)::bigint, failed_at, "
        "failed_position, attempts, retry_at, error, parked, rebuild_started_at, rebuild_done, rebuild_total, "
        "rebuild_rate::bigint, (extract(epoch FROM rebuild_remaining) * 1000000)::bigint, acked_at FROM " +
            in + "es_projection_status WHERE name = $1::text OR $1 IS NULL ORDER BY name COLLATE \"C\""};
}

std::string to_json(std::span<const NewEvent> events) {
    std::string text = "[";
    for (const NewEvent& event : events) {
        if (text.size() > 1) text += ',';
        text += "{\"type\":" + dump(event.type) + ",\"data\":" + dump(event.data) +
                ",\"metadata\":" + dump(event.metadata) + ",\"id\":\"" + event.id.to_string() +
                "\",\"schema_version\":" + std::to_string(event.schema_version) + "}";
    }
    return text + "]";
}

std::string to_json(std::span<const StreamWrite> writes) {
    std::string text = "[";
    for (const StreamWrite& write : writes) {
        if (text.size() > 1) text += ',';
        text += "{\"stream\":" + dump(write.stream) + ",\"expected\":" + std::to_string(write.expected.number());
        if (write.category) text += ",\"category\":" + dump(*write.category);
        text += ",\"events\":" + to_json(write.events) + "}";
    }
    return text + "]";
}

Parameter nullable(const std::optional<std::string_view>& text) {
    return text ? Parameter(*text) : Parameter(std::nullopt);
}

Parameter interval(std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; }

std::vector<Parameter> append_parameters(std::string_view stream, std::span<const NewEvent> events,
                                         ExpectedVersion expected, const std::optional<std::string_view>& category) {
    if (events.size() != 1) return {stream, to_json(events), expected.number(), nullable(category)};
    const NewEvent& event = events.front();
    return {stream,   event.type,         event.data,          event.metadata, expected.number(),
            event.id, nullable(category), event.schema_version};
}

std::vector<Event> to_events(const PGresult* result, int row) {
    std::vector<Event> events;
    events.reserve(static_cast<std::size_t>(PQntuples(result)));
    for (; row < PQntuples(result); row++)
        events.push_back({integer_at(result, row, 0), integer_at(result, row, 1), timestamp_at(result, row, 2),
                          uuid_at(result, row, 3), static_cast<int>(integer_at(result, row, 4)),
                          text_at(result, row, 5), text_at(result, row, 6), text_at(result, row, 7),
                          jsonb_at(result, row, 8), jsonb_at(result, row, 9)});
    return events;
}

AppendResult to_append_result(const PGresult* result, int row) {
    return {text_at(result, row, 0),    integer_at(result, row, 2), integer_at(result, row, 1),
            integer_at(result, row, 3), integer_at(result, row, 4), integer_at(result, row, 5) != 0};
}

}  // namespace tidemark::detail
