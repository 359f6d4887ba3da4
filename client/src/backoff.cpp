#include "backoff.hpp"

#include <algorithm>
#include <random>

namespace tidemark::detail {

std::chrono::milliseconds delay_after(int attempts, std::chrono::milliseconds first, std::chrono::milliseconds most) {
    auto delay = first;
    for (int i = 1; i < attempts && delay < most; i++) delay *= 2;
    return std::min(delay, most);
}

std::chrono::milliseconds random_delay_after(int attempts, std::chrono::milliseconds first,
                                             std::chrono::milliseconds most) {
    const auto delay = delay_after(attempts, first, most).count();
    thread_local std::minstd_rand generator{std::random_device{}()};
    return std::chrono::milliseconds(
        std::uniform_int_distribution<std::chrono::milliseconds::rep>(delay / 2, delay)(generator));
}

}  // namespace tidemark::detail
