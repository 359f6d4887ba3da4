// Values in the server's binary format.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tidemark/event.hpp>

namespace tidemark::detail {

inline bool is_null(const PGresult* result, int row, int column) { return PQgetisnull(result, row, column) != 0; }

// Numbers are big-endian, of the value's own length. NULL reads as 0.
inline std::int64_t integer_at(const PGresult* result, int row, int column) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(PQgetvalue(result, row, column));
    const int length = PQgetlength(result, row, column);
    std::uint64_t number = length > 0 && (bytes[0] & 0x80) ? ~std::uint64_t{0} : 0;
    for (int i = 0; i < length; i++) number = number << 8 | bytes[i];
    return static_cast<std::int64_t>(number);
}

inline int int_at(const PGresult* result, int row, int column) {
    return static_cast<int>(integer_at(result, row, column));
}

inline std::string text_at(const PGresult* result, int row, int column) {
    return {PQgetvalue(result, row, column), static_cast<std::size_t>(PQgetlength(result, row, column))};
}

// A jsonb is its text after a byte for the version of the format.
inline std::string jsonb_at(const PGresult* result, int row, int column) {
    return text_at(result, row, column).erase(0, 1);
}

Uuid uuid_at(const PGresult* result, int row, int column);
Timestamp timestamp_at(const PGresult* result, int row, int column);

// Null as nothing.
template <typename T, typename Read>
std::optional<T> optional_at(Read read, const PGresult* result, int row, int column) {
    if (is_null(result, row, column)) return std::nullopt;
    return T(read(result, row, column));
}

inline std::optional<Timestamp> time_or_null(const PGresult* result, int row, int column) {
    return optional_at<Timestamp>(timestamp_at, result, row, column);
}

inline std::optional<std::string> text_or_null(const PGresult* result, int row, int column) {
    return optional_at<std::string>(text_at, result, row, column);
}

// Each row made into a T.
template <typename T, typename Make>
std::vector<T> rows_of(const PGresult* result, Make make) {
    std::vector<T> rows;
    for (int row = 0; row < PQntuples(result); row++) rows.push_back(make(result, row));
    return rows;
}

}  // namespace tidemark::detail
