// Projections: read models that the server itself keeps, by a function of SQL or of any other language that it has. A
// synchronous one is kept in the transaction of each append; an asynchronous one by who runs it: run(), a
// ProjectionRunner, or the server's background worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tidemark/event.hpp>
#include <tidemark/operations.hpp>
#include <tidemark/subscription.hpp>

namespace tidemark {

struct ProjectionDefinition {
    enum class Mode { async, sync };
    // What becomes of an event that the handler has failed at: the projection stops there, or sets the event aside and
    // goes on, or tries it again for ever.
    enum class OnError { fail, park, retry };

    // A function of an es_events or of an es_events[], by its name.
    std::string handler{};
    EventFilter filter{};
    Mode mode = Mode::async;
    SubscriptionStart start = SubscriptionStart::beginning();
    // Of asynchronous ones. An event is tried again so often before `fail` or `park` happens.
    OnError on_error = OnError::fail;
    int retries = 0;
    std::chrono::milliseconds retry_delay{1'000};  // doubled before each further one
    // Those that the handler writes to, to be rebuilt.
    std::vector<std::string> tables{};
};

struct ProjectionRun {
    std::int64_t max_count = 1'000;  // events of a batch, which is a transaction
    // How long to go on following the log; zero: to the safe position; nothing: until it is stopped.
    std::optional<std::chrono::milliseconds> duration{0};
};

struct ProjectionStatus {
    // Of the event that could not be projected last, as long as none was after it.
    struct Failure {
        Timestamp at;
        std::int64_t position;
        int attempts;
        std::optional<Timestamp> retry_at;
        std::string error;
    };
    struct Rebuild {
        Timestamp started_at;
        std::int64_t done, total;          // events; so many there were when it began
        std::optional<std::int64_t> rate;  // events a second
        std::optional<std::chrono::microseconds> remaining;
    };

    std::string name;
    ProjectionDefinition::Mode mode;
    std::string handler;  // as it was found when the projection was created
    // Nothing for a synchronous one, which is where the log is.
    std::optional<std::int64_t> checkpoint;
    std::int64_t backlog;  // as in PartitionStatus
    bool backlog_is_exact;
    std::optional<Timestamp> oldest_undelivered_at;
    std::optional<std::chrono::microseconds> oldest_undelivered_age;
    std::optional<Timestamp> acked_at;  // when it moved last
    std::optional<Failure> failure;
    std::int64_t parked;
    std::optional<Rebuild> rebuild;
};

// A projection, by its name; whether there is one is seen by its calls, which throw server_error with TM005 where there
// is none. Comes from Connection::projection() or Transaction::projection(), and is used on that connection or in that
// transaction, which must live as long. Every call is one SQL call, and promises what that promises. Parked events are
// seen to by the subscription of the same name.
class Projection {
  public:
    Projection(Operations& log, std::string name) : log_(&log), name_(std::move(name)) {}

    const std::string& name() const { return name_; }

    // False where it is there already with the same definition; whatever its start was. Throws server_error with 42710
    // where it is there with another one. A synchronous one has projected what is there already when this returns, and
    // throws what its handler fails by.
    bool create(const ProjectionDefinition& definition);
    // False where there is none. The tables stay as they are.
    bool drop();

    // Projects what there is, in transactions of its own, also where the projection has failed. Throws server_error
    // with TM006 where it fails again, and usage_error in a transaction. A timeout of the connection ends it between
    // batches or within one, which is undone then; what was done before stays.
    void run(const ProjectionRun& how = {});
    // The same for all asynchronous ones that have not failed, in turn. One that fails does not keep the others.
    static void run_all(Operations& log, const ProjectionRun& how = {});
    // Projects the log from its beginning into copies of the tables, which then take their place. Readers see the old
    // content meanwhile. Throws usage_error in a transaction.
    void rebuild(std::int64_t max_count = 1'000);

    // Returns when all events up to the position are projected or parked. Throws server_error: TM008 where that took
    // longer than the timeout, TM006 at once where the projection has failed and does not try again.
    void wait_for(std::int64_t position, std::chrono::milliseconds timeout = std::chrono::milliseconds(5'000));

    // Nothing where there is none.
    std::optional<ProjectionStatus> status();

  private:
    Operations* log_;
    std::string name_;
};

}  // namespace tidemark
