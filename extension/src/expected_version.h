// What an append demands of its stream's version, and the error where the stream disagrees.
#pragma once

#include "errors.h"
#include "validate.h"

#include <string_view>

namespace tidemark {

// The values that are no exact version; es_any() and its siblings return them.
constexpr int64 NO_STREAM = -1;
constexpr int64 ANY = -2;
constexpr int64 STREAM_EXISTS = -4;

// An exact expectation pins the place where the events go, so a repetition of the append is told by it.
inline bool is_exact(int64 expected) { return expected >= 0 || expected == NO_STREAM; }

// actual 0 means that the stream has no events. An exact 0 never matches: that is what NO_STREAM is for.
inline bool matches(int64 expected, int64 actual) {
    if (expected == ANY) return true;
    if (expected == NO_STREAM) return actual == 0;
    return actual > 0 && (expected == STREAM_EXISTS || expected == actual);
}

// Throws 22023 for a number that is no expectation.
void check_expected_version(int64 expected, const Place& place = {});

struct VersionConflict {
    std::string_view stream_id;
    int64 expected, actual;
};

// TM001. The detail is a JSON array with an object {stream, expected, actual} for each conflict; it is API.
sql_error wrong_expected_version(const VersionConflict* conflicts, int count);

}  // namespace tidemark
