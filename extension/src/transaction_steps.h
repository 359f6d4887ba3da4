// Work in many transactions, one after the other, with memory of its own in each: what a procedure does, or a worker.
#pragma once

#include "guard.h"

namespace tidemark {

// Begins what a procedure does: its own transaction, which the caller has not begun. Throws 2D000 in a transaction
// block.
void begin_procedure(FunctionCallInfo fcinfo, const char* procedure);

class TransactionSteps {
  public:
    // `commit` ends the running transaction and begins another; `rollback` likewise.
    TransactionSteps(void (*commit)(), void (*rollback)())
        : commit(commit), rollback(rollback), caller(CurrentMemoryContext), memory(pg_call([] {
              return AllocSetContextCreate(CurrentMemoryContext, "a step of a procedure", ALLOCSET_DEFAULT_SIZES);
          })) {}

    // Does something in the running transaction, commits, and returns what body does, which must not lie in memory that
    // goes with the step. Neither this nor body is inside pg_call.
    template <typename Body>
    auto run(Body&& body) const {
        MemoryContextSwitchTo(memory);
        auto result = body();
        pg_call([&] { end(commit); });
        return result;
    }

    // After an exception of run(), to go on with the next step all the same.
    void undo() const {
        pg_call([&] { end(rollback); });
    }

  private:
    // Statements of a step see what others have committed before them, whatever the default is: steps wait for locks,
    // and under a snapshot from before that a handler would fail to change what another session has changed.
    void end(void (*how)()) const;

    void (*const commit)();
    void (*const rollback)();
    const MemoryContext caller;
    const MemoryContext memory;
};

}  // namespace tidemark
