// What the run claims: sentences that should be true, and how often and where they were not.
#pragma once

#include <string>

namespace chaos {

struct Check {
    std::string claim;
    std::string trouble;  // empty: it holds
};

// Collects troubles of one kind: how many, and the first in full.
class Troubles {
  public:
    void add(const std::string& what) {
        if (count_++ == 0) first_ = what;
    }
    std::string text() const { return count_ == 0 ? "" : std::to_string(count_) + " times, first: " + first_; }

  private:
    long count_ = 0;
    std::string first_;
};

}  // namespace chaos
