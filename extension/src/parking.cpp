#include "parking.h"

#include "fencing.h"
#include "guard.h"
#include "locks.h"
#include "log_scan.h"
#include "waiting.h"

#include <new>

extern "C" {
#include "access/stratnum.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

struct FirstEvent : EventVisitor {
    bool visit(TupleTableSlot* event) override {
        found = true;
        position = DatumGetInt64(event_value(event, POSITION));
        version = DatumGetInt64(event_value(event, VERSION));
        return false;
    }

    bool found = false;
    int64 position = 0, version = 0;
};

// The events of a stream from a version on, up to a position, that pass the filter.
void scan_stream(Relation events, const EventFilter& filter, std::string_view stream_id, int64 version, int64 upto,
                 EventVisitor& visitor) {
    const ScanKeyData keys[] = {text_key(1, BTEqualStrategyNumber, stream_id),
                                bigint_key(2, BTGreaterEqualStrategyNumber, version)};
    EventScan scan(events, event_indexes(events).by_stream, keys, 2);
    while (scan.next() && scan.position() <= upto)
        if (filter.matches(scan.row()) && !visitor.visit(scan.row())) break;
    scan.end();
}

sql_error acknowledged_already(int64 position, const Partition& partition) {
    return {
        ACKNOWLEDGED_ALREADY, "the position is acknowledged already",
        "It is " + std::to_string(position) + ", and the checkpoint is " + std::to_string(partition.checkpoint()) + ".",
        "What was done for it a second time should be rolled back. To go back on purpose call "
        "es_reset_subscription()."};
}

bool find_parked(const SubscriptionTables& tables, std::string_view subscription, std::string_view stream_id,
                 StateRow* row) {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, subscription),
                               text_key(2, BTEqualStrategyNumber, stream_id)};
    return tables.parked.find(key, row);
}

// The stream's place moves to its first event from the version on; where there is none up to the checkpoint the stream
// is not parked any more.
void move_on(const SubscriptionTables& tables, Relation events, const Subscription& subscription, Partition& partition,
             ParkedStream& parked, int64 version) {
    FirstEvent next;
    scan_stream(events, subscription.filter, parked.stream_id(), version, partition.checkpoint(), next);
    if (next.found) {
        parked.row.set_bigint(parked::POSITION, next.position);
        parked.row.set_bigint(parked::VERSION, next.version);
        tables.parked.update(&parked.row);
    } else {
        tables.parked.remove(parked.row);
        partition.raise_fence();
        partition.note_empty(0, 0);  // of the stream's held events it may not have been
    }
}

// The event at a position, if it is the subscription's, and its stream's row, if that is parked.
struct DeliveredEvent {
    DeliveredEvent(const SubscriptionTables& tables, Relation events, const Subscription& subscription,
                   int64 position) {
        const ScanKeyData key = bigint_key(1, BTEqualStrategyNumber, position);
        EventScan scan(events, event_indexes(events).by_position, &key, 1);
        exists = scan.next() && subscription.filter.matches(scan.row());
        if (exists) {
            stream_id = view(DatumGetTextPCopy(event_value(scan.row(), STREAM_ID)));
            version = DatumGetInt64(event_value(scan.row(), VERSION));
        }
        scan.end();
        stream_is_parked = exists && find_parked(tables, subscription.name, stream_id, &parked);
    }

    bool is_redelivered() const {
        return stream_is_parked && ParkedStream(parked).is_released() && version >= ParkedStream(parked).version();
    }

    bool exists, stream_is_parked;
    std::string_view stream_id;
    int64 version;
    StateRow parked;
};

}  // namespace

std::span<ParkedStream> parked_streams(const SubscriptionTables& tables, std::string_view subscription) {
    int32 count = 0, room = 4;
    auto* all = static_cast<ParkedStream*>(palloc(room * sizeof(ParkedStream)));
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, subscription)};
    tables.parked.for_each(key, [&](const StateRow& row) {
        if (count == room) {
            room *= 2;
            all = static_cast<ParkedStream*>(repalloc(all, room * sizeof(ParkedStream)));
        }
        new (&all[count++]) ParkedStream(row);
    });
    return {all, static_cast<size_t>(count)};
}

void scan_released(Relation events, const Subscription& subscription, const Partition& partition,
                   const ParkedStream& parked, EventVisitor& visitor) {
    scan_stream(events, subscription.filter, parked.stream_id(), parked.version(), partition.checkpoint(), visitor);
}

