// Unix sockets where libpq looks for them.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "folder.hpp"

namespace tidemark::test {

inline sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("the socket's path is too long: " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size());
    return address;
}

// A socket that listens as a server on the port 5432 would.
inline int listen_in(const Folder& folder) {
    const auto address = address_of(folder / ".s.PGSQL.5432");
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 16) != 0)
        throw std::runtime_error("cannot listen in " + folder.string());
    return listener;
}

}  // namespace tidemark::test
