#include "pooler.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>

#include "expect.hpp"

namespace tidemark::test {

Pooler::Pooler(const Database& database, int sessions) : Pooler() {
    const auto user = database.connect().execute("SELECT current_user").get<std::string>(0, 0);
    std::ofstream(folder_ / "users") << '"' << user << "\" \"\"\n";
    std::ofstream(folder_ / "pgbouncer.ini")
        << "[databases]\n* = host=" << Database::server_folder() << " port=" << Database::server_port()
        << " dbname=" << database.name() << " user=" << user << " pool_size=" << sessions
        << "\n[pgbouncer]\npool_mode = transaction\nlisten_port = 5432\nunix_socket_dir = " << folder_.string()
        << "\nauth_type = trust\nauth_file = " << (folder_ / "users").string() << "\n";
    const std::string settings = folder_ / "pgbouncer.ini", log = folder_ / "log";
    process_ = ::fork();
    if (process_ == 0) {
        const int out = ::open(log.c_str(), O_WRONLY | O_CREAT, 0600);
        ::dup2(out, STDOUT_FILENO);
        ::dup2(out, STDERR_FILENO);
        ::execlp("pgbouncer", "pgbouncer", settings.c_str(), nullptr);
        ::execl("/usr/sbin/pgbouncer", "pgbouncer", settings.c_str(), nullptr);
        ::_exit(127);
    }
    Connection connection(ConnectionOptions{.conninfo = conninfo(), .prepared_statements = false});
    const auto is_up = [&] {
        try {
            connection.reconnect();
            return true;
        } catch (const connection_lost&) {
            return false;
        }
    };
    if (!eventually(is_up)) throw std::runtime_error("PgBouncer does not answer");
}

Pooler::~Pooler() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
}

std::string Pooler::conninfo() const { return "host=" + folder_.string() + " port=5432 user=postgres dbname=log"; }

}  // namespace tidemark::test
