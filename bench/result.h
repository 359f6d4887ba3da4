// What the programs of bench have in common: a result of libpq that frees itself, or throws what the server says.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <stdexcept>

using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

inline Result check(PGresult* raw) {
    Result result(raw, PQclear);
    if (PQresultStatus(raw) != PGRES_TUPLES_OK && PQresultStatus(raw) != PGRES_COMMAND_OK)
        throw std::runtime_error(PQresultErrorMessage(raw));
    return result;
}
