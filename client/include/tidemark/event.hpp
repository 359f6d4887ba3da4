// Events, and what an append asks and answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tidemark/uuid.hpp>

namespace tidemark {

using json = nlohmann::json;
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;

// What an append demands of its stream's version.
class ExpectedVersion {
  public:
    // The version must be this one; 0 stands for a stream without events, as a version that was read does.
    constexpr ExpectedVersion(std::int64_t version)
        : number_(version == 0 ? -1 : version) {}  // NOLINT: meant to convert

    static constexpr ExpectedVersion any() { return {-2}; }
    static constexpr ExpectedVersion no_stream() { return {-1}; }
    static constexpr ExpectedVersion stream_exists() { return {-4}; }

    // As the SQL functions take it.
    constexpr std::int64_t number() const { return number_; }

    bool operator==(const ExpectedVersion&) const = default;

  private:
    std::int64_t number_;
};

// An event to be appended. It gets its id here, so that the append can be repeated safely.
struct NewEvent {
    std::string type;
    json data = json::object();
    json metadata = json::object();
    Uuid id = Uuid::make();
    int schema_version = 1;
};

// An event of the log.
struct Event {
    std::int64_t position;  // in the log
    std::int64_t version;   // in its stream, from 1
    Timestamp recorded_at;
    Uuid id;
    int schema_version;
    std::string stream, category, type;
    std::string data_text, metadata_text;  // JSON, as the server wrote it: numbers with all their digits

    // Parsed at each call. Both throw decode_error.
    json data() const;
    json metadata() const;
};

// What became of one stream of an append.
struct AppendResult {
    std::string stream;
    std::int64_t version;  // the stream's last, to expect of it next; 0 where it has no events
    // Of the events appended; 0 where there were none.
    std::int64_t first_version, first_position, last_position;
    bool is_duplicate;  // an earlier append was this one; nothing was written

    bool operator==(const AppendResult&) const = default;
};

// A part of an append to many streams. Without events the stream is only checked.
struct StreamWrite {
    std::string stream;
    ExpectedVersion expected = ExpectedVersion::any();
    std::vector<NewEvent> events{};
    std::optional<std::string> category{};
};

// The events of one stream, of one moment.
struct StreamSlice {
    std::int64_t version = 0;  // 0: no events
    std::vector<Event> events;
};

// Which events of the log to read; what is absent lets all pass.
struct EventFilter {
    std::optional<std::string> category{};
    std::optional<std::vector<std::string>> types{};
    std::optional<std::string> stream_prefix{};  // taken literally
};

}  // namespace tidemark
