// How long to wait before the next attempt.
#pragma once

#include <chrono>

namespace tidemark::detail {

// What `first` has been doubled to before the attempt that follows so many others, but at most `most`.
std::chrono::milliseconds delay_after(int attempts, std::chrono::milliseconds first, std::chrono::milliseconds most);
// The same, drawn between half of it and all, so that those who met once do not meet again.
std::chrono::milliseconds random_delay_after(int attempts, std::chrono::milliseconds first,
                                             std::chrono::milliseconds most);

}  // namespace tidemark::detail
