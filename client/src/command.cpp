#include <tidemark/command.hpp>

#include <algorithm>

#include "backoff.hpp"

namespace tidemark {

const StreamSlice& Command::read(std::string_view stream) {
    const auto found = read_.find(stream);
    if (found != read_.end()) return found->second;
    const std::string id(stream);
    read_.merge(connection_.read_streams(std::span(&id, 1)));
    return read_.at(id);
}

void Command::append(std::string_view stream, NewEvent event) {
    auto found =
        std::find_if(written_.begin(), written_.end(), [&](const auto& entry) { return entry.first == stream; });
    if (found == written_.end()) found = written_.insert(found, {std::string(stream), {}});
    found->second.push_back(std::move(event));
}

Command CommandExecutor::begin(const std::vector<std::string>& streams, int attempt) {
    results_.clear();
    Command command(connection_, attempt);
    if (!streams.empty()) command.read_ = connection_.read_streams(streams);
    return command;
}

bool CommandExecutor::finish(Command& command) {
    if (command.written_.empty()) return true;
    auto versions = std::move(command.loaded_);
    for (const auto& [stream, slice] : command.read_) versions.emplace(stream, slice.version);
    std::vector<StreamWrite> writes;
    for (auto& [stream, events] : command.written_) {
        const auto known = versions.find(stream);
        writes.push_back({.stream = stream,
                          .expected = known == versions.end() ? ExpectedVersion::any() : ExpectedVersion(known->second),
                          .events = std::move(events)});
        if (known != versions.end()) versions.erase(known);
    }
    for (const auto& [stream, version] : versions)
        writes.push_back({.stream = stream, .expected = ExpectedVersion(version)});
    try {
        results_ = connection_.append_streams(writes, options_.correlation_id);
    } catch (const wrong_expected_version& conflict) {
        const bool is_last = command.attempt() >= options_.max_attempts;
        const auto delay =
            is_last ? std::chrono::milliseconds(0)
                    : detail::random_delay_after(command.attempt(), options_.first_delay, options_.max_delay);
        if (options_.on_conflict) options_.on_conflict({command.attempt(), conflict.conflicts(), delay});
        if (is_last) throw;
        connection_.pause(delay);
        return false;
    }
    for (std::size_t i = 0; i < command.written_.size(); i++) {
        const auto snapshot = command.snapshots_.find(writes[i].stream);
        if (snapshot != command.snapshots_.end()) snapshot->second(connection_, results_[i], writes[i].events);
    }
    return true;
}

}  // namespace tidemark
