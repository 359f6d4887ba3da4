// The detail of TM001, for programs.
#pragma once

#include <string_view>
#include <vector>

#include <tidemark/error.hpp>

namespace tidemark::detail {

std::vector<VersionConflict> parse_conflicts(std::string_view detail);

}  // namespace tidemark::detail
