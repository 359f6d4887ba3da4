// Work that may fail without failing the transaction.
#pragma once

#include "guard.h"

extern "C" {
#include "utils/resowner.h"
}

namespace tidemark {

// Runs body, as pg_call does, in a subtransaction. Where it fails, all that it has done is undone, and the error is
// returned, in the current memory context; else null. Not to be called inside pg_call.
template <typename Body>
const CaughtError* try_in_subtransaction(Body&& body) {
    const MemoryContext memory = CurrentMemoryContext;
    const ResourceOwner owner = CurrentResourceOwner;
    pg_call([&] {
        BeginInternalSubTransaction(nullptr);
        MemoryContextSwitchTo(memory);
    });
    const CaughtError* error = nullptr;
    try {
        pg_call([&] {
            body();
            ReleaseCurrentSubTransaction();
        });
    } catch (...) {
        error = caught_error(memory);
    }
    pg_call([&] {
        if (error != nullptr) RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(memory);
        CurrentResourceOwner = owner;
    });
    return error;
}

}  // namespace tidemark
