#include "conflicts.hpp"

#include <nlohmann/json.hpp>

#include <tidemark/event.hpp>

namespace tidemark::detail {

namespace {

// A number, or the word for what is none.
std::int64_t version_of(const json& value) {
    if (value.is_number_integer()) return value.get<std::int64_t>();
    return value == "stream exists" ? ExpectedVersion::stream_exists().number() : ExpectedVersion::no_stream().number();
}

}  // namespace

std::vector<VersionConflict> parse_conflicts(std::string_view detail) {
    std::vector<VersionConflict> conflicts;
    const json entries = json::parse(detail, nullptr, false);
    if (!entries.is_array()) return conflicts;
    for (const json& entry : entries) {
        if (!entry.is_object() || !entry.contains("stream") || !entry["stream"].is_string()) continue;
        const json actual = entry.value("actual", json());
        conflicts.push_back({entry["stream"].get<std::string>(), version_of(entry.value("expected", json())),
                             actual.is_number_integer() ? actual.get<std::int64_t>() : 0});
    }
    return conflicts;
}

}  // namespace tidemark::detail
