#include "transaction_steps.h"

extern "C" {
#include "executor/spi.h"
#include "nodes/parsenodes.h"
}

namespace tidemark {

void begin_procedure(FunctionCallInfo fcinfo) {
    const bool is_call = fcinfo->context != nullptr && IsA(fcinfo->context, CallContext);
    const bool is_atomic = !is_call || reinterpret_cast<CallContext*>(fcinfo->context)->atomic;
    SPI_connect_ext(is_atomic ? 0 : SPI_OPT_NONATOMIC);
    SPI_commit();
}

}  // namespace tidemark
