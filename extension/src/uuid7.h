// Event ids for events that come without: UUID version 7, so that the index on them grows at its end.
#pragma once

#include "pg_compat.h"

namespace tidemark {

// Later ids of one session are greater than earlier ones.
pg_uuid_t new_uuid7();

}  // namespace tidemark
