#include "writer.h"

#include <algorithm>

namespace chaos {

namespace {

constexpr const char* deadlock_detected = "40P01";

// Refusals that are no more than the answer to what a writer did: a conflict, a serialization failure, a deadlock
// between writers that took streams in different order, and a lock not granted in time.
bool is_normal(const SqlError& error) {
    for (const char* state : {wrong_expected_version, "40001", deadlock_detected, "55P03"})
        if (error.sqlstate == state) return true;
    return false;
}

// Whether the expectations are sure to hold: what the transaction holds stays as it is.
bool is_certain(const Call& call) {
    return std::ranges::all_of(call.writes, [&](const Write& write) {
        const auto held = call.held.find(write.stream);
        return write.expected == any || (held != call.held.end() && matches(write.expected, held->second));
    });
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
      journal_(journal),
      composer_(session_, dice_, number, journal) {}

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
    alone_ = dice_.chance(35);
    try {
        try {
            begin();
            if (alone_)
                append(draft);
            else
                work(draft, 0);
            linger();
            finish(draft);
        } catch (const SqlError& error) {
            refused(error);
            session_.run("ROLLBACK");
            ledger_.settle(draft, Outcome::rolled_back);
        }
    } catch (const ConnectionLost&) {
        journal_.count("connections lost");
        ledger_.settle(draft, Outcome::rolled_back);
        reconnect();
        repeat(draft, Outcome::rolled_back);
    }
}

void Writer::refused(const SqlError& error) {
    journal_.count(error.sqlstate);
    const std::string what = "writer " + std::to_string(number_) + ": " + error.what();
    if (!is_normal(error)) journal_.complain(no_error, what);
    if (alone_ && error.sqlstate == deadlock_detected) journal_.complain(no_deadlock, what);
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
    const Draft::Done mark = draft.done;
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
        draft.done = mark;
        journal_.count("savepoints rolled back");
        if (dice_.chance(60)) append(draft);
        if (dice_.chance(50)) return;
    }
    session_.run("RELEASE SAVEPOINT " + savepoint);
    journal_.count("savepoints released");
}

void Writer::append(Draft& draft) {
    Call call = alone_ ? composer_.business() : composer_.anything(draft.done.held);
    if (dice_.chance(20)) linger();
    make(draft, std::move(call));
}

void Writer::make(Draft& draft, Call call) {
    for (const Event& event : call.events()) draft.attempted.push_back(event.id);
    const auto asked = Clock::now();
    try {
        const std::string trouble = take_reply(call, send(session_, dice_, call));
        if (!trouble.empty()) journal_.complain(true_replies, trouble);
    } catch (const ConnectionLost&) {
        draft.maybe_holding_since = asked;
        throw;
    } catch (const SqlError& error) {
        if (error.sqlstate != wrong_expected_version) draft.maybe_holding_since = asked;
        if (error.sqlstate == wrong_expected_version && is_certain(call))
            journal_.complain(true_replies, describe(call) + " could not be refused: " + error.what());
        throw;
    }
    const std::vector<Event> events = call.events();
    if (!events.empty() && !call.is_duplicate) {
        if (events.front().position <= draft.last_position)
            journal_.complain(true_replies,
                              describe(events.front()) + ", behind " + std::to_string(draft.last_position));
        draft.last_position = events.back().position;
        if (!draft.holding_since) {
            draft.first_position = events.front().position;
            draft.holding_since = Clock::now();
        }
    }
    for (const Write& write : call.writes) draft.done.held[write.stream] = write.told;
    draft.done.calls.push_back(std::move(call));
}

void Writer::finish(Draft& draft) {
    const int fate = hasty_ ? dice_.between(12, 500) : dice_.between(1, 100);
    if (fate <= 12) {
        session_.run("ROLLBACK");
        journal_.count("rollbacks");
        ledger_.settle(draft, Outcome::rolled_back);
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
    prepared.gid = "chaos-" + composer_.draw_id();
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
    Outcome outcome = Outcome::committed;
    try {
        const std::string tag = session_.run("COMMIT").tag();
        if (tag != "COMMIT") journal_.complain(true_replies, "COMMIT was answered with " + tag);
        journal_.count("commits");
    } catch (const ConnectionLost&) {
        journal_.count("commits in doubt");
        outcome = Outcome::in_doubt;
        reconnect();
    }
    ledger_.settle(draft, outcome);
    if (outcome == Outcome::committed) {
        if (!dice_.chance(8)) return;
        // So that others may have moved the streams on.
        rest(dice_.pause());
    }
    repeat(draft, outcome);
}

// What a client does that lost a reply: everything again, with the same ids. Here only where that is one append, which
// rests on nothing that its lost transaction held.
void Writer::repeat(const Draft& draft, Outcome known) {
    if (draft.done.calls.size() != 1) return;
    Call first = draft.done.calls.front();
    if (!first.held.empty() || first.events().empty()) return;
    while (!repeated(first, known)) continue;
}

// Returns whether there is no use in trying again; otherwise first and known are what to try again with.
bool Writer::repeated(Call& first, Outcome& known) {
    Draft draft;
    try {
        try {
            session_.run("BEGIN");
            make(draft, first);
            const Call& again = draft.done.calls.front();
            if (again.is_duplicate ? known == Outcome::rolled_back || again.writes != first.writes
                                   : known == Outcome::committed)
                journal_.complain(true_replies, describe(again) + " was repeated, and answered differently");
            journal_.count(again.is_duplicate ? "repeated, was there" : "repeated, was not there");
            session_.run("COMMIT");
            ledger_.settle(draft, Outcome::committed);
            return true;
        } catch (const SqlError& error) {
            refused(error);
            session_.run("ROLLBACK");
            const bool conflict = error.sqlstate == wrong_expected_version;
            if (conflict) journal_.count("repeated, refused");
            if (conflict && known == Outcome::committed)
                journal_.complain(true_replies, describe(first) + " is in the log, but refused: " + error.what());
            // A conflict tells as well: the call is not in the log, and will not be.
            ledger_.settle(draft, conflict ? Outcome::rolled_back : Outcome::in_doubt);
            return conflict || !is_normal(error);
        }
    } catch (const ConnectionLost&) {
        journal_.count("connections lost");
        reconnect();
    }
    ledger_.settle(draft, Outcome::in_doubt);
    if (!draft.done.calls.empty() && !draft.done.calls.front().is_duplicate) {
        first = draft.done.calls.front();
        known = Outcome::in_doubt;
    }
    return false;
}

}  // namespace chaos
