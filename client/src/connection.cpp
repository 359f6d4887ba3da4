#include <tidemark/connection.hpp>

#include "binary.hpp"
#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

Connection::Connection(ConnectionOptions options) : session_(std::make_unique<Session>(std::move(options))) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Session& Connection::own_session() {
    if (!session_) throw usage_error("the connection was moved from");
    return *session_;
}

Session& Connection::session() {
    Session& session = own_session();
    if (session.in_transaction()) throw usage_error("a transaction is open on this connection");
    if (session.in_pipeline()) throw usage_error("appends of a pipeline are in flight on this connection");
    return session;
}

Transaction Connection::begin(TransactionOptions options) { return Transaction(session(), options); }

bool Connection::was_committed(const commit_in_doubt& doubt) {
    if (doubt.witnesses().empty())
        throw usage_error("the transaction has appended nothing that would tell whether it was committed");
    Session& session = this->session();
    // A stream that was appended to is locked until that transaction has ended, so checking it waits for that.
    std::vector<StreamWrite> checks;
    std::vector<std::string> ids;
    std::set<std::string_view> streams;
    for (const auto& [stream, id] : doubt.witnesses()) {
        if (streams.insert(stream).second) checks.push_back({.stream = stream});
        ids.push_back(id.to_string());
    }
    append_streams(checks);
    const Parameter parameters[] = {ids};
    return integer_at(session.call(session.statements().any_of_events, parameters).get(), 0, 0) > 0;
}

bool Connection::is_alive() noexcept { return session_ && session_->answers(); }

void Connection::reconnect() { session().reopen(); }
void Connection::close() noexcept {
    if (session_) session_->close();
}

void Connection::set_timeout(std::chrono::milliseconds timeout) { own_session().set_timeout(timeout); }
void Connection::set_stop_token(std::stop_token token) { own_session().set_stop_token(std::move(token)); }

void Connection::pause(std::chrono::milliseconds time) { session().pause(time); }

bool Connection::in_transaction() const noexcept { return session_ && session_->in_transaction(); }

int Connection::backend_pid() const {
    return session_ && session_->is_open() ? PQbackendPID(session_->connection()) : 0;
}

}  // namespace tidemark
