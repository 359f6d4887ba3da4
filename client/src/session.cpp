#include "session.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <thread>
#include <utility>

#include "conflicts.hpp"
#include "statements.hpp"

namespace tidemark::detail {

namespace {

// How long the server may take to answer a cancellation before the connection is given up.
constexpr std::chrono::seconds GRACE{2};

std::string message_of(const PGconn* connection) {
    std::string message = connection ? PQerrorMessage(connection) : "no connection";
    while (!message.empty() && message.back() == '\n') message.pop_back();
    return message.empty() ? "the connection is gone" : message;
}

std::string field(const PGresult* result, int code) {
    const char* value = PQresultErrorField(result, code);
    return value ? value : "";
}

bool failed(const PGresult* result) {
    const ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE || status == PGRES_PIPELINE_ABORTED;
}

}  // namespace

bool lacks_sqlstate(const PGresult* result) { return failed(result) && !PQresultErrorField(result, PG_DIAG_SQLSTATE); }

namespace {

struct Bound {
    explicit Bound(std::span<const Parameter> parameters) {
        values.reserve(parameters.size());
        for (const Parameter& parameter : parameters)
            values.push_back(parameter.text() ? parameter.text()->c_str() : nullptr);
    }
    int count() const { return static_cast<int>(values.size()); }
    std::vector<const char*> values;
};

}  // namespace

Session::Session(ConnectionOptions options)
    : options_(std::move(options)), statements_(std::make_unique<Statements>(options_.schema)) {
    if (options_.page_size < 1) throw usage_error("a page needs room for an event at least");
}

Session::~Session() { close(); }

void Session::reopen() {
    start_clock();
    open();
}

void Session::close() noexcept {
    connection_.reset();
    prepared_.clear();
}

void Session::set_stop_token(std::stop_token token) { wakeup_.set(std::move(token)); }

void Session::pause(std::chrono::milliseconds time) {
    const auto until = Clock::now() + time;
    for (auto left = time; left.count() > 0;
         left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now())) {
        if (wakeup_.triggered()) give_up();
        pollfd watched = {wakeup_.descriptor(), POLLIN, 0};
        ::poll(&watched, 1, static_cast<int>(std::min<std::chrono::milliseconds::rep>(left.count(), 1'000'000)));
    }
}

void Session::start_clock() {
    if (clock_runs_) return;
    deadline_.reset();
    if (options_.timeout.count() > 0) deadline_ = Clock::now() + options_.timeout;
}

void Session::open() {
    close();
    const auto connect_by = Clock::now() + options_.connect_timeout;
    const auto call_by = deadline_;
    if (options_.connect_timeout.count() > 0) deadline_ = call_by ? std::min(*call_by, connect_by) : connect_by;
    const char* keys[] = {"dbname", "fallback_application_name", "client_encoding", nullptr};
    const char* values[] = {options_.conninfo.c_str(), "tidemark", "UTF8", nullptr};
    connection_.reset(PQconnectStartParams(keys, values, 1));
    PQsetNoticeProcessor(
        connection_.get(), [](void* session, const char* message) { static_cast<Session*>(session)->notice(message); },
        this);
    try {
        PostgresPollingStatusType next = PGRES_POLLING_WRITING;
        while (PQstatus(connection_.get()) != CONNECTION_BAD && next != PGRES_POLLING_OK) {
            if (next == PGRES_POLLING_FAILED) break;
            wait(next == PGRES_POLLING_READING ? POLLIN : POLLOUT);
            next = PQconnectPoll(connection_.get());
        }
    } catch (const Interrupted&) {
        close();
        deadline_ = call_by;
        if (wakeup_.triggered() || (call_by && Clock::now() >= *call_by)) give_up();
        throw connection_lost("the server did not let us in in time", CANNOT_CONNECT);
    }
    deadline_ = call_by;
    if (!is_open()) {
        const std::string message = message_of(connection_.get());
        close();
        throw connection_lost(message, CANNOT_CONNECT);
    }
    PQsetnonblocking(connection_.get(), 1);
}

// libpq calls this, and is C.
void Session::notice(std::string_view message) const noexcept {
    try {
        if (options_.on_notice) options_.on_notice(message);
    } catch (...) {
    }
}

// Whether the server has ended the session while nothing was asked of it.
bool Session::has_hung_up() noexcept {
    pollfd socket = {PQsocket(connection_.get()), POLLIN, 0};
    while (::poll(&socket, 1, 0) > 0)
        if (!PQconsumeInput(connection_.get())) return true;
    return false;
}

