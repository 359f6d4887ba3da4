// How the readers of a log fare beside writers, by bare libpq and the statements of a system.
//
//   following CONNINFO APPEND READ POSITION TRANSACTION stall
//       whether a reader gets on while a transaction that has appended nothing, but written elsewhere, stays open:
//       milliseconds until it has an event that another session has committed; "stalls" if it has not after two seconds
//   following … late position|transaction
//       whether a reader that reads on whenever it can gets every event once, where of two appenders the one that was
//       first to have its position, or its transaction, is the last to commit
//   following … latency PAUSE COUNT
//       median microseconds from the writer's having the answer to its commit to the reader's having the event; the
//       reader makes a pause of so many milliseconds where there is nothing
//
// APPEND and READ are files with a statement each. An append has the parameters stream, id, data and metadata; a read
// how many, the position and the transaction after which, and the number of the category. What is read has stream_id or
// stream_name, global_position or position, and perhaps transaction_id. Readers begin behind POSITION and TRANSACTION.
#include <libpq-fe.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "result.h"

namespace {

using Clock = std::chrono::steady_clock;

const std::string DATA = R"({"order": 42})", METADATA = "{}";

double milliseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

class Session {
  public:
    explicit Session(const std::string& conninfo, const std::string& sql = "")
        : connection_(PQconnectdb(conninfo.c_str()), PQfinish) {
        if (sql.empty()) return;
        const std::vector<Oid> text(4, 25);
        check(PQprepare(connection_.get(), "it", sql.c_str(), 4, text.data()));
    }
    Result run(const std::vector<std::string>& values) {
        send(values);
        return answer();
    }
    void send(const std::vector<std::string>& values) {
        std::vector<const char*> texts;
        for (const std::string& value : values) texts.push_back(value.c_str());
        PQsendQueryPrepared(connection_.get(), "it", 4, texts.data(), nullptr, nullptr, 0);
    }
    Result answer() {
        Result result = check(PQgetResult(connection_.get()));
        while (PGresult* rest = PQgetResult(connection_.get())) check(rest);
        return result;
    }
    // Whether the answer is there within so many milliseconds.
    bool answers_within(double milliseconds) {
        for (const auto start = Clock::now(); milliseconds_since(start) < milliseconds;) {
            PQconsumeInput(connection_.get());
            if (PQisBusy(connection_.get()) == 0) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return false;
    }
    void simply(const std::string& sql) { check(PQexec(connection_.get(), sql.c_str())); }

  private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// Ids in order, as the other events have them: digits, and the number of the event at the end.
std::string event_id(long number) {
    using std::chrono::microseconds;
    static const auto start = std::chrono::system_clock::now().time_since_epoch();
    static const std::string base = std::to_string(std::chrono::duration_cast<microseconds>(start).count());
    const std::string digits = std::to_string(number);
    return base + std::string(16 - digits.size(), '0') + digits;
}
// Each event has a stream of its own, by which it is known again.
std::string stream(long number) { return "category7-" + event_id(number); }
std::vector<std::string> event(long number) { return {stream(number), event_id(number), DATA, METADATA}; }

struct System {
    std::string conninfo, append, read, position, transaction;
};

class Reader {
  public:
    explicit Reader(const System& system)
        : session_(system.conninfo, system.read), after_(system.position), after_transaction_(system.transaction) {}

    // The streams of the events after those that were read before, up to a page.
    std::vector<std::string> read() {
        const Result rows = session_.run({page_, after_, after_transaction_, "7"});
        const auto column = [&](const char* name, const char* otherwise) {
            const int number = PQfnumber(rows.get(), name);
            return number >= 0 ? number : PQfnumber(rows.get(), otherwise);
        };
        const int stream = column("stream_id", "stream_name"), position = column("global_position", "position");
        const int transaction = PQfnumber(rows.get(), "transaction_id");
        std::vector<std::string> streams;
        for (int row = 0; row < PQntuples(rows.get()); row++) {
            after_ = PQgetvalue(rows.get(), row, position);
            if (transaction >= 0) after_transaction_ = PQgetvalue(rows.get(), row, transaction);
            streams.emplace_back(PQgetvalue(rows.get(), row, stream));
        }
        return streams;
    }
    std::vector<std::string> read_to_the_end() {
        std::vector<std::string> all;
        for (std::vector<std::string> page = read(); !page.empty(); page = read())
            all.insert(all.end(), page.begin(), page.end());
        return all;
    }
    void set_page(const std::string& page) { page_ = page; }

  private:
    Session session_;
    std::string page_ = "10000", after_, after_transaction_;
};

std::string stall(const System& system) {
    Reader reader(system);
    reader.read_to_the_end();
    Session idler(system.conninfo), writer(system.conninfo, system.append);
    idler.simply("BEGIN; CREATE TEMPORARY TABLE elsewhere AS SELECT 1");
    writer.run(event(1));
    for (const auto start = Clock::now(); milliseconds_since(start) < 2000;)
        if (!reader.read().empty())
            return "reads on, " + std::to_string(milliseconds_since(start)).substr(0, 4) + " ms";
    return "stalls";
}

std::string late(const System& system, bool by_position) {
    Reader reader(system);
    reader.read_to_the_end();
    reader.set_page("1");
    Session first(system.conninfo, system.append), second(system.conninfo, system.append);
    std::vector<std::string> got;
    const auto read_on = [&] {
        const std::vector<std::string> streams = reader.read_to_the_end();
        got.insert(got.end(), streams.begin(), streams.end());
    };
    first.simply("BEGIN; SELECT pg_current_xact_id()");
    if (by_position) first.run(event(1));
    second.send(event(2));
    const bool waits = !second.answers_within(500);
    if (!waits) second.answer();
    read_on();
    if (!by_position) first.run(event(1));
    first.simply("COMMIT");
    if (waits) second.answer();
    read_on();
    const auto times = [&](long number) { return std::count(got.begin(), got.end(), stream(number)); };
    const std::string writers = waits ? "; the second writer waited for the first" : "";
    if (times(1) == 0 || times(2) == 0) return "loses an event" + writers;
    return (times(1) > 1 || times(2) > 1 ? "delivers one twice" : "each once") + writers;
}

std::string latency(const System& system, int pause, long count) {
    Reader reader(system);
    reader.read_to_the_end();
    std::mutex mutex;
    std::unordered_map<std::string, Clock::time_point> received;
    std::atomic<bool> stopping = false;
    std::atomic<long> seen = 0;
    std::thread following([&] {
        while (!stopping) {
            const std::vector<std::string> streams = reader.read();
            const auto now = Clock::now();
            {
                const std::lock_guard lock(mutex);
                for (const std::string& one : streams) received.emplace(one, now);
            }
            seen += static_cast<long>(streams.size());
            if (streams.empty() && pause > 0) std::this_thread::sleep_for(std::chrono::milliseconds(pause));
        }
    });
    Session writer(system.conninfo, system.append);
    std::vector<double> delays;
    std::vector<Clock::time_point> committed;
    for (long number = 0; number < count; number++) {
        writer.run(event(number));
        committed.push_back(Clock::now());
        while (seen <= number) std::this_thread::sleep_for(std::chrono::microseconds(200));
        // So that the next commit comes at any time of the reader's pause.
        std::this_thread::sleep_for(std::chrono::microseconds(5000 + number * 7919 % (1 + pause * 1000)));
    }
    stopping = true;
    following.join();
    for (long number = 0; number < count; number++) {
        const auto delay = received.at(stream(number)) - committed[static_cast<std::size_t>(number)];
        delays.push_back(std::max(0.0, std::chrono::duration<double, std::micro>(delay).count()));
    }
    std::nth_element(delays.begin(), delays.begin() + count / 2, delays.end());
    return std::to_string(delays[static_cast<std::size_t>(count / 2)]);
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 6) return 2;
    try {
        const System system = {words[0], contents(words[1]), contents(words[2]), words[3], words[4]};
        std::string result;
        if (words[5] == "stall")
            result = stall(system);
        else if (words[5] == "late" && words.size() == 7)
            result = late(system, words[6] == "position");
        else if (words[5] == "latency" && words.size() == 8)
            result = latency(system, std::stoi(words[6]), std::stol(words[7]));
        else
            return 2;
        std::printf("%s\n", result.c_str());
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "%s\n", problem.what());
        return 1;
    }
}
