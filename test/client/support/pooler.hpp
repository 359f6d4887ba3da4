// PgBouncer in transaction mode in front of a test's database: each transaction may run in another session.
#pragma once

#include <sys/types.h>

#include <string>

#include "database.hpp"
#include "folder.hpp"

namespace tidemark::test {

class Pooler {
  public:
    // With so many sessions of the server for all of its clients.
    Pooler(const Database& database, int sessions);
    ~Pooler();
    Pooler(const Pooler&) = delete;
    Pooler& operator=(const Pooler&) = delete;

    std::string conninfo() const;

  private:
    Pooler() = default;

    const Folder folder_;
    pid_t process_ = -1;
};

}  // namespace tidemark::test
