#include "writer.h"

#include <cstdio>

namespace chaos {

namespace {

constexpr std::int64_t any = -2, no_stream = -1, stream_exists = -4;
constexpr const char* wrong_expected_version = "TM001";

// Refusals that are no more than the answer to what a writer did: a conflict, a serialization failure, a deadlock
// between writers that took streams in different order, and a lock not granted in time.
bool is_normal(const SqlError& error) {
    for (const char* state : {wrong_expected_version, "40001", "40P01", "55P03"})
        if (error.sqlstate == state) return true;
    return false;
}

std::string data_text(long serial, unsigned writer, int length) {
    // In the form in which jsonb prints it, so that it can be compared as text.
    return "{\"n\": " + std::to_string(serial) + ", \"by\": " + std::to_string(writer) + ", \"note\": \"" +
           std::string(static_cast<std::size_t>(length), static_cast<char>('a' + serial % 26)) + "\"}";
}

}  // namespace

Writer::Writer(const std::string& conninfo, unsigned seed, unsigned number, Ledger& ledger, Resolver& resolver,
               Journal& journal)
    : session_(conninfo, "chaos writer " + std::to_string(number)),
      dice_(seed, 1, number),
      number_(number),
      pid_(session_.pid()),
      ledger_(ledger),
      resolver_(resolver),
      journal_(journal) {}

void Writer::run(std::stop_token stop) {
    while (!stop.stop_requested()) {
        // Everybody hurries at the same times, so that the safe position moves at times, and fast.
        hasty_ = std::chrono::duration_cast<Millis>(Clock::now().time_since_epoch()) % Millis(2500) < Millis(1000);
        transact();
        if (!hasty_) rest(Millis(dice_.between(0, 5)));
    }
}

void Writer::linger() {
    if (!hasty_) rest(dice_.pause());
}

void Writer::reconnect() {
    session_.reconnect();
    pid_ = session_.pid();
}

void Writer::transact() {
    Draft draft;
    try {
        try {
            begin();
            work(draft, 0);
            linger();
            finish(draft);
        } catch (const SqlError& error) {
            journal_.count(error.sqlstate);
            if (!is_normal(error))
                journal_.complain(no_error, "writer " + std::to_string(number_) + ": " + error.what());
            session_.run("ROLLBACK");
            ledger_.settle(std::move(draft), Outcome::rolled_back);
        }
    } catch (const ConnectionLost&) {
        journal_.count("connections lost");
        ledger_.settle(std::move(draft), Outcome::rolled_back);
        reconnect();
    }
}

void Writer::begin() {
    began_ = Clock::now();
    const int level = dice_.between(1, 100);
    session_.run(std::string("BEGIN ISOLATION LEVEL ") + (level <= 60   ? "READ COMMITTED"
                                                          : level <= 85 ? "REPEATABLE READ"
                                                                        : "SERIALIZABLE"));
    if (!dice_.chance(hasty_ ? 10 : 35)) return;
    // A transaction id that is older than those of the events before its own.
    session_.run(dice_.chance(50) ? "SELECT pg_current_xact_id()" : "INSERT INTO chaos_notes DEFAULT VALUES");
    journal_.count("early transaction ids");
    linger();
}

void Writer::work(Draft& draft, int depth) {
    const int steps = hasty_ ? 1 : dice_.between(1, depth == 0 ? 4 : 2);
    for (int step = 0; step < steps && in_time(); ++step) {
        if (depth < 3 && dice_.chance(30))
            nest(draft, depth);
        else
            append(draft);
        if (dice_.chance(60)) linger();
    }
}

void Writer::nest(Draft& draft, int depth) {
    const std::string savepoint = "level_" + std::to_string(depth);
    const auto mark = static_cast<std::ptrdiff_t>(draft.live.size());
    session_.run("SAVEPOINT " + savepoint);
    bool undo = dice_.chance(40);
    try {
        work(draft, depth + 1);
    } catch (const SqlError& error) {
        if (error.sqlstate != wrong_expected_version) throw;
        journal_.count(error.sqlstate);
        undo = true;
    }
    if (undo) {
        session_.run("ROLLBACK TO SAVEPOINT " + savepoint);
        draft.live.erase(draft.live.begin() + mark, draft.live.end());
        journal_.count("savepoints rolled back");
        if (dice_.chance(60)) append(draft);
        if (dice_.chance(50)) return;
    }
    session_.run("RELEASE SAVEPOINT " + savepoint);
    journal_.count("savepoints released");
}

std::string Writer::pick_stream() {
    const std::string category = categories[dice_.between(0, 3)];
    if (dice_.chance(3)) return category + "-new-" + std::to_string(number_) + "-" + draw_id().substr(0, 8);
    return category + "-" + std::to_string(dice_.between(1, 8));
}

Writer::Expectation Writer::pick_expectation() {
    const int roll = dice_.between(1, 100);
    return roll <= 40   ? Expectation::exact
           : roll <= 75 ? Expectation::any
           : roll <= 85 ? Expectation::locked
           : roll <= 93 ? Expectation::exists
                        : Expectation::none;
}

std::string Writer::draw_id() {
    const std::uint64_t high = ids_(), low = ids_();
    char text[37];
    std::snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%012llx", static_cast<unsigned>(high >> 32),
                  static_cast<unsigned>(high >> 16 & 0xffff), static_cast<unsigned>(high & 0xfff),
                  static_cast<unsigned>(0x8000 | (low >> 48 & 0x3fff)),
                  static_cast<unsigned long long>(low & 0xffffffffffff));
    return text;
}

