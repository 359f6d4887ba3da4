#include "recovery.hpp"

#include <string_view>

namespace tidemark::detail {

bool is_passing(const error& problem) {
    constexpr std::string_view READ_ONLY = "25006";
    const std::string_view state = problem.sqlstate(), kind = state.substr(0, 2);
    return kind == "08" || kind == "40" || kind == "53" || kind == "57" || kind == "58" || state == READ_ONLY ||
           dynamic_cast<const connection_lost*>(&problem) || dynamic_cast<const commit_in_doubt*>(&problem);
}

void rest(Connection& connection, const std::stop_token& stop, std::chrono::milliseconds time) {
    connection.set_stop_token(stop);
    try {
        connection.pause(time);
    } catch (const cancelled&) {
    }
    connection.set_stop_token({});
}

}  // namespace tidemark::detail
