// A libpq connection whose every wait has a deadline and can be stopped.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <tidemark/connection.hpp>
#include <tidemark/error.hpp>
#include <tidemark/rows.hpp>

#include "wakeup.hpp"

namespace tidemark::detail {

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

enum class Format { text = 0, binary = 1 };

// What becomes of a call whose answer is lost with the connection.
enum class Effect {
    none,    // nothing that lasts: connection_lost
    lasting  // it may have happened: commit_in_doubt. In a transaction only its commit is such a call
};

// A statement of the library's own, prepared at its first use.
struct Statement {
    const char* name;
    std::string sql;
    Effect effect = Effect::none;
    Format format = Format::binary;
};

// An error that libpq reports, not the server: the connection broke.
bool lacks_sqlstate(const PGresult* result);

struct Statements;

class Session {
  public:
    static constexpr int REPETITIONS = 3;
    static constexpr const char* CANNOT_CONNECT = "08001";

    // The deadline has come, or the stop token was triggered. Thrown by wait() and what waits; calls translate it.
    struct Interrupted {};

    // The calls within its life have one deadline together.
    class Clocked {
      public:
        explicit Clocked(Session& session) : session_(session) {
            session.start_clock();
            session.clock_runs_ = true;
        }
        ~Clocked() { session_.clock_runs_ = ran_; }

      private:
        Session& session_;
        const bool ran_ = session_.clock_runs_;
    };

    // Heeds no stop token within its life.
    class Deaf {
      public:
        explicit Deaf(Session& session) : session_(session) { session.heeds_stop_ = false; }
        ~Deaf() { session_.heeds_stop_ = true; }

      private:
        Session& session_;
    };

    explicit Session(ConnectionOptions options);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void reopen();
    void close() noexcept;
    bool is_open() const noexcept { return connection_ && PQstatus(connection_.get()) == CONNECTION_OK; }
    // Whether the session is open and answers, without opening another one.
    bool answers() noexcept;
    bool in_transaction() const noexcept { return in_transaction_; }
    bool in_pipeline() const noexcept { return connection_ && PQpipelineStatus(connection_.get()) != PQ_PIPELINE_OFF; }
    const ConnectionOptions& options() const noexcept { return options_; }
    const Statements& statements() const noexcept { return *statements_; }
    PGconn* connection() const noexcept { return connection_.get(); }

    void set_timeout(std::chrono::milliseconds timeout) { options_.timeout = timeout; }
    void set_stop_token(std::stop_token token);
    void pause(std::chrono::milliseconds time);

    // Runs one statement. Opens the connection where it is not open and no transaction is.
    Result call(const Statement& statement, std::span<const Parameter> parameters);
    Result execute(const std::string& sql, std::span<const Parameter> parameters, Effect effect, Format format);

    // A statement of the user's, which may do anything but end or begin a transaction.
    Result run(const std::string& sql, std::span<const Parameter> parameters);

    // Runs an append, and again in a new session where its outcome is in doubt or its session ended meanwhile. In doubt
    // it stays where that does not succeed, whatever it fails by; but for a conflict, which tells that it was not made.
    template <typename Call>
    auto repeat_in_doubt(Call call) {
        const Clocked clocked(*this);
        std::optional<commit_in_doubt> doubt;
        for (int left = REPETITIONS;; left--) {
            try {
                return call();
            } catch (const commit_in_doubt& lost) {
                if (!doubt) doubt = lost;
                if (left == 0) throw commit_in_doubt(*doubt);
            } catch (const connection_lost& lost) {
                const bool may_repeat = left > 0 && !in_transaction_ && (doubt || lost.sqlstate() != CANNOT_CONNECT);
                if (!may_repeat && doubt) throw commit_in_doubt(*doubt);
                if (!may_repeat) throw;
            } catch (const wrong_expected_version&) {
                throw;
            } catch (const error&) {
                if (doubt) throw commit_in_doubt(*doubt);
                throw;
            }
        }
    }

    void begin(const std::string& sql);
    void commit();
    void rollback() noexcept;

    // Tells the user what happens by the way.
    void notice(std::string_view message) const noexcept;

    // Remembers what was appended in the transaction, for a commit that comes to be in doubt.
    void witness(std::string_view stream, const Uuid& event_id);

    // The parts of a call, for pipelines.
    void start_call();
    void heed_stop() const;
    void prepare(const Statement& statement);
    bool is_prepared(const Statement& statement) const { return prepared_.contains(statement.name); }
    bool send(const Statement& statement, std::span<const Parameter> parameters);
    void flush();
    Result next_result();  // null: the end of a statement's results, or a connection that broke
    [[noreturn]] void fail(const PGresult* result) const;
    [[noreturn]] void fail_lost(Effect effect);

  private:
    using Clock = std::chrono::steady_clock;

    void open();
    bool has_hung_up() noexcept;
    void start_clock();
    void wait(short events);
    Effect lasting(Effect effect) const;
    Result exchange(bool sent, Effect effect);
    Result receive();
    Result cancel_and_receive(Effect effect);
    bool request_cancel();
    [[noreturn]] void give_up() const;

    ConnectionOptions options_;
    const std::unique_ptr<const Statements> statements_;
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_{nullptr, PQfinish};
    std::set<std::string, std::less<>> prepared_;
    Wakeup wakeup_;
    std::optional<Clock::time_point> deadline_;
    bool clock_runs_ = false;  // for several calls
    bool heeds_stop_ = true;   // not while it cancels or rolls back
    bool in_transaction_ = false;
    bool committing_ = false;
    std::vector<commit_in_doubt::Witness> witnesses_;
};

}  // namespace tidemark::detail
