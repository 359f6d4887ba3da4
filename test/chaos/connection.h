// A libpq connection that throws: SqlError when the server refuses a statement, ConnectionLost when the line is gone.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace chaos {

using Params = std::vector<std::optional<std::string>>;

class SqlError : public std::runtime_error {
  public:
    SqlError(std::string state, const std::string& message) : std::runtime_error(message), sqlstate(std::move(state)) {}
    std::string sqlstate;
};

class ConnectionLost : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// The rows of one statement, as text.
class Rows {
  public:
    explicit Rows(PGresult* result) : result_(result, PQclear) {}
    int size() const { return PQntuples(result_.get()); }
    bool null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
    std::string text(int row, int column) const { return PQgetvalue(result_.get(), row, column); }
    std::int64_t number(int row, int column) const { return std::stoll(text(row, column)); }
    bool truth(int row, int column) const { return text(row, column) == "t"; }
    std::string tag() const { return PQcmdStatus(result_.get()); }
    const PGresult* get() const { return result_.get(); }

  private:
    std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

class Connection {
  public:
    // name becomes the application_name; database, unless empty, overrides the one in conninfo.
    Connection(std::string conninfo, std::string name, std::string database = {});
    Rows run(const std::string& sql, const Params& params = {});
    // Opens a new session in place of the old one.
    void reconnect();
    int pid() const { return PQbackendPID(connection_.get()); }

  private:
    std::string conninfo_, name_, database_;
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_{nullptr, PQfinish};
};

}  // namespace chaos
