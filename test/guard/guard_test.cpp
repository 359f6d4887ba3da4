// A module for the tests alone: SQL functions that fail in every way in which C++ and PostgreSQL can fail, through the
// guard that the extension uses, and a count of the C++ objects that are alive.
#include "../../extension/src/guard.h"

#include <new>
#include <stdexcept>
#include <vector>

extern "C" {
__attribute__((visibility("default"))) extern const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
PG_MODULE_MAGIC;

#include "utils/fmgrprotos.h"
}

using namespace tidemark;

namespace {

int alive = 0;

struct Tracked {
    Tracked() { alive++; }
    Tracked(const Tracked&) { alive++; }
    ~Tracked() { alive--; }
};

int32 divide(int32 dividend, int32 divisor) {
    return DatumGetInt32(DirectFunctionCall2(int4div, Int32GetDatum(dividend), Int32GetDatum(divisor)));
}

}  // namespace

TIDEMARK_FUNCTION(live_objects) {
    (void)fcinfo;
    return Int32GetDatum(alive);
}

TIDEMARK_FUNCTION(throw_by_kind) {
    const std::vector<Tracked> objects(3);
    switch (PG_GETARG_INT32(0)) {
        case 0:
            return Int32GetDatum(static_cast<int32>(objects.size()));
        case 1:
            throw sql_error(MAKE_SQLSTATE('T', 'M', '9', '9', '9'), "a message", "A detail.", "A hint.");
        case 2:
            throw sql_error(ERRCODE_INVALID_PARAMETER_VALUE, "a message alone");
        case 3:
            throw std::bad_alloc();
        case 4:
            throw std::runtime_error("what the library says");
        default:
            throw 42;
    }
}

// PostgreSQL's own error, raised below two C++ frames that own objects.
TIDEMARK_FUNCTION(divide_below_objects) {
    const Tracked outer;
    const auto frame = [&] {
        const std::vector<Tracked> objects(5);
        return pg_call([&] { return divide(PG_GETARG_INT32(0), PG_GETARG_INT32(1)); });
    };
    return Int32GetDatum(frame());
}

// The error arrives with all its fields, and the guard's state is back as it was: 1 for yes.
TIDEMARK_FUNCTION(error_arrives_whole) {
    sigjmp_buf* const stack = PG_exception_stack;
    ErrorContextCallback* const callbacks = error_context_stack;
    const MemoryContext memory = CurrentMemoryContext;
    bool whole = false;
    try {
        pg_call([] {
            MemoryContextSwitchTo(TopMemoryContext);
            divide(1, 0);
        });
    } catch (const pg_error& error) {
        whole = error.sqlstate() == ERRCODE_DIVISION_BY_ZERO && std::string(error.what()) == "division by zero" &&
                stack == PG_exception_stack && callbacks == error_context_stack && memory == CurrentMemoryContext;
    }
    PG_RETURN_INT32(whole);
}

// An exception thrown inside pg_call, and one translated there from PostgreSQL's.
TIDEMARK_FUNCTION(throw_inside_call) {
    const Tracked outer;
    const bool translate = PG_GETARG_BOOL(0);
    return pg_call([&] {
        try {
            if (translate) pg_call([] { divide(1, 0); });
        } catch (const pg_error&) {
            throw sql_error(MAKE_SQLSTATE('T', 'M', '9', '9', '8'), "translated");
        }
        if (!translate) throw sql_error(MAKE_SQLSTATE('T', 'M', '9', '9', '7'), "thrown inside");
        return Datum(0);
    });
}
