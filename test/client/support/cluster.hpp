// A PostgreSQL cluster of a test's own, which it may stop, crash, and give a standby.
#pragma once

#include <string>

#include <tidemark/tidemark.hpp>

#include "folder.hpp"

namespace tidemark::test {

// It runs, and has a database named log with the extension. Its programs are those on the PATH.
class Cluster {
  public:
    Cluster();
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    // Of several clusters, the names of the hosts can be joined by commas.
    const std::string& host() const { return folder_; }
    std::string conninfo() const { return conninfo_of(folder_); }
    static std::string conninfo_of(const std::string& hosts) { return "host=" + hosts + " user=postgres dbname=log"; }
    Connection connect() const { return Connection(conninfo()); }

    void start();
    void stop() { control("-m fast stop"); }
    void crash() { control("-m immediate stop"); }
    void promote() { control("promote"); }

  protected:
    struct Standby {};
    Cluster(Standby, const Cluster& primary);

  private:
    struct Empty {};
    explicit Cluster(Empty) {}  // so that a server is stopped where the rest of the construction fails

    void configure();
    void control(const std::string& what) { run("pg_ctl", what); }
    void run(const std::string& program, const std::string& arguments);

    const Folder files_;
    const std::string folder_ = files_.string();
};

// Follows its primary.
class Replica : public Cluster {
  public:
    explicit Replica(const Cluster& primary) : Cluster(Standby(), primary) {}

    // Whether it comes to have all that the primary has.
    static bool catches_up(Connection& primary, Connection& replica);
};

}  // namespace tidemark::test
