// The id of an event.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidemark {

struct Uuid {
    std::array<std::uint8_t, 16> bytes{};

    // A new one, time-ordered (version 7), so that ids made together stand together in the log's index. Thread-safe.
    static Uuid make();

    // From 8-4-4-4-12 hexadecimal digits; throws usage_error.
    static Uuid parse(std::string_view text);

    std::string to_string() const;

    auto operator<=>(const Uuid&) const = default;
};

}  // namespace tidemark
