// Who keeps asynchronous projections where the server's background worker does not.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include <tidemark/connection.hpp>
#include <tidemark/error.hpp>

namespace tidemark {

struct ProjectionRunnerOptions {
    // Its timeout is not heeded: running takes as long as it takes. Where the network may vanish without a word,
    // conninfo needs keepalives_idle and the like.
    ConnectionOptions connection{};
    // Which one to run; nothing: all asynchronous ones that have not failed, in turn, and new ones as they come.
    std::optional<std::string> projection{};
    std::int64_t max_count = 1'000;  // events of a batch, which is a transaction
    // Before it connects again; doubled each time that it could not.
    std::chrono::milliseconds reconnect_first_delay{100};
    std::chrono::milliseconds reconnect_max_delay{10'000};
    // Called by the runner's thread with what it lives through, such as lost connections, and with what ends it. What
    // it throws is dropped. Of projections that fail beside others, connection.on_notice is told.
    std::function<void(const error&)> on_problem{};
};

// Runs projections on a connection of its own. The handlers are in the server, and so is all that they do; this keeps
// the call going: lost connections and servers that restart or fail over are waited for; where conninfo has several
// hosts, add target_session_attrs=read-write. The effects of a batch and its checkpoint are one transaction, so that
// whatever happens to the runner, each event is projected once.
//
// For one thread at a time. Run several, on several machines: each projection is worked on by one at a time, and others
// take over.
class ProjectionRunner {
  public:
    // Throws usage_error for options that cannot be.
    explicit ProjectionRunner(ProjectionRunnerOptions options);

    // Runs until the token is triggered; a batch in progress is undone then, and done by who runs next. Throws
    // server_error for what no waiting mends: TM006 where the projection of that name has failed, TM005 where there is
    // none, no rights, …
    void run(std::stop_token stop);

    const ProjectionRunnerOptions& options() const { return options_; }

  private:
    void report(const error& problem) const noexcept;

    ProjectionRunnerOptions options_;
};

}  // namespace tidemark
