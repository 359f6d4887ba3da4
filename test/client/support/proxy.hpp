// A proxy between a client and a server of PostgreSQL, on a Unix socket, that knows where messages end and can cut the
// line between any two of them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "folder.hpp"

namespace tidemark::test {

enum class Side { client, server };

// Where to cut: when that side has sent so many messages since the proxy was armed. The message itself is still passed
// on, or is lost with the line.
struct Cut {
    Side side;
    std::size_t messages;
    bool delivers_last;
};

class Proxy {
  public:
    // The server's socket is server_folder/.s.PGSQL.server_port.
    Proxy(const std::string& server_folder, int server_port);
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    // "host=… port=…" of the proxy.
    std::string conninfo() const;

    // Cuts the line that is open, once. Connections made afterwards pass.
    void arm(const Cut& cut);
    // Whether the line was cut since.
    bool has_cut() const { return cut_done_; }
    void disarm();
    // Passes nothing on, and lets nobody in, until it is thawed, as a network does that drops everything.
    void freeze() { frozen_ = true; }
    void thaw() { frozen_ = false; }
    // The messages that a side has sent since the proxy was armed.
    std::size_t messages(Side side) const { return counts_[static_cast<int>(side)]; }

  private:
    struct Stream;

    void accept_all();
    void serve(int client, int server);
    bool rests() const;
    bool pass(Stream& from, int to, Side side);

    const Folder folder_;
    const std::string server_path_;
    const int listener_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> frozen_{false};
    std::mutex mutex_;
    std::vector<std::thread> lines_;
    Cut cut_{};
    std::atomic<bool> armed_{false};
    std::atomic<bool> cut_done_{false};
    std::atomic<std::size_t> counts_[2] = {};
    std::thread acceptor_;  // the last, as it uses the others
};

}  // namespace tidemark::test
