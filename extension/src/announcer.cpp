// es_notify: NOTIFY for those who LISTEN, by a session of its own. An appender's own NOTIFY would take a lock of the
// whole cluster until its commit is over, and come before the events can be read where something holds the line back.
#include "guard.h"
#include "safe_position.h"
#include "transaction_steps.h"
#include "validate.h"
#include "waiting.h"

extern "C" {
#include "commands/async.h"
#include "executor/spi.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr int64 LONGEST_ROUND = 10000;  // milliseconds

void announce(const char* channel, int64 line) {
    char payload[24];
    pg_lltoa(line, payload);
    Async_Notify(channel, payload);
    SPI_commit();
}

}  // namespace

// es_notify(channel, min_interval, duration)
TIDEMARK_FUNCTION(tidemark_notify) {
    return pg_call([&] {
        constexpr int64 DAY = int64(24) * 60 * 60 * 1000;
        require_read_write("es_notify()");
        const char* channel = pstrdup(text_to_cstring(text_argument(fcinfo, 0, "channel")));
        const int64 interval = milliseconds_argument(fcinfo, 1, "min_interval", 0, DAY);
        const int64 duration =
            PG_ARGISNULL(2) ? PG_INT64_MAX : milliseconds_argument(fcinfo, 2, "duration", 0, 366 * DAY);
        const TimestampTz begin = GetCurrentTimestamp();
        const auto left = [&] {
            const int64 gone = (GetCurrentTimestamp() - begin) / 1000;
            return std::max<int64>(duration - gone, 0);
        };
        const Oid head = log_tables(fcinfo).head;
        int64 announced = await_line(head, -1, 0, "es_notify()");
        begin_procedure(fcinfo, "es_notify()");
        while (left() > 0) {
            const int64 line = await_line(head, announced, std::min(left(), LONGEST_ROUND), "es_notify()");
            if (line > announced) {
                announce(channel, line);
                announced = line;
                pause_for(std::min(interval, left()));
            } else {
                SPI_commit();  // so that the session is not seen in one endless transaction
            }
        }
        SPI_finish();
        PG_RETURN_VOID();
    });
}

}  // namespace tidemark
