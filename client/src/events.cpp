#include <tidemark/events.hpp>

#include <iterator>

namespace tidemark {

Events::iterator Events::begin() {
    if (page_.empty()) fetch();
    return iterator(this);
}

void Events::step() {
    if (++next_ < page_.size()) return;
    last_ = std::move(page_.back());
    next_ = 0;
    page_.clear();
    fetch();
}

void Events::fetch() {
    if (at_end_) return;
    page_ = fetch_(last_ ? &*last_ : nullptr);
    at_end_ = page_.empty();
}

std::vector<Event> Events::to_vector() {
    std::vector<Event> all;
    for (Event& event : *this) all.push_back(std::move(event));
    return all;
}

}  // namespace tidemark