bool Session::answers() noexcept {
    try {
        if (!is_open() || has_hung_up()) return false;
        if (!in_pipeline()) execute("", {}, Effect::none, Format::text);
        return true;
    } catch (const server_error& refused) {
        return refused.sqlstate() == "25P02";  // as in a transaction that has failed
    } catch (const error&) {
        return false;
    }
}

void Session::wait(short events) {
    for (;;) {
        if (heeds_stop_ && wakeup_.triggered()) throw Interrupted();
        int patience = -1;
        if (deadline_) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
            if (left <= 0) throw Interrupted();
            patience = static_cast<int>(std::min<decltype(left)>(left, 1'000'000));
        }
        pollfd watched[] = {{PQsocket(connection_.get()), events, 0},
                            {heeds_stop_ ? wakeup_.descriptor() : -1, POLLIN, 0}};
        const int ready = ::poll(watched, 2, patience);
        if (ready < 0 && errno != EINTR) return;  // libpq finds out what is wrong with the socket
        if (watched[0].revents != 0) return;
    }
}

void Session::flush() {
    int left;
    while ((left = PQflush(connection_.get())) == 1) {
        wait(POLLIN | POLLOUT);
        // The server may be waiting for us to read before it goes on reading.
        if (!PQconsumeInput(connection_.get())) return;
    }
}

Result Session::next_result() {
    while (PQisBusy(connection_.get())) {
        wait(POLLIN);
        if (!PQconsumeInput(connection_.get())) return {nullptr, PQclear};
    }
    return {PQgetResult(connection_.get()), PQclear};
}

// All results of a statement but the last are void, unless one is an error.
Result Session::receive() {
    Result last(nullptr, PQclear);
    for (;;) {
        Result next = next_result();
        if (!next) return last;
        const ExecStatusType status = PQresultStatus(next.get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            close();
            throw usage_error("COPY from or to the client is not supported; the connection was closed");
        }
        if (!last || !failed(last.get())) last = std::move(next);
    }
}

void Session::give_up() const {
    throw cancelled(wakeup_.triggered() ? "the call was stopped" : "the call ran into its timeout", "57014");
}

Result Session::exchange(bool sent, Effect effect) {
    Result result(nullptr, PQclear);
    if (!sent) fail_lost(Effect::none);
    try {
        flush();
        result = receive();
    } catch (const Interrupted&) {
        result = cancel_and_receive(effect);
    }
    if (!result || lacks_sqlstate(result.get())) fail_lost(effect);
    if (failed(result.get())) fail(result.get());
    return result;
}

// PQcancel() waits for as long as the network likes, so it runs by itself. False where it has not finished by the
// deadline: it may yet cancel whatever the session does then, so the session must not be used any more.
bool Session::request_cancel() {
    std::shared_ptr<PGcancel> request(PQgetCancel(connection_.get()), PQfreeCancel);
    if (!request) return false;
    std::packaged_task<void()> cancel([request] {
        char problem[256];
        PQcancel(request.get(), problem, sizeof problem);
    });
    const std::future<void> done = cancel.get_future();
    try {
        std::thread(std::move(cancel)).detach();
    } catch (const std::system_error&) {
        return false;
    }
    return done.wait_until(*deadline_) == std::future_status::ready;
}

// The server decides whether it has finished before it heard of the cancellation.
Result Session::cancel_and_receive(Effect effect) {
    deadline_ = Clock::now() + GRACE;
    const Deaf deaf(*this);
    try {
        if (!request_cancel()) throw Interrupted();
        flush();
        return receive();
    } catch (const Interrupted&) {
        fail_lost(effect);
    }
}

Result Session::call(const Statement& statement, std::span<const Parameter> parameters) {
    if (!options_.prepared_statements) return execute(statement.sql, parameters, statement.effect, statement.format);
    start_call();
    if (!is_prepared(statement)) prepare(statement);
    return exchange(send(statement, parameters), lasting(statement.effect));
}

Result Session::execute(const std::string& sql, std::span<const Parameter> parameters, Effect effect, Format format) {
    start_call();
    const Bound bound(parameters);
    Result result = exchange(PQsendQueryParams(connection_.get(), sql.c_str(), bound.count(), nullptr,
                                               bound.values.data(), nullptr, nullptr, static_cast<int>(format)),
                             lasting(effect));
    return result;
}

