// Memory for what is done over and over in one call.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// What is allocated until end() goes at the next reset(), or with the call.
class Scratch {
  public:
    Scratch() : caller(CurrentMemoryContext), memory(create()) { MemoryContextSwitchTo(memory); }
    void reset() const { MemoryContextReset(memory); }
    void end() const {
        MemoryContextSwitchTo(caller);
        MemoryContextDelete(memory);
    }

  private:
    static MemoryContext create() {
        return AllocSetContextCreate(CurrentMemoryContext, "one round of a call", ALLOCSET_DEFAULT_SIZES);
    }

    const MemoryContext caller, memory;
};

}  // namespace tidemark
