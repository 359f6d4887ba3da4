#include <tidemark/projection.hpp>

#include <utility>

#include "binary.hpp"
#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

namespace {

using Mode = ProjectionDefinition::Mode;

const char* text_of(Mode mode) { return mode == Mode::sync ? "sync" : "async"; }

const char* text_of(ProjectionDefinition::OnError strategy) {
    static constexpr const char* STRATEGIES[] = {"fail", "park", "retry"};
    return STRATEGIES[static_cast<int>(strategy)];
}

ProjectionStatus to_status(const PGresult* result, int row) {
    ProjectionStatus status = {
        .name = text_at(result, row, 0),
        .mode = text_at(result, row, 1) == "sync" ? Mode::sync : Mode::async,
        .handler = text_at(result, row, 2),
        .checkpoint = optional_at<std::int64_t>(integer_at, result, row, 3),
        .backlog = integer_at(result, row, 4),
        .backlog_is_exact = integer_at(result, row, 5) != 0,
        .oldest_undelivered_at = time_or_null(result, row, 6),
        .oldest_undelivered_age = optional_at<std::chrono::microseconds>(integer_at, result, row, 7),
        .acked_at = time_or_null(result, row, 19),
        .failure = {},
        .parked = integer_at(result, row, 13),
        .rebuild = {},
    };
    if (const auto failed_at = time_or_null(result, row, 8))
        status.failure = {*failed_at, integer_at(result, row, 9), int_at(result, row, 10),
                          time_or_null(result, row, 11), text_at(result, row, 12)};
    if (const auto started_at = time_or_null(result, row, 14))
        status.rebuild = {*started_at, integer_at(result, row, 15), integer_at(result, row, 16),
                          optional_at<std::int64_t>(integer_at, result, row, 17),
                          optional_at<std::chrono::microseconds>(integer_at, result, row, 18)};
    return status;
}

// Procedures end transactions, so they cannot run in one of somebody else's.
void call_procedure(Session& session, const Statement& statement, std::span<const Parameter> parameters) {
    if (session.in_transaction())
        throw usage_error("projections are run and rebuilt in transactions of their own, not in this one");
    session.call(statement, parameters);
}

void run_projections(Session& session, const std::optional<std::string>& name, const ProjectionRun& how) {
    const Parameter parameters[] = {name, how.max_count,
                                    how.duration ? interval(*how.duration) : Parameter(std::nullopt)};
    call_procedure(session, session.statements().run_projection, parameters);
}

std::vector<ProjectionStatus> status_of(Session& session, const std::optional<std::string>& name) {
    const Parameter parameters[] = {name};
    return rows_of<ProjectionStatus>(session.call(session.statements().projection_status, parameters).get(), to_status);
}

}  // namespace

Projection Operations::projection(std::string name) { return {*this, std::move(name)}; }

std::vector<ProjectionStatus> Operations::projections() { return status_of(session(), std::nullopt); }

bool Projection::create(const ProjectionDefinition& definition) {
    const EventFilter& filter = definition.filter;
    const Parameter parameters[] = {name_,
                                    definition.handler,
                                    filter.category,
                                    filter.types,
                                    filter.stream_prefix,
                                    text_of(definition.mode),
                                    definition.start.text(),
                                    text_of(definition.on_error),
                                    definition.retries,
                                    interval(definition.retry_delay),
                                    definition.tables};
    Session& session = log_->session();
    return integer_at(session.call(session.statements().create_projection, parameters).get(), 0, 0) != 0;
}

bool Projection::drop() {
    Session& session = log_->session();
    const Parameter parameters[] = {name_};
    return integer_at(session.call(session.statements().drop_projection, parameters).get(), 0, 0) != 0;
}

void Projection::run(const ProjectionRun& how) { run_projections(log_->session(), name_, how); }

void Projection::run_all(Operations& log, const ProjectionRun& how) {
    run_projections(log.session(), std::nullopt, how);
}

void Projection::rebuild(std::int64_t max_count) {
    Session& session = log_->session();
    const Parameter parameters[] = {name_, max_count};
    call_procedure(session, session.statements().rebuild_projection, parameters);
}

void Projection::wait_for(std::int64_t position, std::chrono::milliseconds timeout) {
    log_->subscription(name_).wait_for(position, timeout);
}

std::optional<ProjectionStatus> Projection::status() {
    auto found = status_of(log_->session(), name_);
    if (found.empty()) return std::nullopt;
    return std::move(found.front());
}

}  // namespace tidemark
