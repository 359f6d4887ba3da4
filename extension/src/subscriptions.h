// What making and removing subscriptions have in common with making and removing projections.
#pragma once

#include "fencing.h"

namespace tidemark {

// Where reading is to start: "beginning", "end", or a position in digits. Throws 22023.
int64 start_argument(FunctionCallInfo fcinfo, int number, int64 safe_position);

// The filter is taken from the arguments from that number on.
void insert_subscription(FunctionCallInfo fcinfo, int filter, const SubscriptionTables& tables, std::string_view name,
                         int32 partitions, int64 start, bool is_projection);

// With its checkpoints and what is parked for it.
void remove_subscription(const SubscriptionTables& tables, const WholeSubscription& whole);

}  // namespace tidemark
