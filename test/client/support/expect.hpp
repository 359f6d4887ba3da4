// What tests say of errors, and of what other sessions and threads do meanwhile.
#pragma once

#include <catch2/catch.hpp>

#include <chrono>
#include <exception>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>

#include <tidemark/tidemark.hpp>

namespace tidemark::test {

// What the action throws, which must be an E and nothing derived from it.
template <typename E, typename Action>
E thrown_by(Action action) {
    try {
        action();
    } catch (const E& problem) {
        INFO("the error is " << typeid(problem).name() << ": " << problem.what());
        CHECK(typeid(problem) == typeid(E));
        return problem;
    } catch (const std::exception& problem) {
        FAIL("the error is " << typeid(problem).name() << ", not " << typeid(E).name() << ": " << problem.what());
    }
    FAIL("there was no error, instead of " << typeid(E).name());
    throw std::exception();
}

// The SQLSTATE of what the action throws.
template <typename E, typename Action>
std::string state_of(Action action) {
    return thrown_by<E>(action).sqlstate();
}

using Seconds = std::chrono::duration<double>;

template <typename Action>
Seconds time_of(Action action) {
    const auto start = std::chrono::steady_clock::now();
    action();
    return std::chrono::steady_clock::now() - start;
}

// Whether the condition comes true before long.
template <typename Condition>
bool eventually(Condition condition, Seconds patience = Seconds(20)) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

// Ends a session, and returns when it is gone.
inline void terminate(Connection& witness, int pid) {
    REQUIRE(witness.execute("SELECT pg_terminate_backend($1::int, 20000)", pid).get<bool>(0, 0));
}

// Whether that session comes to wait for a lock.
inline bool comes_to_wait(Connection& witness, int pid) {
    return eventually([&] {
        return witness.execute("SELECT 1 FROM pg_stat_activity WHERE pid = $1::int AND wait_event_type = 'Lock'", pid)
                   .size() == 1;
    });
}

inline NewEvent event(std::string type, json data = json::object()) {
    return {.type = std::move(type), .data = std::move(data)};
}

inline std::vector<std::int64_t> versions_of(const std::vector<Event>& events) {
    std::vector<std::int64_t> versions;
    for (const Event& each : events) versions.push_back(each.version);
    return versions;
}

}  // namespace tidemark::test