std::vector<Event> Writer::draw_events(const std::string& stream) {
    int count = 1;
    if (dice_.chance(2)) {
        count = 200;
        journal_.count("bulk appends");
    } else if (dice_.chance(40)) {
        count = dice_.between(2, 5);
    }
    std::vector<Event> events(static_cast<std::size_t>(count));
    for (auto& event : events) {
        const int length = dice_.chance(2) ? 5000 : dice_.between(0, 40);
        event.stream = stream;
        event.id = draw_id();
        event.type = "Chaos" + std::to_string(dice_.between(1, 5));
        event.data = data_text(++serial_, number_, length);
    }
    return events;
}

std::int64_t Writer::expected_version(Expectation expectation, const std::string& stream) {
    if (expectation == Expectation::any) return any;
    if (expectation == Expectation::exists) return stream_exists;
    if (expectation == Expectation::none) return no_stream;
    const bool lock = expectation == Expectation::locked;
    const auto version =
        session_.run(lock ? "SELECT es_lock_stream($1)" : "SELECT es_stream_version($1)", {stream}).number(0, 0);
    if (dice_.chance(20)) linger();
    return version == 0 ? no_stream : version;
}

Rows Writer::call(const std::vector<Event>& events, std::int64_t expected) {
    const Event& first = events.front();
    const std::string expectation = std::to_string(expected);
    if (events.size() == 1 && dice_.chance(70))
        return session_.run("SELECT * FROM es_append($1, $2, $3, expected_version => $4, event_id => $5)",
                            {first.stream, first.type, first.data, expectation, first.id});
    std::string json;
    for (const Event& event : events)
        json += (json.empty() ? "[" : ", ") + ("{\"type\": \"" + event.type) + "\", \"data\": " + event.data +
                ", \"id\": \"" + event.id + "\"}";
    return session_.run("SELECT * FROM es_append_events($1, $2, $3)", {first.stream, json + "]", expectation});
}

void Writer::append(Draft& draft) {
    const std::string stream = pick_stream();
    const Expectation expectation = pick_expectation();
    const std::int64_t expected = expected_version(expectation, stream);
    std::vector<Event> events = draw_events(stream);
    for (const Event& event : events) draft.attempted.push_back(event.id);
    const auto asked = Clock::now();
    try {
        const Rows reply = call(events, expected);
        accept(draft, std::move(events), expected, reply);
    } catch (const ConnectionLost&) {
        draft.maybe_holding_since = asked;
        throw;
    } catch (const SqlError& error) {
        if (error.sqlstate != wrong_expected_version) draft.maybe_holding_since = asked;
        if (error.sqlstate == wrong_expected_version && expected == any)
            journal_.complain(true_replies, "an append that expects nothing was refused: " + std::string(error.what()));
        if (error.sqlstate == wrong_expected_version && expectation == Expectation::locked)
            journal_.complain(true_replies, "the version of a locked stream was refused: " + std::string(error.what()));
        throw;
    }
}

