// Commands: read streams, decide, append to some of them if none of them has changed, and begin again if one has.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidemark/aggregate.hpp>
#include <tidemark/connection.hpp>
#include <tidemark/typed.hpp>

namespace tidemark {

// A command's view of the log in one attempt. Every stream that it has read is checked when it appends, those that it
// does not write to as well: what it decided on was true when its events came into the log.
class Command {
  public:
    // The stream as it was read: with the declared ones, of one moment, or where it was not declared, now.
    const StreamSlice& read(std::string_view stream);

    // The state of the stream's aggregate; of one with snapshots that was not declared, by its snapshot. Where a
    // snapshot of it is due after the command, it is saved by try_save_snapshot().
    template <AggregateState State>
    State load(std::string_view id) {
        const std::string stream = stream_of<State>(id);
        State state{};
        if constexpr (SnapshotState<State>) {
            if (read_.contains(stream)) {
                for (const Event& event : read(stream).events) fold(state, event);
            } else {
                const auto aggregate = Repository<State>::load(connection_, id);
                loaded_.emplace(stream, aggregate.version());
                state = aggregate.state();
            }
            snapshots_.emplace(stream, [state](Connection& log, const AppendResult& result, const auto& events) {
                if (!is_snapshot_due<State>(result.first_version - 1, result.version)) return;
                const auto next = [&] {
                    State after = state;
                    for (const NewEvent& event : events) fold(after, event);
                    return to_snapshot(after);
                };
                log.try_save_snapshot(result.stream, result.version, next, State::snapshot_version);
            });
        } else {
            for (const Event& event : read(stream).events) fold(state, event);
        }
        return state;
    }

    // What is to be appended if the command returns. A stream that was not read is appended to whatever it says.
    void append(std::string_view stream, NewEvent event);
    template <TypedEvent T>
    void append(std::string_view stream, const T& event, json metadata = json::object()) {
        append(stream, encode(event, std::move(metadata)));
    }

    // Which attempt it is, from 1.
    int attempt() const { return attempt_; }

  private:
    friend class CommandExecutor;
    Command(Connection& connection, int attempt) : connection_(connection), attempt_(attempt) {}

    Connection& connection_;
    const int attempt_;
    std::map<std::string, StreamSlice, std::less<>> read_;
    // Of what was loaded without being read: the version that it was at first.
    std::map<std::string, std::int64_t, std::less<>> loaded_;
    // Called with what has become of the stream by the command.
    using SaveSnapshot = std::function<void(Connection&, const AppendResult&, const std::vector<NewEvent>&)>;
    std::map<std::string, SaveSnapshot, std::less<>> snapshots_;
    std::vector<std::pair<std::string, std::vector<NewEvent>>> written_;  // in the order of their first events
};

struct CommandOptions {
    int max_attempts = 5;
    // Before the second attempt; doubled before each further one. What is waited is drawn between half of it and all.
    std::chrono::milliseconds first_delay{10};
    std::chrono::milliseconds max_delay{1'000};
    std::optional<std::string> correlation_id{};  // goes into the metadata of every event

    // An attempt that failed by a conflict.
    struct Conflict {
        int attempt;
        std::vector<VersionConflict> conflicts;
        std::chrono::milliseconds delay;  // before the next one; zero: there is none
    };
    std::function<void(const Conflict&)> on_conflict{};
};

// For one thread at a time, as its connection.
class CommandExecutor {
  public:
    explicit CommandExecutor(Connection& connection, CommandOptions options = {})
        : connection_(connection), options_(std::move(options)) {}

    // Reads the declared streams, runs decide(command), and appends what it says. Again where a stream has changed
    // meanwhile; after the last attempt throws wrong_expected_version. What decide throws is never retried, and
    // nothing is appended then. Returns what decide returns.
    template <typename Decide>
    auto run(const std::vector<std::string>& streams, Decide&& decide) {
        for (int attempt = 1;; attempt++) {
            Command command = begin(streams, attempt);
            if constexpr (std::is_void_v<std::invoke_result_t<Decide&, Command&>>) {
                decide(command);
                if (finish(command)) return;
            } else {
                auto decided = decide(command);
                if (finish(command)) return decided;
            }
        }
    }

    // What the last command has appended: a result for each stream, those that were only checked too.
    const std::vector<AppendResult>& results() const { return results_; }

  private:
    Command begin(const std::vector<std::string>& streams, int attempt);
    // False: a conflict, after which to try again.
    bool finish(Command& command);

    Connection& connection_;
    CommandOptions options_;
    std::vector<AppendResult> results_;
};

}  // namespace tidemark
