// A connection to the database that holds the log.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>

#include <tidemark/error.hpp>
#include <tidemark/operations.hpp>
#include <tidemark/transaction.hpp>

namespace tidemark {

struct ConnectionOptions {
    // As libpq takes it: "host=… dbname=…", "postgresql://…" or "service=…"; what it leaves out is in the environment.
    std::string conninfo{};
    // Of the extension, where it is not on the search_path.
    std::string schema{};
    // How long a call may take, reconnecting included, before it throws cancelled; zero: for ever.
    std::chrono::milliseconds timeout{0};
    std::chrono::milliseconds connect_timeout{10'000};
    // How many events reading fetches at a time.
    int page_size = 1000;
    // Off for poolers that know nothing of prepared statements, as PgBouncer before 1.21 in transaction mode.
    bool prepared_statements = true;
    // What the server says by the way: notices and warnings. What it throws is dropped.
    std::function<void(std::string_view)> on_notice{};
};

// One session of the server, for one thread at a time. It is opened at the first call, and again after it was lost,
// outside of transactions. An append whose reply was lost is repeated by itself, with the same event ids, so it is made
// once; if that fails too, it throws commit_in_doubt.
class Connection : public Operations {
  public:
    explicit Connection(ConnectionOptions options);
    explicit Connection(std::string conninfo) : Connection(ConnectionOptions{.conninfo = std::move(conninfo)}) {}
    Connection(Connection&&) noexcept;
    Connection& operator=(Connection&&) noexcept;
    ~Connection();

    // Begins a transaction. It must end before anything else is done on this connection.
    Transaction begin(TransactionOptions options = {});

    // Runs body(transaction) and commits; rolls back where it throws. Returns what it returns.
    template <typename Body>
    auto transact(Body&& body, TransactionOptions options = {}) {
        Transaction transaction = begin(options);
        if constexpr (std::is_void_v<std::invoke_result_t<Body&, Transaction&>>) {
            body(transaction);
            transaction.commit();
        } else {
            auto result = body(transaction);
            transaction.commit();
            return result;
        }
    }

    // Whether the commit that was in doubt has happened. Waits until the server has finished that transaction; so a
    // timeout is advisable. Throws usage_error where the transaction had appended nothing to tell it by.
    bool was_committed(const commit_in_doubt& doubt);

    // Whether the session is open and answers.
    bool is_alive() noexcept;
    // Opens a new session, in place of one that may be open.
    void reconnect();
    void close() noexcept;

    // How long each of the following calls may take; zero: for ever.
    void set_timeout(std::chrono::milliseconds timeout);
    // The following calls throw cancelled when the token is triggered, from any thread, those in progress too.
    void set_stop_token(std::stop_token token);

    // Sleeps; throws cancelled when the stop token is triggered meanwhile.
    void pause(std::chrono::milliseconds time);

    // Of the server's session; 0 where there is none.
    int backend_pid() const;
    bool in_transaction() const noexcept;

  private:
    friend class Pipeline;
    detail::Session& session() override;
    detail::Session& own_session();

    std::unique_ptr<detail::Session> session_;
};

}  // namespace tidemark
