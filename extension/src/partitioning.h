// How many partitions a subscription has, and how that changes.
//
// A stream's partition depends on their number, so the checkpoints of the new ones must hold for all streams: they are
// all put at one barrier, the furthest checkpoint that there is, and only when every partition has been read up to
// there. What was delivered before the change was asked for is void, as it may lie beyond.
#pragma once

#include "subscription.h"

namespace tidemark {

// Makes the next partitions take over. The caller holds the subscription's lock; all partitions have come to the
// barrier. False, with nothing changed, where a consumer is at one of them at this moment.
bool repartition(const SubscriptionTables& tables, const Subscription& subscription);

}  // namespace tidemark
