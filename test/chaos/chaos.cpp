// The chaos run: writers that do everything an append-only log has to survive, strangers with long transactions, and
// readers that follow the safe position meanwhile. In the end every reader must have seen exactly the committed log,
// in position order, and writers must find in it exactly what they were told. Each event says what its append relied
// on, so the log is judged by itself, too: see promises.h and accounts.h. A naive reader of the table runs along: it
// has to lose events, or the run was too tame to prove anything.
//
//   chaos [--readers CONNINFO] [--seconds N] [--seed N] CONNINFO
//
// CONNINFO leads to a primary with the extension, max_prepared_transactions of 50 and up to 40 free connections, as a
// superuser. --readers sends readers and the watcher elsewhere, to a standby of it. The defaults of the numbers are
// TIDEMARK_CHAOS_SECONDS, else 20, and TIDEMARK_CHAOS_SEED, else a new one each time.
// Prints a line PASS or FAIL for each claim and a summary; the exit status is 0 when every claim holds,
// 1 when one does not, 2 when the run could not take place. Less than 10 seconds are too few for some claims.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>

#include "composer.h"
#include "oracle.h"
#include "promises.h"
#include "report.h"
#include "resolver.h"
#include "surroundings.h"
#include "writer.h"

namespace chaos {

namespace {

struct Options {
    std::string primary, readers;
    int seconds = 20;
    unsigned seed = std::random_device{}() % 1'000'000;
};

Options parse(int count, char** words) {
    Options options;
    if (const char* seconds = std::getenv("TIDEMARK_CHAOS_SECONDS")) options.seconds = std::stoi(seconds);
    if (const char* seed = std::getenv("TIDEMARK_CHAOS_SEED")) options.seed = static_cast<unsigned>(std::stoul(seed));
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const bool valued = word == "--readers" || word == "--seconds" || word == "--seed";
        if ((valued && i + 1 == count) || (!valued && (word.starts_with("--") || !options.primary.empty())))
            throw std::invalid_argument("usage: chaos [--readers CONNINFO] [--seconds N] [--seed N] CONNINFO");
        if (word == "--readers")
            options.readers = words[++i];
        else if (word == "--seconds")
            options.seconds = std::stoi(words[++i]);
        else if (word == "--seed")
            options.seed = static_cast<unsigned>(std::stoul(words[++i]));
        else
            options.primary = word;
    }
    if (options.readers.empty()) options.readers = options.primary;
    return options;
}

std::vector<ReaderPlan> plan_readers(Connection& session) {
    std::vector<ReaderPlan> plans = {
        {.name = "of batch 1", .batch = 1},
        {.name = "of batch 7", .batch = 7},
        {.name = "of batch 1000"},
        {.name = std::string("of category ") + categories[0], .category = categories[0]},
        {.name = "in REPEATABLE READ", .isolation = "REPEATABLE READ"},
        {.name = "naive", .naive = true},
    };
    // A hot standby refuses SERIALIZABLE.
    if (!session.run("SELECT pg_is_in_recovery()").truth(0, 0))
        plans.push_back({.name = "in SERIALIZABLE", .isolation = "SERIALIZABLE"});
    return plans;
}

// A thread whose exception is a complaint instead of the end of the run.
template <typename Task>
std::jthread start(Journal& journal, Task task) {
    return std::jthread([&journal, task](std::stop_token stop) {
        try {
            task(stop);
        } catch (const std::exception& error) {
            journal.complain(no_error, error.what());
        }
    });
}

void stop(std::vector<std::jthread>& threads) {
    for (auto& thread : threads) thread.request_stop();
    for (auto& thread : threads) thread.join();
}

// Where the log ends once no transaction is left, and whether the safe position got there.
std::pair<std::int64_t, Check> wait_for_the_line(Connection& session) {
    const auto until = Clock::now() + std::chrono::seconds(20);
    for (;;) {
        const Rows row =
            session.run("SELECT es_safe_position(), es_head_position(), (SELECT count(*) FROM es_blockers())");
        Check check{"with every transaction ended, the safe position is the head and nobody blocks", ""};
        if (row.number(0, 0) == row.number(0, 1) && row.number(0, 2) == 0) return {row.number(0, 0), check};
        if (Clock::now() > until) {
            check.trouble =
                "safe position " + row.text(0, 0) + ", head " + row.text(0, 1) + ", blockers " + row.text(0, 2);
            return {row.number(0, 0), check};
        }
        rest(Millis(50));
    }
}

// Unless a run before has done it.
void open_accounts(Connection& session, unsigned seed, Journal& journal) {
    Dice dice(seed, 5, 0);
    const Call opening = Composer(session, dice, 0, journal).opening();
    try {
        send(session, dice, opening);
    } catch (const SqlError& error) {
        if (error.sqlstate != wrong_expected_version) throw;
    }
}

int run(const Options& options) {
    std::printf("chaos: seed %u, %d seconds\n", options.seed, options.seconds);
    Connection session(options.primary, "chaos");
    session.run("CREATE TABLE IF NOT EXISTS chaos_notes (noted_at timestamptz NOT NULL DEFAULT now())");
    Journal journal;
    open_accounts(session, options.seed, journal);
    const std::int64_t origin = session.run("SELECT es_head_position()").number(0, 0);
    Connection readers_session(options.readers, "chaos");
    while (!readers_session.run("SELECT to_regclass('chaos_notes') IS NOT NULL").truth(0, 0)) rest(Millis(20));

    Ledger ledger;
    Finish finish;
    Resolver resolver(options.primary, ledger, journal);
    Watcher watcher(options.readers, journal);
    std::deque<Writer> writers;
    std::deque<Reader> readers;
    std::deque<Pin> pins;
    for (unsigned i = 0; i < 10; ++i) writers.emplace_back(options.primary, options.seed, i, ledger, resolver, journal);
    for (const auto& plan : plan_readers(readers_session))
        readers.emplace_back(options.readers, plan, options.seed, readers.size(), finish, journal);
    for (const auto kind : {PinKind::write, PinKind::repeatable_read, PinKind::prepared, PinKind::other_database})
        pins.emplace_back(options.primary, options.readers, kind, options.seed, pins.size(), journal);

    std::vector<std::jthread> writing, reading, watching, surrounding, resolving;
    for (auto& reader : readers)
        reading.push_back(start(journal, [&reader](std::stop_token token) { reader.run(token); }));
    watching.push_back(start(journal, [&](std::stop_token token) { watcher.run(token); }));
    for (auto& pin : pins) surrounding.push_back(start(journal, [&pin](std::stop_token token) { pin.run(token); }));
    resolving.push_back(start(journal, [&](std::stop_token token) { resolver.run(token); }));
    for (auto& writer : writers)
        writing.push_back(start(journal, [&writer](std::stop_token token) { writer.run(token); }));
    surrounding.push_back(start(journal, [&](std::stop_token token) {
        terminate_backends(
            options.primary, options.seed, [&](int i) { return writers[static_cast<std::size_t>(i)].pid(); },
            static_cast<int>(writers.size()), journal, token);
    }));

    rest(std::chrono::seconds(options.seconds));
    finish.writers_done = true;
    stop(watching);
    stop(surrounding);
    stop(writing);
    stop(resolving);
    auto [line, line_check] = wait_for_the_line(session);
    finish.line = line;
    std::jthread patience = start(journal, [&](std::stop_token token) {
        rest_unless(token, std::chrono::seconds(60));
        for (auto& thread : reading) thread.request_stop();
    });
    for (auto& thread : reading) thread.join();
    patience.request_stop();

    const std::vector<Logged> log = read_log(session);
    std::vector<Check> checks = judge_log(log, ledger, origin);
    for (const Check& check : judge_promises(session, log, ledger, origin)) checks.push_back(check);
    for (const Reader& reader : readers)
        for (const Check& check : judge_reader(reader, log)) checks.push_back(check);
    checks.push_back(line_check);
    checks.push_back(judge_verify(session));
    for (const Check& check : judge_run(journal, ledger, watcher, pins, readers)) checks.push_back(check);
    print_summary(log, journal, ledger, watcher, readers);
    return print_checks(checks) ? 0 : 1;
}

}  // namespace

}  // namespace chaos

int main(int count, char** words) {
    try {
        return chaos::run(chaos::parse(count, words));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "chaos: %s\n", error.what());
        return 2;
    }
}
