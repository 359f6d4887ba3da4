// Which events the partitions of a subscription have still before them.
#pragma once

#include "log_scan.h"
#include "parking.h"

#include <algorithm>

namespace tidemark {

class Undelivered {
  public:
    static constexpr int64 NOT_READ = PG_INT64_MAX;

    // `reads` says of a partition whether its events are wanted.
    template <typename Reads>
    Undelivered(std::span<const Partition> partitions, std::span<const ParkedStream> parked, Reads reads)
        : count(static_cast<int32>(partitions.size())),
          from(static_cast<int64*>(palloc(partitions.size() * sizeof(int64)))),
          parked(parked) {
        for (int32 i = 0; i < count; i++) from[i] = reads(partitions[i]) ? partitions[i].read_from() : NOT_READ;
    }

    // Before the first of them; NOT_READ where no partition is read.
    int64 start() const { return *std::min_element(from, from + count); }

    // The number of the partition that the event is for, or -1 where it is done, held, or not read.
    int32 partition_of_event(TupleTableSlot* event) const {
        const text* name = DatumGetTextPP(event_value(event, STREAM_ID));
        const std::string_view stream_id = view(name);
        const int32 number = count == 1 ? 0 : partition_of(stream_id, count);
        if (DatumGetInt64(event_value(event, POSITION)) <= from[number] || is_held(stream_id)) return -1;
        return number;
    }

    const int32 count;
    int64* const from;  // by partition

  private:
    bool is_held(std::string_view stream_id) const {
        const auto place =
            std::lower_bound(parked.begin(), parked.end(), stream_id,
                             [](const ParkedStream& one, std::string_view other) { return one.stream_id() < other; });
        return place != parked.end() && place->stream_id() == stream_id;
    }

    const std::span<const ParkedStream> parked;
};

// Stops at the first undelivered event.
class FirstUndelivered : public EventVisitor {
  public:
    explicit FirstUndelivered(const Undelivered& undelivered) : undelivered(undelivered) {}

    bool visit(TupleTableSlot* event) override {
        found = undelivered.partition_of_event(event) >= 0;
        return !found;
    }

    bool found = false;

  private:
    const Undelivered& undelivered;
};

}  // namespace tidemark
