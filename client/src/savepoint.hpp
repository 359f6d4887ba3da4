// A savepoint before a call that may fail, so that a transaction goes on without it.
#pragma once

#include "session.hpp"

namespace tidemark::detail {

// Outside of a transaction it does nothing.
class Savepoint {
  public:
    explicit Savepoint(Session& session) : session_(session), is_needed_(session.in_transaction()) {
        execute("SAVEPOINT tidemark_attempt");
    }

    void release() { execute("RELEASE SAVEPOINT tidemark_attempt"); }
    void undo() {
        execute("ROLLBACK TO SAVEPOINT tidemark_attempt");
        release();
    }

  private:
    void execute(const char* statement) {
        if (is_needed_) session_.execute(statement, {}, Effect::none, Format::text);
    }

    Session& session_;
    const bool is_needed_;
};

}  // namespace tidemark::detail
