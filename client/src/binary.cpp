#include "binary.hpp"

#include <algorithm>

namespace tidemark::detail {

Uuid uuid_at(const PGresult* result, int row, int column) {
    Uuid uuid;
    std::copy_n(reinterpret_cast<const std::uint8_t*>(PQgetvalue(result, row, column)), uuid.bytes.size(),
                uuid.bytes.begin());
    return uuid;
}

// Microseconds since 2000-01-01.
Timestamp timestamp_at(const PGresult* result, int row, int column) {
    using namespace std::chrono;
    return Timestamp(sys_days(2000y / January / 1)) + microseconds(integer_at(result, row, column));
}

}  // namespace tidemark::detail
