// A database of a test's own, with the extension, on the server that TIDEMARK_TEST_SERVER leads to.
#pragma once

#include <string>

#include <tidemark/tidemark.hpp>

namespace tidemark::test {

class Database {
  public:
    Database();
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    const std::string& name() const { return name_; }
    // Appended to by what else is wanted.
    std::string conninfo() const;
    Connection connect() const { return Connection(conninfo()); }

    static std::string server();  // "host=… port=… user=…"
    static std::string server_folder();
    static int server_port();

  private:
    std::string name_;
};

}  // namespace tidemark::test
