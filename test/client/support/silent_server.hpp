// A server that lets clients in to the socket and gives them all the same answer, or none.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "folder.hpp"

namespace tidemark::test {

class SilentServer {
  public:
    explicit SilentServer(std::string answer = {});
    ~SilentServer();
    SilentServer(const SilentServer&) = delete;
    SilentServer& operator=(const SilentServer&) = delete;

    // "host=… port=…".
    std::string conninfo() const;

  private:
    void accept_all();

    const std::string answer_;
    const Folder folder_;
    int listener_ = -1;
    std::vector<int> clients_;
    std::atomic<bool> stopping_{false};
    std::thread acceptor_;
};

}  // namespace tidemark::test
