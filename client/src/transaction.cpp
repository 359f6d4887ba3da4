#include <tidemark/transaction.hpp>

#include <utility>

#include "binary.hpp"
#include "session.hpp"
#include "statements.hpp"

namespace tidemark {

using namespace detail;

namespace {

std::string begin_statement(const TransactionOptions& options) {
    static constexpr const char* LEVELS[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};
    return std::string("BEGIN ISOLATION LEVEL ") + LEVELS[static_cast<int>(options.isolation)] +
           (options.read_only ? " READ ONLY" : " READ WRITE");
}

}  // namespace

Transaction::Transaction(Session& session, TransactionOptions options) : session_(&session) {
    session.begin(begin_statement(options));
}

Transaction::Transaction(Transaction&& other) noexcept
    : session_(std::exchange(other.session_, nullptr)), on_end_(std::move(other.on_end_)) {}

Transaction::~Transaction() { rollback(); }

Session& Transaction::session() {
    if (!session_) throw usage_error("the transaction is over");
    return *session_;
}

std::int64_t Transaction::lock_stream(std::string_view stream) {
    const Parameter parameters[] = {stream};
    return integer_at(session().call(session().statements().lock_stream, parameters).get(), 0, 0);
}

void Transaction::commit() {
    Session& ending = session();
    try {
        ending.commit();
    } catch (...) {
        end_without_commit();
        throw;
    }
    end(true);
}

void Transaction::rollback() noexcept {
    if (!session_) return;
    session_->rollback();
    end_without_commit();
}

void Transaction::end(bool committed) {
    session_ = nullptr;
    for (const auto& callback : std::exchange(on_end_, {})) callback(committed);
}

void Transaction::end_without_commit() noexcept {
    try {
        end(false);
    } catch (...) {
    }
}

}  // namespace tidemark
