// What a backend keeps of the rows of the log's tables.
#pragma once

#include "log_tables.h"

namespace tidemark {

template <typename Value>
class LogCache {
  public:
    // What load() has returned, with what it points to in the memory context that was current then. Loads again where
    // log_generation() says that the rows may have changed. What was kept before stays until the transaction ends:
    // calls in progress go on with it, as an append whose handler appends.
    template <typename Load>
    Value get(Load load) {
        while (memory == nullptr || generation != log_generation()) {
            generation = log_generation();
            if (memory != nullptr) MemoryContextSetParent(memory, TopTransactionContext);
            memory = nullptr;
            MemoryContext fresh =
                AllocSetContextCreate(CurrentMemoryContext, "rows of the log's tables", ALLOCSET_SMALL_SIZES);
            const MemoryContext caller = MemoryContextSwitchTo(fresh);
            value = load();
            MemoryContextSwitchTo(caller);
            MemoryContextSetParent(fresh, CacheMemoryContext);
            memory = fresh;
        }
        return value;
    }

  private:
    Value value = {};
    MemoryContext memory = nullptr;
    uint64 generation = 0;
};

}  // namespace tidemark
