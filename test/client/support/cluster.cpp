#include "cluster.hpp"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "expect.hpp"

namespace tidemark::test {

Cluster::Cluster() : Cluster(Empty()) {
    run("initdb", "-U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync");
    configure();
    start();
    Connection("host=" + folder_ + " user=postgres dbname=postgres").execute("CREATE DATABASE log");
    connect().execute("CREATE EXTENSION tidemark");
}

Cluster::Cluster(Standby, const Cluster& primary) : Cluster(Empty()) {
    run("pg_basebackup", "-h " + primary.folder_ + " -U postgres -c fast -R --no-sync");
    configure();
    start();
}

Cluster::~Cluster() {
    try {
        crash();
    } catch (const std::exception&) {  // stopped already
    }
}

void Cluster::start() { control("-w -l " + folder_ + "/log start"); }

void Cluster::configure() {
    std::ofstream(files_ / "data/postgresql.conf", std::ios::app)
        << "listen_addresses = ''\nunix_socket_directories = '" << folder_ << "'\nfsync = off\n";
}

void Cluster::run(const std::string& program, const std::string& arguments) {
    const std::string command =
        program + " -D " + folder_ + "/data " + arguments + " >" + folder_ + "/said 2>&1 </dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

bool Replica::catches_up(Connection& primary, Connection& replica) {
    const auto written = primary.execute("SELECT pg_current_wal_lsn()").get<std::string>(0, 0);
    return eventually(
        [&] { return replica.execute("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", written).get<bool>(0, 0); });
}

}  // namespace tidemark::test
