// The error that Tidemark's own code throws, and the SQLSTATEs of its class TM.
#pragma once

#include "pg_compat.h"

#include <exception>
#include <string>

namespace tidemark {

constexpr int WRONG_EXPECTED_VERSION = MAKE_SQLSTATE('T', 'M', '0', '0', '1');
constexpr int CORRUPTED_LOG = MAKE_SQLSTATE('T', 'M', '0', '0', '2');
constexpr int IDEMPOTENCY_CONFLICT = MAKE_SQLSTATE('T', 'M', '0', '0', '3');
constexpr int LEASE_LOST = MAKE_SQLSTATE('T', 'M', '0', '0', '4');
constexpr int UNKNOWN_SUBSCRIPTION = MAKE_SQLSTATE('T', 'M', '0', '0', '5');
constexpr int SUBSCRIPTION_FAILED = MAKE_SQLSTATE('T', 'M', '0', '0', '6');
constexpr int UPCAST_IMPOSSIBLE = MAKE_SQLSTATE('T', 'M', '0', '0', '7');
constexpr int NOT_REACHED_IN_TIME = MAKE_SQLSTATE('T', 'M', '0', '0', '8');
constexpr int ACKNOWLEDGED_ALREADY = MAKE_SQLSTATE('T', 'M', '0', '0', '9');

// Becomes the SQL error of these fields where it reaches sql_entry. detail and hint may be empty.
class sql_error : public std::exception {
  public:
    sql_error(int sqlstate, std::string message, std::string detail = {}, std::string hint = {})
        : sqlstate(sqlstate), message(std::move(message)), detail(std::move(detail)), hint(std::move(hint)) {}

    const char* what() const noexcept override { return message.c_str(); }

    const int sqlstate;
    const std::string message, detail, hint;
};

// A bad argument: 22023, invalid_parameter_value.
inline sql_error bad_argument(std::string message, std::string detail = {}, std::string hint = {}) {
    return {ERRCODE_INVALID_PARAMETER_VALUE, std::move(message), std::move(detail), std::move(hint)};
}

// The log's tables hold what no sequence of Tidemark's own actions can have left there.
inline sql_error corrupted(std::string message, std::string detail = {}) {
    return {CORRUPTED_LOG, std::move(message), std::move(detail),
            "Run es_verify() to see what else is broken, and restore the log from a backup."};
}

}  // namespace tidemark
