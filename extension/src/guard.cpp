#include "guard.h"

#include <new>

namespace tidemark {

namespace {

// Copies without raising: this runs in a catch block, where a longjmp would leak the exception being handled.
const char* copy(MemoryContext memory, const char* text) noexcept {
    if (*text == '\0') return nullptr;
    const size_t size = strlen(text) + 1;
    char* target = static_cast<char*>(MemoryContextAllocExtended(memory, size, MCXT_ALLOC_NO_OOM));
    return target ? static_cast<const char*>(memcpy(target, text, size)) : "out of memory";
}

CaughtError out_of_memory = {nullptr, ERRCODE_OUT_OF_MEMORY, "out of memory", nullptr, nullptr};

}  // namespace

void detail::throw_pending_error(MemoryContext memory) {
    MemoryContextSwitchTo(memory);
    ErrorData* data = CopyErrorData();
    FlushErrorState();
    throw pg_error(data);
}

CaughtError* caught_error(MemoryContext memory) noexcept {
    auto* result =
        static_cast<CaughtError*>(MemoryContextAllocExtended(memory, sizeof(CaughtError), MCXT_ALLOC_NO_OOM));
    if (result == nullptr) return &out_of_memory;
    *result = {nullptr, ERRCODE_INTERNAL_ERROR, nullptr, nullptr, nullptr};
    try {
        throw;
    } catch (const pg_error& error) {
        result->data = error.data;
        result->sqlstate = error.sqlstate();
        result->message = error.what();
        result->detail = error.data->detail;
        result->hint = error.data->hint;
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

bool is_cancel(const CaughtError& error) {
    return error.data != nullptr &&
           ERRCODE_TO_CATEGORY(error.sqlstate) == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) &&
           error.data->funcname != nullptr && strcmp(error.data->funcname, "ProcessInterrupts") == 0;
}

void raise(const CaughtError* error) {
    if (error->data != nullptr) ReThrowError(error->data);
    ereport(ERROR, (errcode(error->sqlstate), errmsg_internal("%s", error->message),
                    error->detail ? errdetail_internal("%s", error->detail) : 0,
                    error->hint ? errhint("%s", error->hint) : 0));
    pg_unreachable();
}

}  // namespace tidemark
