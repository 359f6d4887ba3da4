// The only two crossings between C++ and PostgreSQL's longjmp-based errors.
//
// An ereport(ERROR) jumps over C++ destructors, and a C++ exception that leaves through a frame of PostgreSQL takes the
// server down. So PostgreSQL is called inside pg_call, which turns its errors into the C++ exception pg_error, and each
// SQL-callable function is defined with TIDEMARK_FUNCTION, which turns every C++ exception into a PostgreSQL error.
//
// The rule for code that runs inside pg_call: no object with a destructor is alive while a function of PostgreSQL runs.
// To raise an error it throws, as code outside does; it must hold no critical section then. Buffer locks, pins and open
// relations need no release on that path: the error ends the (sub)transaction, and that releases them.
// A caught pg_error must be followed by another error: nothing has rolled PostgreSQL's state back yet.
#pragma once

#include "errors.h"

#include <csetjmp>
#include <type_traits>

namespace tidemark {

// An error raised by PostgreSQL inside pg_call, with all of its fields.
class pg_error : public std::exception {
  public:
    explicit pg_error(ErrorData* data) : data(data) {}

    const char* what() const noexcept override { return data->message ? data->message : "PostgreSQL error"; }
    int sqlstate() const { return data->sqlerrcode; }

    ErrorData* const data;  // in the memory context that was current when pg_call was entered
};

// What is left of a caught exception when it has been destroyed, in a memory context. An error of PostgreSQL's own is
// kept whole.
struct CaughtError {
    ErrorData* data;  // null where it was not one of PostgreSQL's
    int sqlstate;
    const char *message, *detail, *hint;  // detail and hint may be null
};

// Of the exception that is being handled. Does not raise.
CaughtError* caught_error(MemoryContext memory) noexcept;

// Whether the session was cancelled, by a user or a timeout. Functions raise errors of that SQLSTATE too, as that of
// another server which they have asked.
bool is_cancel(const CaughtError& error);

// Makes it the present error of PostgreSQL.
[[noreturn]] void raise(const CaughtError* error);

namespace detail {

// PostgreSQL's error-handling state, put back when pg_call is left by any way.
class handler_scope {
  public:
    handler_scope() = default;
    ~handler_scope() { restore(); }
    handler_scope(const handler_scope&) = delete;
    handler_scope& operator=(const handler_scope&) = delete;

    void restore() const {
        PG_exception_stack = stack;
        error_context_stack = callbacks;
    }

    sigjmp_buf* const stack = PG_exception_stack;
    ErrorContextCallback* const callbacks = error_context_stack;
    const MemoryContext memory = CurrentMemoryContext;
};

[[noreturn]] void throw_pending_error(MemoryContext memory);

}  // namespace detail

// Runs body, which may call PostgreSQL; throws pg_error where that raises an error. Costs one sigsetjmp: use it once
// per call, not per row. Never inlined, so that no local of the caller lives in a register that the jump rolls back.
template <typename Body>
[[gnu::noinline]] auto pg_call(Body&& body) {
    using Result = std::invoke_result_t<Body&>;
    static_assert(std::is_trivially_destructible_v<std::remove_reference_t<Body>>);
    static_assert(std::is_void_v<Result> || std::is_trivially_destructible_v<Result>);

    const detail::handler_scope scope;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) != 0) {
        scope.restore();
        detail::throw_pending_error(scope.memory);
    }
    PG_exception_stack = &here;
    return body();
}

// Runs body where an error must not come out, as in a callback of the transaction's end, and forgets an error of it.
// Allocates nothing. Body must leave nothing to be released by that.
template <typename Body>
[[gnu::noinline]] void ignore_errors(Body&& body) noexcept {
    static_assert(std::is_trivially_destructible_v<std::remove_reference_t<Body>>);
    const detail::handler_scope scope;
    // Raising an error sets these to 0, and the end of a transaction counts them down.
    const uint32 holdoff = InterruptHoldoffCount, cancel_holdoff = QueryCancelHoldoffCount;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) != 0) {
        scope.restore();
        MemoryContextSwitchTo(scope.memory);
        FlushErrorState();
        InterruptHoldoffCount = holdoff;
        QueryCancelHoldoffCount = cancel_holdoff;
        return;
    }
    PG_exception_stack = &here;
    body();
}

// Runs the body of an SQL-callable function: whatever it throws becomes a PostgreSQL error, raised when the exception
// and all that it unwound are gone.
template <typename Body>
Datum sql_entry(FunctionCallInfo fcinfo, Body&& body) {
    const MemoryContext memory = CurrentMemoryContext;
    const CaughtError* error;
    try {
        return body(fcinfo);
    } catch (...) {
        error = caught_error(memory);
    }
    MemoryContextSwitchTo(memory);
    raise(error);
}

}  // namespace tidemark

// Defines the SQL-callable C function `name`; the function's body follows, with `fcinfo` in scope, as C++.
#define TIDEMARK_FUNCTION(name)                                                          \
    static Datum name##_body(FunctionCallInfo fcinfo);                                   \
    extern "C" {                                                                         \
    __attribute__((visibility("default"))) Datum name(PG_FUNCTION_ARGS);                 \
    __attribute__((visibility("default"))) const Pg_finfo_record* pg_finfo_##name(void); \
    PG_FUNCTION_INFO_V1(name);                                                           \
    Datum name(PG_FUNCTION_ARGS) { return ::tidemark::sql_entry(fcinfo, name##_body); }  \
    }                                                                                    \
    static Datum name##_body(FunctionCallInfo fcinfo)
