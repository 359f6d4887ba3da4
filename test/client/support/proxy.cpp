#include "proxy.hpp"

#include <poll.h>

#include <array>
#include <cstdint>

#include "sockets.hpp"

namespace tidemark::test {

namespace {

void send_all(int socket, const char* bytes, std::size_t count) {
    while (count > 0) {
        const ssize_t sent = ::send(socket, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes += sent;
        count -= static_cast<std::size_t>(sent);
    }
}

}  // namespace

// What has come from one side and is not passed on: the beginning of a message.
struct Proxy::Stream {
    int socket;
    bool begins_untyped;  // the client's first message has a length and no type
    std::string buffer{};

    // The length of the first whole message in the buffer; 0: there is none yet.
    std::size_t whole_message() const {
        const std::size_t head = begins_untyped ? 0 : 1;
        if (buffer.size() < head + 4) return 0;
        std::uint32_t length = 0;
        for (std::size_t i = 0; i < 4; i++) length = length << 8 | static_cast<unsigned char>(buffer[head + i]);
        return buffer.size() >= head + length ? head + length : 0;
    }
};

Proxy::Proxy(const std::string& server_folder, int server_port)
    : server_path_(server_folder + "/.s.PGSQL." + std::to_string(server_port)),
      listener_(listen_in(folder_)),
      acceptor_([this] { accept_all(); }) {}

Proxy::~Proxy() {
    stopping_ = true;
    acceptor_.join();
    for (auto& line : lines_) line.join();
    ::close(listener_);
}

std::string Proxy::conninfo() const { return "host=" + folder_.string() + " port=5432"; }

void Proxy::arm(const Cut& cut) {
    const std::lock_guard lock(mutex_);
    cut_ = cut;
    cut_done_ = false;
    counts_[0] = counts_[1] = 0;
    armed_ = true;
}

void Proxy::disarm() { armed_ = false; }

// Whether it is frozen; so as not to spin over what waits to be passed on, after a while.
bool Proxy::rests() const {
    if (frozen_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return frozen_;
}

void Proxy::accept_all() {
    while (!stopping_) {
        pollfd waiting = {listener_, POLLIN, 0};
        if (::poll(&waiting, 1, 20) <= 0 || rests()) continue;
        const int client = ::accept(listener_, nullptr, nullptr);
        const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto address = address_of(server_path_);
        if (client < 0 || ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            ::close(client);
            ::close(server);
            continue;
        }
        lines_.emplace_back([this, client, server] { serve(client, server); });
    }
}

void Proxy::serve(int client, int server) {
    Stream from_client{client, true}, from_server{server, false};
    for (bool open = true; open && !stopping_;) {
        pollfd ends[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        if (::poll(ends, 2, 20) < 0) break;
        if (rests()) continue;
        if (ends[0].revents) open = pass(from_client, server, Side::client);
        if (open && ends[1].revents) open = pass(from_server, client, Side::server);
    }
    ::close(client);
    ::close(server);
}

// Reads what has come and passes on each whole message of it. False: the line is at its end.
bool Proxy::pass(Stream& from, int to, Side side) {
    std::array<char, 65536> bytes;
    const ssize_t count = ::recv(from.socket, bytes.data(), bytes.size(), 0);
    if (count <= 0) return false;
    from.buffer.append(bytes.data(), static_cast<std::size_t>(count));
    while (const std::size_t length = from.whole_message()) {
        bool cuts = false, is_lost = false;
        if (armed_) {
            const std::size_t sent = ++counts_[static_cast<int>(side)];
            const std::lock_guard lock(mutex_);
            cuts = side == cut_.side && sent == cut_.messages;
            is_lost = cuts && !cut_.delivers_last;
        }
        if (!is_lost) send_all(to, from.buffer.data(), length);
        from.buffer.erase(0, length);
        from.begins_untyped = false;
        if (cuts) {
            armed_ = false;
            cut_done_ = true;
            return false;
        }
    }
    return true;
}

}  // namespace tidemark::test
