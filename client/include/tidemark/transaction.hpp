// A transaction: any appends, reads and statements of one's own, and one commit.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include <tidemark/operations.hpp>

namespace tidemark {

enum class Isolation { read_committed, repeatable_read, serializable };

struct TransactionOptions {
    Isolation isolation = Isolation::read_committed;
    bool read_only = false;
};

// Rolls back when it is destroyed without a commit. For one thread at a time, as the connection it came from, which
// must live longer.
class Transaction : public Operations {
  public:
    Transaction(detail::Session& session, TransactionOptions options);
    Transaction(Transaction&& other) noexcept;
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();

    // Locks a stream until the transaction ends, and returns its version: load for update.
    std::int64_t lock_stream(std::string_view stream);

    // Throws commit_in_doubt where the connection was lost before the answer; server_error where the server refused,
    // and the transaction is rolled back.
    void commit();
    void rollback() noexcept;

    // Calls back when the transaction is over: with true after a commit that has succeeded, else with false; where the
    // commit is in doubt, too. What a callback throws reaches who commits, and is dropped where nobody does.
    void on_end(std::function<void(bool committed)> callback) { on_end_.push_back(std::move(callback)); }
    void on_commit(std::function<void()> callback) {
        on_end([callback = std::move(callback)](bool committed) {
            if (committed) callback();
        });
    }

    bool is_open() const noexcept { return session_ != nullptr; }

  private:
    detail::Session& session() override;
    void end(bool committed);
    void end_without_commit() noexcept;

    detail::Session* session_;
    std::vector<std::function<void(bool)>> on_end_;
};

}  // namespace tidemark
