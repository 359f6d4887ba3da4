// Many appends in flight on one connection, where waiting for each answer would cost more than the appends.
#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <tidemark/connection.hpp>

namespace tidemark {

// Each append is a transaction of its own, and they are made in the order in which they are given. One that fails does
// not hinder the others. Where the connection is lost, those that are not answered are made again, with the same event
// ids, so once. For one thread at a time; nothing else can be done on the connection while the pipeline lives.
class Pipeline {
  public:
    // What became of an append: get() returns its result, or throws as Connection::append does.
    class Answer {
      public:
        Answer(AppendResult result) : value_(std::move(result)) {}
        Answer(std::exception_ptr failure) : value_(std::move(failure)) {}
        const AppendResult& get() const;
        // Null where it succeeded.
        std::exception_ptr failure() const {
            return has_failed() ? std::get<std::exception_ptr>(value_) : std::exception_ptr();
        }
        bool has_failed() const { return std::holds_alternative<std::exception_ptr>(value_); }

      private:
        std::variant<AppendResult, std::exception_ptr> value_;
    };
    using Handler = std::function<void(const Answer&)>;

    // At most so many appends are unanswered at a time.
    explicit Pipeline(Connection& connection, std::size_t max_in_flight = 256);
    Pipeline(const Pipeline&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    // Waits for the answers, and keeps the failures to itself: call finish().
    ~Pipeline();

    // Sends an append. The handler is called with the answer, by a later append() or by finish(). Without a handler,
    // the first failure is thrown by finish().
    void append(std::string_view stream, std::span<const NewEvent> events,
                ExpectedVersion expected = ExpectedVersion::any(), Handler handler = {});
    void append(std::string_view stream, const NewEvent& event, ExpectedVersion expected = ExpectedVersion::any(),
                Handler handler = {}) {
        append(stream, std::span(&event, 1), expected, std::move(handler));
    }

    // Waits until every append is answered. Throws commit_in_doubt where the connection is lost and stays so; what is
    // not answered then may have been made or not.
    void finish();

  private:
    struct Request {
        std::vector<Parameter> parameters;
        bool single;
        Handler handler;
    };

    void open();
    bool enter();
    void leave() noexcept;
    void send(const Request& request);
    void settle(std::size_t in_flight);
    Answer receive();
    [[noreturn]] void abandon(const std::string& why);
    template <typename Step>
    auto repeat_when_lost(Step step);

    detail::Session& session_;
    const std::size_t max_in_flight_;
    std::deque<Request> requests_;  // sent and not answered
    std::exception_ptr failure_;
    bool is_entered_ = false;
};

}  // namespace tidemark
