// What all calls have in common that change the state of a subscription.
#pragma once

#include "safe_position.h"
#include "subscription.h"

namespace tidemark {

// A call (name, position, fence, …) of a consumer about what was delivered to it: with the lock on its partition,
// which stays until the transaction ends, and what that says under a snapshot taken after it. Throws TM004 unless the
// fence is the partition's, TM005, and 22023 where the position is beyond what can have been delivered.
struct FencedCall {
    FencedCall(FunctionCallInfo fcinfo, const char* function);

    // Stores the partition's row, changed by the call. store_acknowledged() raises the fence and returns it, clears the
    // failure, and makes the lease begin anew.
    int64 store_acknowledged();
    void store();
    void end() const;

    const int64 position;
    const Relation events, head;
    const SubscriptionTables tables;

  private:
    SafeRead read;  // before what is read under its snapshot

  public:
    Subscription subscription;
    Partition partition;
};

// A reason or an error, no longer than is kept of it: it is read with the row each time.
text* to_keep(std::string_view reason);

// A subscription as nobody else can change it until the transaction ends.
struct WholeSubscription {
    WholeSubscription(const SubscriptionTables& tables, std::string_view name);
    void end() const { PopActiveSnapshot(); }

    Subscription subscription;
    std::span<Partition> partitions;
};

}  // namespace tidemark
