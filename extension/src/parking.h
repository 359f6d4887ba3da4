// Events that were set aside because they could not be handled, and the streams that are held back behind them.
//
// A row of es_parked_events stands for a stream from one event on. While it is there, nothing of the stream is
// delivered in the ordinary way: what comes after the parked event is held, to stay in order, and counts as done when
// the checkpoint passes it. Once released, the stream is delivered again from that event up to the checkpoint, and
// acknowledged by the row's own place. When nothing is left up to the checkpoint the row goes; the partition's fence
// rises with that, for a batch that was delivered meanwhile lacks what was held.
#pragma once

#include "log_scan.h"
#include "subscription.h"

namespace tidemark {

namespace parked {
enum Column : AttrNumber { SUBSCRIPTION = 1, STREAM_ID, POSITION, VERSION, REASON, PARKED_AT, TIMES, RELEASED_AT };
}

struct ParkedStream {
    explicit ParkedStream(const StateRow& row) : row(row) {}

    std::string_view stream_id() const { return row.name(parked::STREAM_ID); }
    int64 position() const { return row.bigint(parked::POSITION); }
    int64 version() const { return row.bigint(parked::VERSION); }
    bool is_released() const { return !row.is_null(parked::RELEASED_AT); }

    StateRow row;
};

// All of a subscription, by stream id.
std::span<ParkedStream> parked_streams(const SubscriptionTables& tables, std::string_view subscription);

// Shows the visitor the events of a released stream that are to be delivered again.
void scan_released(Relation events, const Subscription& subscription, const Partition& partition,
                   const ParkedStream& parked, EventVisitor& visitor);

// A redelivered event is done: the stream's place moves behind it, and the row goes if that was all. Changes the
// partition. Throws TM009 where no redelivered event is at the position.
void acknowledge_redelivered(const SubscriptionTables& tables, Relation events, const Subscription& subscription,
                             Partition& partition, int64 position);

// Sets the event at the position aside; the events of the partition before it are done. Changes the partition. Throws
// 22023 where no event that is the partition's is there, TM009 where it is done already.
void park(const SubscriptionTables& tables, Relation events, const Subscription& subscription, Partition& partition,
          int64 position, const NullableDatum& reason);

// Throws TM009 unless the position is above the checkpoint or that of a redelivered event.
void require_unacknowledged(const SubscriptionTables& tables, Relation events, const Subscription& subscription,
                            const Partition& partition, int64 position);

}  // namespace tidemark