void acknowledge_redelivered(const SubscriptionTables& tables, Relation events, const Subscription& subscription,
                             Partition& partition, int64 position) {
    const DeliveredEvent event(tables, events, subscription, position);
    if (!event.is_redelivered()) throw acknowledged_already(position, partition);
    ParkedStream parked(event.parked);
    move_on(tables, events, subscription, partition, parked, event.version + 1);
}

void require_unacknowledged(const SubscriptionTables& tables, Relation events, const Subscription& subscription,
                            const Partition& partition, int64 position) {
    if (position <= partition.checkpoint() && !DeliveredEvent(tables, events, subscription, position).is_redelivered())
        throw acknowledged_already(position, partition);
}

void park(const SubscriptionTables& tables, Relation events, const Subscription& subscription, Partition& partition,
          int64 position, const NullableDatum& reason) {
    const DeliveredEvent event(tables, events, subscription, position);
    if (!event.exists || partition_of(event.stream_id, subscription.partitions) != partition.number())
        throw bad_argument("there is no event to park",
                           "None at position " + std::to_string(position) + " is this partition's.",
                           "Give the position of an event that es_fetch() has returned.");
    const bool redelivered = position <= partition.checkpoint(), known = event.stream_is_parked;
    if (redelivered && !event.is_redelivered()) throw acknowledged_already(position, partition);
    if (!redelivered && known)
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the event's stream is parked already",
                        "It is " + quoted(event.stream_id) + ".", "Fetch again: its events are held.");
    StateRow row = event.parked;
    if (!known) {
        row = tables.parked.new_row();
        row.set_text(parked::SUBSCRIPTION, subscription.name);
        row.set_text(parked::STREAM_ID, event.stream_id);
    }
    row.set_bigint(parked::POSITION, position);
    row.set_bigint(parked::VERSION, event.version);
    row.set_integer(parked::TIMES, row.integer(parked::TIMES) + 1);
    row.set(parked::PARKED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    row.set_null(parked::RELEASED_AT);
    row.set_null(parked::REASON);
    if (!reason.isnull) row.set(parked::REASON, reason.value);
    if (known)
        tables.parked.update(&row);
    else
        tables.parked.insert(row);
    if (!redelivered) partition.advance(position);
}

// es_park(name, event_position, fence, reason) → fence
TIDEMARK_FUNCTION(tidemark_park) {
    return pg_call([&] {
        require_read_write("es_park()");
        FencedCall call(fcinfo, "es_park()");
        NullableDatum reason = {Datum(0), PG_ARGISNULL(3)};
        if (!reason.isnull) reason.value = PointerGetDatum(to_keep(view(PG_GETARG_TEXT_PP(3))));
        park(call.tables, call.events, call.subscription, call.partition, call.position, reason);
        const int64 fence = call.store_acknowledged();
        call.end();
        return Int64GetDatum(fence);
    });
}

// es_unpark(name, event_position, redeliver) → whether it was parked
TIDEMARK_FUNCTION(tidemark_unpark) {
    return pg_call([&] {
        require_read_write("es_unpark()");
        const std::string_view name = name_argument(fcinfo, 0, "subscription name");
        const int64 position = bigint_argument(fcinfo, 1, "position");
        refuse_null(fcinfo, 2, "redeliver", "Leave it out to have the event redelivered.");
        const LogTables& log = log_tables(fcinfo);
        const SubscriptionTables tables(log, RowExclusiveLock);
        WholeSubscription whole(tables, name);
        Relation events = table_open(log.events, AccessShareLock);
        bool found = false;
        for (ParkedStream& parked : parked_streams(tables, name)) {
            if (parked.position() != position || parked.is_released()) continue;
            found = true;
            Partition& partition = whole.partitions[partition_of(parked.stream_id(), whole.subscription.partitions)];
            parked.row.set(parked::RELEASED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
            if (PG_GETARG_BOOL(2)) {
                tables.parked.update(&parked.row);
            } else {
                move_on(tables, events, whole.subscription, partition, parked, parked.version() + 1);
                tables.partition_rows.update(&partition.row);
            }
        }
        wake_consumers(whole.subscription);
        whole.end();
        table_close(events, NoLock);
        tables.close();
        return BoolGetDatum(found);
    });
}

}  // namespace tidemark
