#include "wakeup.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <tidemark/error.hpp>

namespace tidemark::detail {

namespace {

void close_both(int (&ends)[2]) {
    for (int& end : ends) {
        if (end >= 0) ::close(end);
        end = -1;
    }
}

}  // namespace

Wakeup::~Wakeup() {
    callback_.reset();
    close_both(ends_);
}

void Wakeup::set(std::stop_token token) {
    // Waits for a callback that runs just now, so none writes to the pipe that is closed next.
    callback_.reset();
    close_both(ends_);
    token_ = std::move(token);
    if (!token_.stop_possible()) return;
    if (::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) != 0) throw usage_error("no file descriptor is left for the stop token");
    callback_.emplace(token_, [end = ends_[1]] { [[maybe_unused]] const auto written = ::write(end, "", 1); });
}

}  // namespace tidemark::detail
