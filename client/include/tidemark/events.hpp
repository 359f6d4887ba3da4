// Events read in pages while they are iterated over.
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <vector>

#include <tidemark/event.hpp>

namespace tidemark {

// An input range: for (const Event& event : connection.read_stream("order-1")) … It can be gone through once, goes on
// where another loop has left off, and asks
// the connection or transaction that it came from for each page, so that one must live as long. What fetching a page
// throws, iterating throws.
class Events {
  public:
    // Returns the page after `last`, the last event of the page before, or null for the first page. An empty page is
    // the end.
    using Fetch = std::function<std::vector<Event>(const Event* last)>;

    explicit Events(Fetch fetch) : fetch_(std::move(fetch)) {}

    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = Event;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        explicit iterator(Events* events) : events_(events) {}

        Event& operator*() const { return events_->page_[events_->next_]; }
        Event* operator->() const { return &**this; }
        iterator& operator++() {
            events_->step();
            return *this;
        }
        void operator++(int) { events_->step(); }
        bool operator==(std::default_sentinel_t) const { return events_->page_.empty(); }

      private:
        Events* events_ = nullptr;
    };

    iterator begin();
    std::default_sentinel_t end() const { return {}; }

    // All that is left of them.
    std::vector<Event> to_vector();

  private:
    void step();

    void fetch();

    Fetch fetch_;
    std::vector<Event> page_;    // empty: to be fetched, or at the end
    std::optional<Event> last_;  // of the page before
    std::size_t next_ = 0;
    bool at_end_ = false;
};

}  // namespace tidemark