// Takes the reply's word for versions and positions, unless it contradicts the question or itself.
void Writer::accept(Draft& draft, std::vector<Event> events, std::int64_t expected, const Rows& reply) {
    const auto first_version = reply.number(0, 1), last_version = reply.number(0, 2);
    const auto first_position = reply.number(0, 3), last_position = reply.number(0, 4);
    const auto beyond = static_cast<std::int64_t>(events.size()) - 1;
    const std::int64_t demanded = expected > 0 ? expected + 1 : expected == no_stream ? 1 : first_version;
    const std::int64_t before = draft.live.empty() ? 0 : draft.live.back().position;
    if (reply.text(0, 0) != events.front().stream || first_version != demanded || first_position <= before ||
        last_version - first_version != beyond || last_position - first_position != beyond || reply.truth(0, 5))
        journal_.complain(true_replies, "an append of " + std::to_string(events.size()) + " events to " +
                                            events.front().stream + " expecting " + std::to_string(expected) +
                                            " was answered with versions " + reply.text(0, 1) + " to " +
                                            reply.text(0, 2) + ", positions " + reply.text(0, 3) + " to " +
                                            reply.text(0, 4) + ", is_duplicate " + reply.text(0, 5));
    for (std::size_t i = 0; i < events.size(); ++i) {
        events[i].version = first_version + static_cast<std::int64_t>(i);
        events[i].position = first_position + static_cast<std::int64_t>(i);
        draft.live.push_back(std::move(events[i]));
    }
    if (!draft.holding_since) {
        draft.first_position = first_position;
        draft.holding_since = Clock::now();
    }
}

void Writer::finish(Draft& draft) {
    const int fate = hasty_ ? dice_.between(12, 500) : dice_.between(1, 100);
    if (fate <= 12) {
        session_.run("ROLLBACK");
        journal_.count("rollbacks");
        ledger_.settle(std::move(draft), Outcome::rolled_back);
    } else if (fate <= 15) {
        die();
    } else if (fate <= 31 && resolver_.has_room()) {
        prepare(draft);
    } else {
        commit(draft);
    }
}

void Writer::die() {
    journal_.count("own backend terminated");
    session_.run("SELECT pg_terminate_backend(pg_backend_pid())");
    // The signal may be noticed only with the next statement.
    session_.run("SELECT pg_sleep(10)");
    journal_.complain(no_error, "a terminated backend went on");
}

void Writer::prepare(Draft& draft) {
    Prepared prepared;
    prepared.gid = "chaos-" + draw_id();
    prepared.commit = dice_.chance(70);
    prepared.due = Clock::now() + dice_.pause();
    try {
        const std::string tag = session_.run("PREPARE TRANSACTION '" + prepared.gid + "'").tag();
        if (tag != "PREPARE TRANSACTION")
            journal_.complain(true_replies, "PREPARE TRANSACTION was answered with " + tag);
    } catch (const ConnectionLost&) {
        prepared.certain = false;
        reconnect();
    }
    prepared.draft = std::move(draft);
    resolver_.add(std::move(prepared));
}

void Writer::commit(Draft& draft) {
    try {
        const std::string tag = session_.run("COMMIT").tag();
        if (tag != "COMMIT") journal_.complain(true_replies, "COMMIT was answered with " + tag);
        journal_.count("commits");
        ledger_.settle(std::move(draft), Outcome::committed);
    } catch (const ConnectionLost&) {
        journal_.count("commits in doubt");
        ledger_.settle(std::move(draft), Outcome::in_doubt);
        reconnect();
    }
}

}  // namespace chaos
