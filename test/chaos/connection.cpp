#include "connection.h"

namespace chaos {

Connection::Connection(std::string conninfo, std::string name, std::string database)
    : conninfo_(std::move(conninfo)), name_(std::move(name)), database_(std::move(database)) {
    reconnect();
}

void Connection::reconnect() {
    // No statement of the run takes long, so a hang is a failure; lock waits end earlier, and count as a conflict.
    const char* options = "-c statement_timeout=60s -c lock_timeout=2s";
    // The first dbname is expanded as a connection string, a second one only overrides the database.
    std::vector<const char*> keys = {"dbname", "application_name", "options"};
    std::vector<const char*> values = {conninfo_.c_str(), name_.c_str(), options};
    if (!database_.empty()) {
        keys.push_back("dbname");
        values.push_back(database_.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    connection_.reset(PQconnectdbParams(keys.data(), values.data(), 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK) throw ConnectionLost(PQerrorMessage(connection_.get()));
    const PQnoticeProcessor silence = [](void*, const char*) {};
    PQsetNoticeProcessor(connection_.get(), silence, nullptr);
}

Rows Connection::run(const std::string& sql, const Params& params) {
    std::vector<const char*> values;
    for (const auto& param : params) values.push_back(param ? param->c_str() : nullptr);
    Rows rows(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                           nullptr, nullptr, 0));
    const ExecStatusType status = PQresultStatus(rows.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return rows;
    const std::string message = PQerrorMessage(connection_.get());
    const char* sqlstate = PQresultErrorField(rows.get(), PG_DIAG_SQLSTATE);
    const std::string state = sqlstate ? sqlstate : "";
    if (PQstatus(connection_.get()) == CONNECTION_BAD || state.starts_with("57P0")) throw ConnectionLost(message);
    throw SqlError(state, message);
}

}  // namespace chaos
