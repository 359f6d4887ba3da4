// What a consumer says about the events it was given: done, or failed.
#include "fencing.h"
#include "guard.h"
#include "parking.h"
#include "waiting.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace tidemark {

constexpr int64 LONGEST_PAUSE = int64(366) * 24 * 60 * 60 * 1000;

// es_ack(name, up_to_position, fence) → fence
TIDEMARK_FUNCTION(tidemark_ack) {
    return pg_call([&] {
        require_read_write("es_ack()");
        FencedCall call(fcinfo, "es_ack()");
        if (call.position > call.partition.checkpoint())
            call.partition.advance(call.position);
        else
            acknowledge_redelivered(call.tables, call.events, call.subscription, call.partition, call.position);
        const int64 fence = call.store_acknowledged();
        call.end();
        return Int64GetDatum(fence);
    });
}

// es_fail(name, event_position, fence, error, retry_after) → how often in a row
TIDEMARK_FUNCTION(tidemark_fail) {
    return pg_call([&] {
        require_read_write("es_fail()");
        refuse_null(fcinfo, 3, "error", "Say what went wrong.");
        FencedCall call(fcinfo, "es_fail()");
        require_unacknowledged(call.tables, call.events, call.subscription, call.partition, call.position);
        TimestampTz retry_at = 0;
        if (!PG_ARGISNULL(4))
            retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
                                                   milliseconds_argument(fcinfo, 4, "retry_after", 0, LONGEST_PAUSE));
        const int32 attempts =
            call.partition.note_failure(call.position, to_keep(view(PG_GETARG_TEXT_PP(3))), retry_at);
        call.store();
        call.end();
        return Int32GetDatum(attempts);
    });
}

}  // namespace tidemark
