#include "transaction_steps.h"

extern "C" {
#include "executor/spi.h"
#include "nodes/parsenodes.h"
}

namespace tidemark {

void begin_procedure(FunctionCallInfo fcinfo, const char* procedure) {
    const bool is_call = fcinfo->context != nullptr && IsA(fcinfo->context, CallContext);
    if (!is_call || reinterpret_cast<CallContext*>(fcinfo->context)->atomic)
        throw sql_error(ERRCODE_INVALID_TRANSACTION_TERMINATION,
                        std::string(procedure) + " cannot run inside a transaction block or a function",
                        "It commits what it does.", "CALL it by itself.");
    SPI_connect_ext(SPI_OPT_NONATOMIC);
    SPI_commit();
    XactIsoLevel = XACT_READ_COMMITTED;
}

void TransactionSteps::end(void (*how)()) const {
    how();
    XactIsoLevel = XACT_READ_COMMITTED;
    MemoryContextSwitchTo(caller);
    MemoryContextReset(memory);
}

}  // namespace tidemark
