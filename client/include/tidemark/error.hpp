// What can go wrong. Every exception that leaves the library is a tidemark::error; nothing of libpq or nlohmann_json
// leaks.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <tidemark/uuid.hpp>

namespace tidemark {

// The base: what(), and of an error that the server raised its SQLSTATE, detail and hint. Without a server the SQLSTATE
// is one of class 08 (connection) or TM.
class error : public std::runtime_error {
  public:
    error(const std::string& message, std::string sqlstate, std::string detail = {}, std::string hint = {})
        : std::runtime_error(message),
          sqlstate_(std::move(sqlstate)),
          detail_(std::move(detail)),
          hint_(std::move(hint)) {}

    const std::string& sqlstate() const noexcept { return sqlstate_; }
    const std::string& detail() const noexcept { return detail_; }
    const std::string& hint() const noexcept { return hint_; }

  private:
    std::string sqlstate_, detail_, hint_;
};

// The server refused a statement; outside a transaction nothing of it has happened. constraint() and table() are set
// where a constraint refused it.
class server_error : public error {
  public:
    struct Origin {
        std::string constraint, table;
    };
    server_error(const std::string& message, std::string sqlstate, std::string detail = {}, std::string hint = {},
                 Origin origin = {})
        : error(message, std::move(sqlstate), std::move(detail), std::move(hint)), origin_(std::move(origin)) {}

    const std::string& constraint() const noexcept { return origin_.constraint; }
    const std::string& table() const noexcept { return origin_.table; }

  private:
    Origin origin_;
};

// An expectation that an append had of a stream, and what the stream is like. Versions are as in ExpectedVersion;
// actual is 0 where the stream has no events.
struct VersionConflict {
    std::string stream;
    std::int64_t expected;
    std::int64_t actual;

    bool operator==(const VersionConflict&) const = default;
};

// TM001: streams were not as the append expected. Read them again, and decide anew.
class wrong_expected_version : public server_error {
  public:
    wrong_expected_version(const std::string& message, std::string detail, std::string hint,
                           std::vector<VersionConflict> conflicts)
        : server_error(message, "TM001", std::move(detail), std::move(hint)), conflicts_(std::move(conflicts)) {}

    // Every expectation of the call that failed, in the order of its writes.
    const std::vector<VersionConflict>& conflicts() const noexcept { return conflicts_; }

  private:
    std::vector<VersionConflict> conflicts_;
};

// TM004: the fence is out of date, as another consumer has taken over, or what was delivered is acknowledged already;
// what was to be done under it has not been done.
class lease_lost : public server_error {
  public:
    using server_error::server_error;
};

// The call ran into its timeout, or its stop token was triggered; the server has given it up (57014). Outside a
// transaction nothing of it has happened.
class cancelled : public server_error {
  public:
    using server_error::server_error;
};

// The connection could not be made, or is gone (class 08), and nothing of the call has happened that would last.
class connection_lost : public error {
  public:
    explicit connection_lost(const std::string& message, std::string sqlstate = "08006")
        : error(message, std::move(sqlstate)) {}
};

// The connection was lost after a commit had been asked for and before it was answered (08007): it may have happened or
// not. Connection::was_committed() finds out.
class commit_in_doubt : public error {
  public:
    // An event that was appended.
    struct Witness {
        std::string stream;
        Uuid event_id;
    };
    explicit commit_in_doubt(const std::string& message, std::vector<Witness> witnesses = {})
        : error(message, "08007", {}, "Ask Connection::was_committed(), or repeat the append with the same event ids."),
          witnesses_(std::move(witnesses)) {}

    // One for each append of the transaction; of those that a savepoint has undone, too.
    const std::vector<Witness>& witnesses() const noexcept { return witnesses_; }

  private:
    std::vector<Witness> witnesses_;
};

// The library was asked for what cannot be: a transaction that is over, a value of another type.
class usage_error : public error {
  public:
    explicit usage_error(const std::string& message) : error(message, "TM000") {}
};

// An event's data is not what its type says. what() names stream, version, position and type.
class decode_error : public error {
  public:
    using error::error;
};

}  // namespace tidemark
