// A file descriptor that becomes readable when a stop token is triggered, so that poll() can wait for both.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>

namespace tidemark::detail {

class Wakeup {
  public:
    Wakeup() = default;
    ~Wakeup();
    Wakeup(const Wakeup&) = delete;
    Wakeup& operator=(const Wakeup&) = delete;

    void set(std::stop_token token);
    bool triggered() const { return token_.stop_requested(); }
    // -1, which poll() ignores, where there is nothing to wait for.
    int descriptor() const { return callback_ ? ends_[0] : -1; }

  private:
    std::stop_token token_;
    int ends_[2] = {-1, -1};
    std::optional<std::stop_callback<std::function<void()>>> callback_;
};

}  // namespace tidemark::detail
