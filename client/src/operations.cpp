#include <tidemark/operations.hpp>

#include "binary.hpp"
#include "savepoint.hpp"
#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

namespace {

// A call that may fail by a conflict. In a transaction it is undone then, and the transaction goes on.
template <typename Call>
auto attempt(Session& session, Call call) -> Outcome<decltype(call())> {
    Savepoint savepoint(session);
    try {
        auto result = call();
        savepoint.release();
        return result;
    } catch (const wrong_expected_version& conflict) {
        savepoint.undo();
        return conflict.conflicts();
    }
}

}  // namespace

AppendResult Operations::append(std::string_view stream, std::span<const NewEvent> events, ExpectedVersion expected,
                                std::optional<std::string_view> category) {
    Session& session = this->session();
    // One event goes the shorter way.
    const Statement& statement = events.size() == 1 ? session.statements().append : session.statements().append_events;
    const std::vector<Parameter> parameters = append_parameters(stream, events, expected, category);
    return session.repeat_in_doubt([&] {
        const AppendResult result = to_append_result(session.call(statement, parameters).get(), 0);
        if (!events.empty()) session.witness(stream, events.front().id);
        return result;
    });
}

std::vector<AppendResult> Operations::append_streams(std::span<const StreamWrite> writes,
                                                     std::optional<std::string_view> correlation_id) {
    Session& session = this->session();
    const Parameter parameters[] = {to_json(writes), nullable(correlation_id)};
    return session.repeat_in_doubt([&] {
        const Result result = session.call(session.statements().append_streams, parameters);
        std::vector<AppendResult> results;
        for (int row = 0; row < PQntuples(result.get()); row++) results.push_back(to_append_result(result.get(), row));
        for (const StreamWrite& write : writes)
            if (!write.events.empty()) session.witness(write.stream, write.events.front().id);
        return results;
    });
}

Outcome<AppendResult> Operations::try_append(std::string_view stream, std::span<const NewEvent> events,
                                             ExpectedVersion expected, std::optional<std::string_view> category) {
    return attempt(session(), [&] { return append(stream, events, expected, category); });
}

Outcome<std::vector<AppendResult>> Operations::try_append_streams(std::span<const StreamWrite> writes,
                                                                  std::optional<std::string_view> correlation_id) {
    return attempt(session(), [&] { return append_streams(writes, correlation_id); });
}

std::vector<Event> Operations::read_stream_page(std::string_view stream, std::optional<std::int64_t> from_version,
                                                std::int64_t max_count, bool backward) {
    Session& session = this->session();
    const Parameter parameters[] = {stream, from_version, max_count, backward};
    return to_events(session.call(session.statements().read_stream, parameters).get());
}

namespace {

// The pages that follow one another; one that is not full is the last.
template <typename Page>
Events in_pages(std::size_t page_size, Page page) {
    return Events([page_size, page, full = true](const Event* last) mutable {
        if (last && !full) return std::vector<Event>();
        std::vector<Event> events = page(last);
        full = events.size() == page_size;
        return events;
    });
}

}  // namespace

Events Operations::read_stream(std::string_view stream, std::int64_t from_version) {
    const int size = session().options().page_size;
    return in_pages(size, [this, size, id = std::string(stream), from_version](const Event* last) {
        return read_stream_page(id, last ? last->version + 1 : from_version, size, false);
    });
}

Events Operations::read_stream_backward(std::string_view stream, std::optional<std::int64_t> from_version) {
    const int size = session().options().page_size;
    return in_pages(size, [this, size, id = std::string(stream), from_version](const Event* last) {
        if (last && last->version == 1) return std::vector<Event>();
        return read_stream_page(id, last ? last->version - 1 : from_version, size, true);
    });
}

std::map<std::string, StreamSlice, std::less<>> Operations::read_streams(std::span<const std::string> streams) {
    Session& session = this->session();
    const Parameter parameters[] = {std::vector<std::string>(streams.begin(), streams.end())};
    std::map<std::string, StreamSlice, std::less<>> slices;
    for (const std::string& stream : streams) slices[stream];
    for (Event& event : to_events(session.call(session.statements().read_streams, parameters).get())) {
        StreamSlice& slice = slices[event.stream];
        slice.version = event.version;
        slice.events.push_back(std::move(event));
    }
    return slices;
}

Events Operations::read_after(std::int64_t position, EventFilter filter) {
    const int size = session().options().page_size;
    return in_pages(size, [this, size, position, filter = std::move(filter)](const Event* last) {
        return read_page(last ? last->position : position, size, filter);
    });
}

std::vector<Event> Operations::read_page(std::int64_t after, std::int64_t max_count, const EventFilter& filter,
                                         std::chrono::milliseconds wait) {
    Session& session = this->session();
    const Parameter parameters[] = {after,         max_count, filter.category, filter.types, filter.stream_prefix,
                                    interval(wait)};
    return to_events(session.call(session.statements().read_after, parameters).get());
}

std::int64_t Operations::stream_version(std::string_view stream) {
    Session& session = this->session();
    const Parameter parameters[] = {stream};
    return integer_at(session.call(session.statements().stream_version, parameters).get(), 0, 0);
}

std::int64_t Operations::safe_position() {
    Session& session = this->session();
    return integer_at(session.call(session.statements().safe_position, {}).get(), 0, 0);
}

std::int64_t Operations::head_position() {
    Session& session = this->session();
    return integer_at(session.call(session.statements().head_position, {}).get(), 0, 0);
}

Rows Operations::execute_with(const std::string& sql, std::span<const Parameter> parameters) {
    if (sql.find('\0') != std::string::npos) throw usage_error("a statement with a NUL character");
    return Rows(std::shared_ptr<const void>(session().run(sql, parameters).release(), [](const void* result) {
        PQclear(static_cast<PGresult*>(const_cast<void*>(result)));
    }));
}

}  // namespace tidemark
