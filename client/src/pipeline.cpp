#include <tidemark/pipeline.hpp>

#include <poll.h>

#include <utility>

#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

const AppendResult& Pipeline::Answer::get() const {
    if (has_failed()) std::rethrow_exception(std::get<std::exception_ptr>(value_));
    return std::get<AppendResult>(value_);
}

Pipeline::Pipeline(Connection& connection, std::size_t max_in_flight)
    : session_(connection.session()), max_in_flight_(max_in_flight) {
    if (max_in_flight == 0) throw usage_error("a pipeline needs room for an append at least");
    if (!session_.options().prepared_statements) throw usage_error("a pipeline needs prepared statements");
}

Pipeline::~Pipeline() {
    while (!requests_.empty()) {
        try {
            finish();
        } catch (...) {  // what a handler throws leaves the others to be answered; what else there is leaves none
        }
    }
    leave();
}

// Runs the step, and again after what was sent has been sent again in a new session.
template <typename Step>
auto Pipeline::repeat_when_lost(Step step) {
    for (int left = Session::REPETITIONS;; left--) {
        try {
            return step();
        } catch (const Session::Interrupted&) {
            abandon("the pipeline was stopped, or ran into its timeout");
        } catch (const connection_lost& lost) {
            is_entered_ = false;
            if (left == 0) abandon(lost.what());
        } catch (const error& problem) {
            abandon(problem.what());
        }
    }
}

void Pipeline::append(std::string_view stream, std::span<const NewEvent> events, ExpectedVersion expected,
                      Handler handler) {
    if (session_.in_transaction()) throw usage_error("a transaction is open on this connection");
    const Session::Clocked clocked(session_);
    Request request = {append_parameters(stream, events, expected, std::nullopt), events.size() == 1,
                       std::move(handler)};
    // What fails up to here, nothing has happened of.
    session_.heed_stop();
    if (!is_entered_) open();
    requests_.push_back(std::move(request));
    repeat_when_lost([&] {
        if (!enter()) send(requests_.back());
        session_.flush();
    });
    settle(max_in_flight_);
}

void Pipeline::finish() {
    const Session::Clocked clocked(session_);
    settle(0);
    leave();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// Receives answers until so many are left, and hands them over. A handler may throw: its append is answered then.
void Pipeline::settle(std::size_t in_flight) {
    while (requests_.size() > in_flight) {
        const Answer answer = repeat_when_lost([&] {
            enter();
            session_.flush();
            return receive();
        });
        const Handler handler = std::move(requests_.front().handler);
        requests_.pop_front();
        if (handler) {
            handler(answer);
        } else if (answer.has_failed() && !failure_) {
            failure_ = answer.failure();
        }
    }
}

void Pipeline::abandon(const std::string& why) {
    session_.close();
    is_entered_ = false;
    const std::size_t unanswered = requests_.size();
    requests_.clear();
    throw commit_in_doubt(why + "; appends without an answer: " + std::to_string(unanswered));
}

// Opens the session, and again where it is lost before anything was sent.
void Pipeline::open() {
    for (int left = Session::REPETITIONS;; left--) {
        try {
            session_.start_call();
            for (const Statement* statement : {&session_.statements().append, &session_.statements().append_events})
                if (!session_.is_prepared(*statement)) session_.prepare(*statement);
            return;
        } catch (const connection_lost& lost) {
            if (left == 0 || lost.sqlstate() == Session::CANNOT_CONNECT) throw;
        }
    }
}

// Enters pipeline mode, where that is not on, and sends all that has no answer. True where it did.
bool Pipeline::enter() {
    if (is_entered_ || requests_.empty()) return false;
    open();
    if (!PQenterPipelineMode(session_.connection())) session_.fail_lost(Effect::none);
    is_entered_ = true;
    for (const Request& request : requests_) send(request);
    return true;
}

void Pipeline::leave() noexcept {
    if (is_entered_ && session_.is_open() && !PQexitPipelineMode(session_.connection())) session_.close();
    is_entered_ = false;
}

void Pipeline::send(const Request& request) {
    const Statements& statements = session_.statements();
    if (!session_.send(request.single ? statements.append : statements.append_events, request.parameters) ||
        !PQpipelineSync(session_.connection()))
        session_.fail_lost(Effect::none);
}

// The answer to the oldest request: the last of its results, or an error, which may be that of its commit.
Pipeline::Answer Pipeline::receive() {
    Result last(nullptr, PQclear);
    for (int ends = 0;;) {
        Result next = session_.next_result();
        if (next && PQresultStatus(next.get()) == PGRES_PIPELINE_SYNC) break;
        // Null is the end of a statement's results, or of the connection.
        if (next ? lacks_sqlstate(next.get()) : ++ends > 2) session_.fail_lost(Effect::none);
        if (next && (!last || PQresultStatus(last.get()) == PGRES_TUPLES_OK)) last = std::move(next);
    }
    if (!last) session_.fail_lost(Effect::none);
    try {
        if (PQresultStatus(last.get()) != PGRES_TUPLES_OK) session_.fail(last.get());
        return to_append_result(last.get(), 0);
    } catch (const connection_lost&) {
        throw;
    } catch (const error&) {
        return std::current_exception();
    }
}

}  // namespace tidemark
