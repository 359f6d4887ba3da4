// The randomness of one thread: reproducible from the run's seed, apart from what the scheduler adds.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>
#include <stop_token>
#include <thread>

namespace chaos {

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::milliseconds;

class Dice {
  public:
    // role and number tell the threads apart.
    Dice(unsigned seed, unsigned role, unsigned number) {
        std::seed_seq sequence{seed, role, number};
        engine_.seed(sequence);
    }
    int between(int low, int high) { return std::uniform_int_distribution(low, high)(engine_); }
    bool chance(int percent) { return between(1, 100) <= percent; }
    template <typename Items>
    void shuffle(Items& items) {
        std::shuffle(items.begin(), items.end(), engine_);
    }
    // How long a client keeps a transaction waiting: mostly up to 50 ms, now and then 300.
    Millis pause() { return Millis(chance(3) ? 300 : between(0, 50)); }

  private:
    std::mt19937 engine_;
};

inline void rest(Millis time) { std::this_thread::sleep_for(time); }

inline void rest_unless(std::stop_token stop, Millis time) {
    const auto until = Clock::now() + time;
    while (!stop.stop_requested() && Clock::now() < until) rest(Millis(10));
}

}  // namespace chaos
