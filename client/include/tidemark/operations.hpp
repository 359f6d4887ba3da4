// What can be done with the log: the same on a Connection, where each call is a transaction of its own, and in a
// Transaction. Every call is one SQL call of the extension, and promises what that promises.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <tidemark/error.hpp>
#include <tidemark/event.hpp>
#include <tidemark/events.hpp>
#include <tidemark/rows.hpp>
#include <tidemark/snapshot.hpp>
#include <tidemark/typed.hpp>

namespace tidemark {

namespace detail {
class Session;
}
class Subscription;
class Projection;
struct ProjectionStatus;

// The answer to an append where a conflict is nothing exceptional: results, or the expectations that failed.
template <typename Result>
class Outcome {
  public:
    Outcome(Result result) : value_(std::move(result)) {}
    Outcome(std::vector<VersionConflict> conflicts) : value_(std::move(conflicts)) {}

    explicit operator bool() const { return std::holds_alternative<Result>(value_); }
    // Throws usage_error where the append was refused.
    const Result& operator*() const {
        if (!*this) throw usage_error("the append was refused and has no result");
        return *std::get_if<Result>(&value_);
    }
    const Result* operator->() const { return &**this; }
    // Empty where the append succeeded.
    std::vector<VersionConflict> conflicts() const {
        const auto* conflicts = std::get_if<std::vector<VersionConflict>>(&value_);
        return conflicts ? *conflicts : std::vector<VersionConflict>();
    }

  private:
    std::variant<Result, std::vector<VersionConflict>> value_;
};

class Operations {
  public:
    // Appends events to a stream, all or none. The category is that of the stream, or for a new one the text before the
    // first "-" of its id, unless it is given.
    // Throws wrong_expected_version; server_error with TM003 where the log has one of the ids already, but not by this
    // very append; server_error with 22023 for what is no event. Without events it checks the expectation.
    AppendResult append(std::string_view stream, std::span<const NewEvent> events,
                        ExpectedVersion expected = ExpectedVersion::any(),
                        std::optional<std::string_view> category = {});
    AppendResult append(std::string_view stream, std::initializer_list<NewEvent> events,
                        ExpectedVersion expected = ExpectedVersion::any(),
                        std::optional<std::string_view> category = {}) {
        return append(stream, std::span(events.begin(), events.size()), expected, category);
    }
    AppendResult append(std::string_view stream, const NewEvent& event,
                        ExpectedVersion expected = ExpectedVersion::any(),
                        std::optional<std::string_view> category = {}) {
        return append(stream, std::span(&event, 1), expected, category);
    }

    // A typed event; see typed.hpp.
    template <TypedEvent T>
    AppendResult append(std::string_view stream, const T& event, ExpectedVersion expected = ExpectedVersion::any(),
                        json metadata = json::object()) {
        return append(stream, encode(event, std::move(metadata)), expected);
    }

    // Appends to many streams, all or none, and checks those of the writes that have no events. A result for each
    // write. The correlation id goes into the metadata of every event.
    std::vector<AppendResult> append_streams(std::span<const StreamWrite> writes,
                                             std::optional<std::string_view> correlation_id = {});

    std::vector<AppendResult> append_streams(std::initializer_list<StreamWrite> writes,
                                             std::optional<std::string_view> correlation_id = {}) {
        return append_streams(std::span(writes.begin(), writes.size()), correlation_id);
    }

    // The same, for code in which conflicts are routine: a failed expectation is an answer, not an exception. In a
    // transaction it undoes the append alone, by a savepoint.
    Outcome<AppendResult> try_append(std::string_view stream, std::span<const NewEvent> events,
                                     ExpectedVersion expected, std::optional<std::string_view> category = {});
    Outcome<AppendResult> try_append(std::string_view stream, const NewEvent& event, ExpectedVersion expected) {
        return try_append(stream, std::span(&event, 1), expected);
    }
    Outcome<std::vector<AppendResult>> try_append_streams(std::span<const StreamWrite> writes,
                                                          std::optional<std::string_view> correlation_id = {});

    // The events of a stream in version order, from a version on, or backward; fetched in pages while they are iterated
    // over. A stream without events is empty.
    Events read_stream(std::string_view stream, std::int64_t from_version = 1);
    Events read_stream_backward(std::string_view stream, std::optional<std::int64_t> from_version = {});

    // All events of several streams, of one moment. Each id has its slice.
    std::map<std::string, StreamSlice, std::less<>> read_streams(std::span<const std::string> streams);

    // The version of the stream's last event, 0 if it has none.
    std::int64_t stream_version(std::string_view stream);

    // The log after a position, in order, up to the safe position of the moment; fetched in pages while it is iterated
    // over. Whoever goes on from the position of the last event misses none.
    Events read_after(std::int64_t position = 0, EventFilter filter = {});
    // One page of it. Where there is nothing yet it waits that long, at most a minute, for an event to come.
    std::vector<Event> read_page(std::int64_t after, std::int64_t max_count, const EventFilter& filter = {},
                                 std::chrono::milliseconds wait = {});

    std::int64_t safe_position();
    std::int64_t head_position();

    // Saves what the stream adds up to at a version; of each schema version of the state there is one. False, and
    // nothing changed, where there is one at least as new. Throws server_error with 22023 for a version that the stream
    // does not have. Where the answer is lost, it may be repeated.
    bool save_snapshot(std::string_view stream, std::int64_t version, const json& state, int schema_version = 1);
    // The same, for code to which it is a matter of speed alone: false also where it fails, or state() does, and
    // ConnectionOptions::on_notice is told why. In a transaction it is undone then by a savepoint.
    bool try_save_snapshot(std::string_view stream, std::int64_t version, const std::function<json()>& state,
                           int schema_version = 1);
    // That of this schema version.
    std::optional<Snapshot> load_snapshot(std::string_view stream, int schema_version = 1);
    // The same, with the events behind it, of one moment.
    LoadedStream load_stream(std::string_view stream, int schema_version = 1);

    // The subscription of that name; see subscription.hpp.
    Subscription subscription(std::string name);

    // The projection of that name; see projection.hpp.
    Projection projection(std::string name);
    // Of all projections, by name.
    std::vector<ProjectionStatus> projections();

    // A statement of one's own, one at a time, its parameters bound to $1, $2, … It may do anything but begin or end a
    // transaction. Outside of one it throws commit_in_doubt where the connection is lost before the answer.
    template <typename... Parameters>
    Rows execute(const std::string& sql, const Parameters&... parameters) {
        if constexpr (sizeof...(parameters) == 0) {
            return execute_with(sql, {});
        } else {
            const Parameter all[] = {Parameter(parameters)...};
            return execute_with(sql, all);
        }
    }
    // The same, with as many parameters as there are.
    Rows execute_with(const std::string& sql, std::span<const Parameter> parameters);

  protected:
    Operations() = default;
    ~Operations() = default;
    Operations(const Operations&) = default;
    Operations& operator=(const Operations&) = default;

    // The session that the calls go to; throws usage_error where there is none any more.
    virtual detail::Session& session() = 0;

  private:
    friend class Subscription;
    friend class Projection;
    std::vector<Event> read_stream_page(std::string_view stream, std::optional<std::int64_t> from_version,
                                        std::int64_t max_count, bool backward);
};

}  // namespace tidemark
