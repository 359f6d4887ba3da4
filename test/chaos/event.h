// An event as writers promise it, readers see it and the log keeps it; and SHA-256 chains over sequences of events.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "connection.h"

namespace chaos {

struct Event {
    std::int64_t position = 0;
    std::int64_t version = 0;
    std::string stream, id, type, data;

    std::string category() const { return stream.substr(0, stream.find('-')); }
    bool operator==(const Event&) const = default;
};

// The columns that event_at() takes, in its order.
inline constexpr const char* event_columns = "position, version, stream_id, event_id, event_type, data";
Event event_at(const Rows& rows, int row);
std::string describe(const Event& event);
// The number that an event's data, as writers make it, has under a key.
std::optional<std::int64_t> number_in(const std::string& data, const std::string& key);

using Digest = std::array<unsigned char, 32>;

// The SHA-256 of all of the event's fields, each preceded by its length.
Digest digest_of(const Event& event);
std::string hex(const Digest& digest);

// value() stands for the whole sequence added so far: the SHA-256 of the value before and the event's digest.
class Chain {
  public:
    void add(const Digest& link);
    const Digest& value() const { return value_; }

  private:
    Digest value_{};
};

}  // namespace chaos
