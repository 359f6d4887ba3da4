#include <tidemark/snapshot.hpp>

#include <tidemark/operations.hpp>

#include "binary.hpp"
#include "savepoint.hpp"
#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

json Snapshot::state() const {
    json value = json::parse(state_text, nullptr, false);
    if (value.is_discarded())
        throw decode_error("the snapshot of stream \"" + stream + "\" at version " + std::to_string(version) +
                               ", schema version " + std::to_string(schema_version) + ": it is not readable as JSON",
                           "TM007");
    return value;
}

bool Operations::save_snapshot(std::string_view stream, std::int64_t version, const json& state, int schema_version) {
    Session& session = this->session();
    const Parameter parameters[] = {stream, version, state, schema_version};
    return integer_at(session.call(session.statements().save_snapshot, parameters).get(), 0, 0) != 0;
}

bool Operations::try_save_snapshot(std::string_view stream, std::int64_t version, const std::function<json()>& state,
                                   int schema_version) {
    Session& session = this->session();
    const auto report = [&](const char* why) {
        session.notice("no snapshot of stream \"" + std::string(stream) + "\" was saved at version " +
                       std::to_string(version) + ": " + why);
        return false;
    };
    Savepoint savepoint(session);
    try {
        const bool saved = save_snapshot(stream, version, state(), schema_version);
        savepoint.release();
        return saved;
    } catch (const std::exception& problem) {
        savepoint.undo();  // which throws where the transaction is lost, or the call was stopped
        return report(problem.what());
    }
}

std::optional<Snapshot> Operations::load_snapshot(std::string_view stream, int schema_version) {
    Session& session = this->session();
    const Parameter parameters[] = {stream, schema_version};
    const Result result = session.call(session.statements().load_snapshot, parameters);
    if (PQntuples(result.get()) == 0) return std::nullopt;
    return Snapshot{.stream = text_at(result.get(), 0, 0),
                    .schema_version = int_at(result.get(), 0, 1),
                    .version = integer_at(result.get(), 0, 2),
                    .state_text = jsonb_at(result.get(), 0, 3),
                    .saved_at = timestamp_at(result.get(), 0, 4)};
}

LoadedStream Operations::load_stream(std::string_view stream, int schema_version) {
    Session& session = this->session();
    const Parameter parameters[] = {stream, schema_version};
    const Result result = session.call(session.statements().load, parameters);
    const bool has_snapshot = PQntuples(result.get()) > 0 && !is_null(result.get(), 0, 10);
    LoadedStream loaded;
    if (has_snapshot)
        loaded.snapshot = {.stream = std::string(stream),
                           .schema_version = schema_version,
                           .version = integer_at(result.get(), 0, 10),
                           .state_text = jsonb_at(result.get(), 0, 11)};
    loaded.events = to_events(result.get(), has_snapshot ? 1 : 0);
    return loaded;
}

}  // namespace tidemark
