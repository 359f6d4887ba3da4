#include "silent_server.hpp"

#include <poll.h>

#include <array>

#include "sockets.hpp"

namespace tidemark::test {

SilentServer::SilentServer(std::string answer)
    : answer_(std::move(answer)), listener_(listen_in(folder_)), acceptor_([this] { accept_all(); }) {}

SilentServer::~SilentServer() {
    stopping_ = true;
    acceptor_.join();
    for (const int client : clients_) ::close(client);
    ::close(listener_);
}

std::string SilentServer::conninfo() const { return "host=" + folder_.string() + " port=5432"; }

void SilentServer::accept_all() {
    while (!stopping_) {
        pollfd waiting = {listener_, POLLIN, 0};
        if (::poll(&waiting, 1, 20) <= 0) continue;
        const int client = ::accept(listener_, nullptr, nullptr);
        if (client < 0) continue;
        clients_.push_back(client);
        if (answer_.empty()) continue;
        std::array<char, 4096> question;
        if (::recv(client, question.data(), question.size(), 0) > 0)
            ::send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    }
}

}  // namespace tidemark::test
