#include "database.hpp"

#include <cstdlib>
#include <stdexcept>

namespace tidemark::test {

std::string Database::server() {
    const char* server = std::getenv("TIDEMARK_TEST_SERVER");
    if (!server) throw std::runtime_error("TIDEMARK_TEST_SERVER is not set; run the tests by scripts/check client");
    return server;
}

std::string Database::server_folder() {
    return Connection(server() + " dbname=postgres").execute("SHOW unix_socket_directories").get<std::string>(0, 0);
}

int Database::server_port() { return Connection(server() + " dbname=postgres").execute("SHOW port").get<int>(0, 0); }

Database::Database() : name_("test_" + Uuid::make().to_string()) {
    Connection(server() + " dbname=postgres").execute("CREATE DATABASE \"" + name_ + "\"");
    connect().execute("CREATE EXTENSION tidemark");
}

Database::~Database() {
    try {
        Connection(server() + " dbname=postgres").execute("DROP DATABASE \"" + name_ + "\" WITH (FORCE)");
    } catch (const error&) {  // the server goes with all of its databases
    }
}

std::string Database::conninfo() const { return server() + " dbname=" + name_; }

}  // namespace tidemark::test
