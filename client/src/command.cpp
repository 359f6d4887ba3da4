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
    std::vector<StreamWrite> writes;
    for (auto& [stream, events] : command.written_) {
        const auto read = command.read_.find(stream);
        writes.push_back(
            {.stream = stream,
             .expected = read == command.read_.end() ? ExpectedVersion::any() : ExpectedVersion(read->second.version),
             .events = std::move(events)});
        if (read != command.read_.end()) command.read_.erase(read);
    }
    for (const auto& [stream, slice] : command.read_)
        writes.push_back({.stream = stream, .expected = ExpectedVersion(slice.version)});
    try {
        results_ = connection_.append_streams(writes, options_.correlation_id);
        return true;
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
}

}  // namespace tidemark
