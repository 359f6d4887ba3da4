#include <tidemark/projection_runner.hpp>

#include <tidemark/projection.hpp>

#include "backoff.hpp"
#include "recovery.hpp"

namespace tidemark {

using namespace detail;

ProjectionRunner::ProjectionRunner(ProjectionRunnerOptions options) : options_(std::move(options)) {
    if (options_.projection && options_.projection->empty()) throw usage_error("a projection without a name");
    if (options_.max_count < 1) throw usage_error("a batch needs room for an event at least");
    if (options_.reconnect_first_delay.count() < 0 || options_.reconnect_max_delay.count() < 0)
        throw usage_error("a delay cannot be negative");
}

void ProjectionRunner::run(std::stop_token stop) {
    using Clock = std::chrono::steady_clock;
    Connection connection(options_.connection);
    const ProjectionRun for_ever = {.max_count = options_.max_count, .duration = std::nullopt};
    for (int failures = 0; !stop.stop_requested();) {
        const auto start = Clock::now();
        try {
            const Waiting waiting(connection, stop, {}, options_.connection.timeout);
            options_.projection ? connection.projection(*options_.projection).run(for_ever)
                                : Projection::run_all(connection, for_ever);
        } catch (const error& problem) {
            if (stop.stop_requested()) return;
            report(problem);
            if (!is_passing(problem)) throw;
            if (Clock::now() - start > options_.reconnect_max_delay) failures = 0;  // it had run
            connection.close();
            rest(connection, stop,
                 random_delay_after(++failures, options_.reconnect_first_delay, options_.reconnect_max_delay));
        }
    }
}

void ProjectionRunner::report(const error& problem) const noexcept {
    try {
        if (options_.on_problem) options_.on_problem(problem);
    } catch (...) {
    }
}

}  // namespace tidemark