Result Session::run(const std::string& sql, std::span<const Parameter> parameters) {
    const bool inside = in_transaction_;
    Result result = execute(sql, parameters, Effect::lasting, Format::text);
    const bool is_inside = PQtransactionStatus(connection_.get()) != PQTRANS_IDLE;
    const bool has_ended = inside && std::string_view(PQcmdStatus(result.get())) == "COMMIT";  // AND CHAIN
    if (inside == is_inside && !has_ended) return result;
    close();  // so that nothing more can happen outside of a transaction that was thought to be in it
    throw usage_error(inside ? "a statement of one's own has ended the transaction; use commit() or rollback()"
                             : "a statement of one's own has begun a transaction; use begin()");
}

void Session::start_call() {
    start_clock();
    heed_stop();
    if (is_open() && (in_transaction_ || in_pipeline() || !has_hung_up())) return;
    if (in_transaction_) throw connection_lost("the connection was lost, and the transaction with it");
    open();
}

void Session::heed_stop() const {
    if (heeds_stop_ && wakeup_.triggered()) give_up();
}

Effect Session::lasting(Effect effect) const { return in_transaction_ && !committing_ ? Effect::none : effect; }

void Session::prepare(const Statement& statement) {
    exchange(PQsendPrepare(connection_.get(), statement.name, statement.sql.c_str(), 0, nullptr), Effect::none);
    prepared_.insert(statement.name);
}

bool Session::send(const Statement& statement, std::span<const Parameter> parameters) {
    const Bound bound(parameters);
    return PQsendQueryPrepared(connection_.get(), statement.name, bound.count(), bound.values.data(), nullptr, nullptr,
                               static_cast<int>(statement.format));
}

void Session::begin(const std::string& sql) {
    if (in_transaction_) throw usage_error("a transaction is open on this connection");
    execute(sql, {}, Effect::none, Format::text);
    in_transaction_ = true;
    witnesses_.clear();
}

void Session::commit() {
    committing_ = true;
    const struct End {
        Session& session;
        ~End() {
            session.committing_ = session.in_transaction_ = false;
            // Not asked for, as by a stop token that was triggered before: closing rolls back.
            if (PQtransactionStatus(session.connection()) != PQTRANS_IDLE) session.close();
        }
    } end{*this};
    const Result result = execute("COMMIT", {}, Effect::lasting, Format::text);
    if (std::string_view(PQcmdStatus(const_cast<PGresult*>(result.get()))) == "ROLLBACK")
        throw server_error("the transaction had failed and was rolled back", "25P02", {},
                           "A statement in it failed; undo such a one by a savepoint, or begin again.");
}

void Session::rollback() noexcept {
    if (!in_transaction_) return;
    const Deaf deaf(*this);
    try {
        if (is_open()) execute("ROLLBACK", {}, Effect::none, Format::text);
    } catch (const error&) {
        close();  // which rolls back, too
    }
    in_transaction_ = false;
}

void Session::witness(std::string_view stream, const Uuid& event_id) {
    if (in_transaction_) witnesses_.push_back({std::string(stream), event_id});
}

void Session::fail(const PGresult* result) const {
    const std::string state = field(result, PG_DIAG_SQLSTATE), message = field(result, PG_DIAG_MESSAGE_PRIMARY),
                      detail = field(result, PG_DIAG_MESSAGE_DETAIL), hint = field(result, PG_DIAG_MESSAGE_HINT);
    if (state == "TM001") throw wrong_expected_version(message, detail, hint, parse_conflicts(detail));
    if (state == "TM004") throw lease_lost(message, state, detail, hint);
    if (state == "57014") throw cancelled(message, state, detail, hint);
    // The server has ended the session, and said so before it did anything.
    const std::string severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == "FATAL" || severity == "PANIC") throw connection_lost(message, state);
    throw server_error(message, state, detail, hint,
                       {field(result, PG_DIAG_CONSTRAINT_NAME), field(result, PG_DIAG_TABLE_NAME)});
}

void Session::fail_lost(Effect effect) {
    const std::string message = message_of(connection_.get());
    close();
    if (effect == Effect::lasting) throw commit_in_doubt(message, committing_ ? witnesses_ : decltype(witnesses_)());
    throw connection_lost(message);
}

}  // namespace tidemark::detail
