#include "guard.h"

#include <new>

namespace tidemark::detail {

// What is left of an exception when it has been destroyed. An error of PostgreSQL's own is kept whole.
struct failure {
    ErrorData* data;
    int sqlstate;
    const char *message, *detail, *hint;
};

namespace {

// Copies without raising: this runs in a catch block, where a longjmp would leak the exception being handled.
const char* copy(MemoryContext memory, const char* text) noexcept {
    if (*text == '\0') return nullptr;
    const size_t size = strlen(text) + 1;
    char* target = static_cast<char*>(MemoryContextAllocExtended(memory, size, MCXT_ALLOC_NO_OOM));
    return target ? static_cast<const char*>(memcpy(target, text, size)) : "out of memory";
}

failure out_of_memory = {nullptr, ERRCODE_OUT_OF_MEMORY, "out of memory", nullptr, nullptr};

}  // namespace

void throw_pending_error(MemoryContext memory) {
    MemoryContextSwitchTo(memory);
    ErrorData* data = CopyErrorData();
    FlushErrorState();
    throw pg_error(data);
}

failure* current_failure(MemoryContext memory) noexcept {
    auto* result = static_cast<failure*>(MemoryContextAllocExtended(memory, sizeof(failure), MCXT_ALLOC_NO_OOM));
    if (result == nullptr) return &out_of_memory;
    *result = {nullptr, ERRCODE_INTERNAL_ERROR, nullptr, nullptr, nullptr};
    try {
        throw;
    } catch (const pg_error& error) {
        result->data = error.data;
    } catch (const sql_error& error) {
        result->sqlstate = error.sqlstate;
        result->message = copy(memory, error.message.c_str());
        result->detail = copy(memory, error.detail.c_str());
        result->hint = copy(memory, error.hint.c_str());
    } catch (const std::bad_alloc&) {
        *result = out_of_memory;
    } catch (const std::exception& error) {
        result->message = "unexpected C++ exception";
        result->detail = copy(memory, error.what());
    } catch (...) {
        result->message = "unexpected C++ exception of unknown type";
    }
    return result;
}

void raise(const failure* failure) {
    if (failure->data != nullptr) ReThrowError(failure->data);
    ereport(ERROR, (errcode(failure->sqlstate), errmsg_internal("%s", failure->message),
                    failure->detail ? errdetail_internal("%s", failure->detail) : 0,
                    failure->hint ? errhint("%s", failure->hint) : 0));
    pg_unreachable();
}

}  // namespace tidemark::detail
