// What the threads of the run report: how often things happened, and whatever contradicts a claim.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace chaos {

// The claims that threads check as they go.
inline constexpr const char* no_error = "nobody met an unexpected error";
inline constexpr const char* true_replies = "every append was answered in accordance with what it asked for";
inline constexpr const char* steady_line = "the safe position never goes back and is never above the head";
inline constexpr const char* no_deadlock = "appends alone in their transactions never deadlock with one another";

class Journal {
  public:
    void count(const std::string& what) {
        const std::scoped_lock lock(mutex_);
        ++counts_[what];
    }
    void complain(const std::string& claim, const std::string& what) {
        const std::scoped_lock lock(mutex_);
        complaints_[claim].push_back(what);
    }
    long counted(const std::string& what) const {
        const std::scoped_lock lock(mutex_);
        const auto found = counts_.find(what);
        return found == counts_.end() ? 0 : found->second;
    }
    std::map<std::string, long> counts() const {
        const std::scoped_lock lock(mutex_);
        return counts_;
    }
    std::vector<std::string> complaints(const std::string& claim) const {
        const std::scoped_lock lock(mutex_);
        const auto found = complaints_.find(claim);
        return found == complaints_.end() ? std::vector<std::string>{} : found->second;
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::string, long> counts_;
    std::map<std::string, std::vector<std::string>> complaints_;
};

}  // namespace chaos
