// What subscriptions cost and how quick they are, by bare libpq.
//
//   subscriptions_bench CONNINFO latency CONSUMERS each|one|group
//       median microseconds from the writer's having the answer to its commit to a consumer's having the event, over
//       all that get it: each of the consumers; one, beside others that wait for other categories; or one of a group
//       that shares the partitions of one subscription
//   subscriptions_bench CONNINFO appends CONSUMERS category|type
//       appends a second of two writers while so many consumers wait for other categories, or other types
//   subscriptions_bench CONNINFO fetch|select COUNT FILTER
//       microseconds for each of COUNT events from the log's beginning, by es_fetch and es_ack or by a plain SELECT, in
//       batches of 1,000; FILTER is a category, or empty for all
//   subscriptions_bench CONNINFO sparse FILTER
//       milliseconds to read the whole log for events of the type FILTER, by es_fetch and es_ack
#include <libpq-fe.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "result.h"

namespace {

using Clock = std::chrono::steady_clock;

class Session {
  public:
    explicit Session(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str()), PQfinish) {}

    Result run(const std::string& sql, const std::vector<std::string>& values = {}) {
        std::string& name = prepared_[sql];
        if (name.empty()) {
            name = "statement" + std::to_string(prepared_.size());
            check(PQprepare(connection_.get(), name.c_str(), sql.c_str(), 0, nullptr));
        }
        std::vector<const char*> texts;
        for (const std::string& value : values) texts.push_back(value.c_str());
        return check(PQexecPrepared(connection_.get(), name.c_str(), static_cast<int>(texts.size()), texts.data(),
                                    nullptr, nullptr, 0));
    }

  private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
    std::map<std::string, std::string> prepared_;  // names, by SQL
};

#define EVENT_COLUMNS \
    "position, version, recorded_at, event_id, schema_version, stream_id, category, event_type, data, metadata"

const char* const DATA =
    R"({"order": 42, "customer": "c-123456", "currency": "EUR", "total": 129.90,
        "lines": [{"sku": "SKU-0001", "qty": 2, "price": 39.95}, {"sku": "SKU-0002", "qty": 1, "price": 50.00}],
        "ship_to": {"name": "A. Customer", "street": "Main Street 1", "zip": "12345", "city": "Springfield"}})";

long append(Session& writer, const std::string& stream) {
    const Result row = writer.run("SELECT last_position FROM es_append($1, 'OrderPlaced', $2::jsonb)", {stream, DATA});
    return std::atol(PQgetvalue(row.get(), 0, 0));
}

// A consumer that fetches and acknowledges until it is stopped, and remembers when it had each event.
class Consumer {
  public:
    // The filter is a category or an event type, as `what` says.
    Consumer(const std::string& conninfo, const std::string& name, const std::string& what, const std::string& filter)
        : session_(conninfo), name_(name), consumer_("bench") {
        session_.run(what == "type" ? "SELECT es_create_subscription($1, event_types => ARRAY[$2], start => 'end')"
                                    : "SELECT es_create_subscription($1, category => $2, start => 'end')",
                     {name, filter});
        fetch();  // takes the lease
        thread_ = std::thread([this] { consume(); });
    }
    // One of a group, of a subscription that is there already.
    Consumer(const std::string& conninfo, const std::string& name, const std::string& consumer)
        : session_(conninfo), name_(name), consumer_(consumer), thread_([this] { consume(); }) {}

    void stop() {
        stopping_ = true;
        thread_.join();
        if (consumer_ == "bench") session_.run("SELECT es_drop_subscription($1)", {name_});
    }

    std::map<long, Clock::time_point> received;  // by position; to be read when stopped

  private:
    Result fetch() {
        return session_.run("SELECT " EVENT_COLUMNS ", fence FROM es_fetch($1, $2, 100, '500 ms')", {name_, consumer_});
    }
    void consume() {
        while (!stopping_) {
            const Result batch = fetch();
            const auto now = Clock::now();
            const int rows = PQntuples(batch.get());
            for (int i = 0; i < rows; i++) received[std::atol(PQgetvalue(batch.get(), i, 0))] = now;
            if (rows > 0)
                session_.run("SELECT es_ack($1, $2::bigint, $3::bigint)",
                             {name_, PQgetvalue(batch.get(), rows - 1, 0), PQgetvalue(batch.get(), rows - 1, 10)});
        }
    }

    Session session_;
    const std::string name_, consumer_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

using Consumers = std::vector<std::unique_ptr<Consumer>>;

void wait_until_all_wait() { std::this_thread::sleep_for(std::chrono::milliseconds(300)); }

// Waiting for what does not come.
Consumers start_idle(const std::string& conninfo, int count, const std::string& what) {
    Consumers consumers;
    for (int i = 0; i < count; i++) {
        const std::string number = std::to_string(i);
        consumers.push_back(std::make_unique<Consumer>(conninfo, "bench-idle-" + number, what, "other" + number));
    }
    return consumers;
}

Consumers start_interested(const std::string& conninfo, int count) {
    Consumers consumers;
    for (int i = 0; i < count; i++)
        consumers.push_back(std::make_unique<Consumer>(conninfo, "bench-" + std::to_string(i), "category", "bench"));
    return consumers;
}

// They share the partitions out evenly before this returns.
Consumers start_group(const std::string& conninfo, int count) {
    const std::string number = std::to_string(count);
    Session session(conninfo);
    session.run("SELECT es_create_subscription('bench-group', start => 'end', partitions => $1::integer)", {number});
    Consumers consumers;
    for (int i = 0; i < count; i++)
        consumers.push_back(std::make_unique<Consumer>(conninfo, "bench-group", "consumer-" + std::to_string(i)));
    const char* const READY =
        "SELECT count(DISTINCT consumer) = $1::integer AND bool_and(is_leased) FROM es_subscription_status"
        " WHERE subscription = 'bench-group'";
    while (*PQgetvalue(session.run(READY, {number}).get(), 0, 0) != 't')
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return consumers;
}

double latency(const std::string& conninfo, int count, const std::string& kind) {
    const Consumers consumers =
        kind == "group" ? start_group(conninfo, count) : start_interested(conninfo, kind == "one" ? 1 : count);
    const Consumers idle = start_idle(conninfo, kind == "one" ? count - 1 : 0, "category");
    wait_until_all_wait();
    Session writer(conninfo);
    std::map<long, Clock::time_point> committed;
    for (int i = 0; i < 200; i++) {
        const long position = append(writer, "bench-" + std::to_string(i));
        committed[position] = Clock::now();
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::vector<double> latencies;
    for (auto& consumer : consumers) {
        consumer->stop();
        for (const auto& [position, time] : consumer->received)
            if (committed.contains(position))
                latencies.push_back(std::chrono::duration<double, std::micro>(time - committed[position]).count());
    }
    for (auto& consumer : idle) consumer->stop();
    if (kind == "group") writer.run("SELECT es_drop_subscription('bench-group')");
    std::sort(latencies.begin(), latencies.end());
    if (latencies.empty()) throw std::runtime_error("nothing came");
    return latencies[latencies.size() / 2];
}

double appends(const std::string& conninfo, int count, const std::string& what) {
    const Consumers consumers = start_idle(conninfo, count, what);
    wait_until_all_wait();
    std::atomic<long> done = 0;
    std::atomic<bool> stopping = false;
    std::vector<std::thread> writers;
    const auto start = Clock::now();
    for (int i = 0; i < 2; i++)
        writers.emplace_back([&, i] {
            Session writer(conninfo);
            for (long n = 0; !stopping; n++, done++)
                append(writer, "bench-" + std::to_string(i) + "-" + std::to_string(n % 1000));
        });
    std::this_thread::sleep_for(std::chrono::seconds(3));
    stopping = true;
    for (std::thread& writer : writers) writer.join();
    const std::chrono::duration<double> taken = Clock::now() - start;
    for (auto& consumer : consumers) consumer->stop();
    return static_cast<double>(done) / taken.count();
}

// Fetches and acknowledges a batch. Returns how many events it had.
long fetch_batch(Session& session, const std::string& name) {
    const Result batch = session.run("SELECT " EVENT_COLUMNS ", fence FROM es_fetch($1, 'bench', 1000)", {name});
    const int rows = PQntuples(batch.get());
    if (rows > 0)
        session.run("SELECT es_ack($1, $2::bigint, $3::bigint)",
                    {name, PQgetvalue(batch.get(), rows - 1, 0), PQgetvalue(batch.get(), rows - 1, 10)});
    return rows;
}

template <typename Body>
double milliseconds(Body body) {
    const auto start = Clock::now();
    body();
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double catch_up(const std::string& conninfo, const std::string& way, long count, const std::string& category) {
    Session session(conninfo);
    if (way == "fetch")
        session.run("SELECT es_create_subscription('bench-catch-up', category => nullif($1, ''))", {category});
    const double taken = milliseconds([&] {
        for (long seen = 0, idle = 0; way == "fetch" && seen < count;) {
            const long fetched = fetch_batch(session, "bench-catch-up");
            seen += fetched;
            idle = fetched == 0 ? idle + 1 : 0;
            if (idle == 100) throw std::runtime_error("too few events");
        }
        if (way == "fetch") return;
        std::string after = "0";
        for (long seen = 0; seen < count;) {
            const Result page =
                category.empty()
                    ? session.run("SELECT " EVENT_COLUMNS
                                  " FROM es_events WHERE position > $1 ORDER BY position LIMIT 1000",
                                  {after})
                    // Put so that the planner takes the index on both.
                    : session.run("SELECT " EVENT_COLUMNS
                                  " FROM es_events WHERE (category, position) > ($2, $1::bigint) AND category <= $2"
                                  " ORDER BY category, position LIMIT 1000",
                                  {after, category});
            const int rows = PQntuples(page.get());
            if (rows == 0) throw std::runtime_error("too few events");
            after = PQgetvalue(page.get(), rows - 1, 0);
            seen += rows;
        }
    });
    if (way == "fetch") session.run("SELECT es_drop_subscription('bench-catch-up')");
    return taken * 1000 / static_cast<double>(count);
}

double sparse(const std::string& conninfo, const std::string& type) {
    Session session(conninfo);
    session.run("SELECT es_create_subscription('bench-sparse', event_types => ARRAY[$1])", {type});
    const double taken = milliseconds([&] {
        // Until a call brings neither events nor a checkpoint further on.
        for (std::string before = "-1", checkpoint;; before = checkpoint) {
            while (fetch_batch(session, "bench-sparse") > 0) continue;
            checkpoint = PQgetvalue(session
                                        .run("SELECT checkpoint FROM es_subscription_partitions "
                                             "WHERE subscription = 'bench-sparse'")
                                        .get(),
                                    0, 0);
            if (checkpoint == before) return;
        }
    });
    session.run("SELECT es_drop_subscription('bench-sparse')");
    return taken;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    try {
        double result = 0;
        if (words.size() == 4 && words[1] == "latency")
            result = latency(words[0], std::stoi(words[2]), words[3]);
        else if (words.size() == 4 && words[1] == "appends")
            result = appends(words[0], std::stoi(words[2]), words[3]);
        else if (words.size() == 4)
            result = catch_up(words[0], words[1], std::stol(words[2]), words[3]);
        else if (words.size() == 3 && words[1] == "sparse")
            result = sparse(words[0], words[2]);
        else
            return 2;
        std::printf("%.3f\n", result);
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "%s\n", problem.what());
        return 1;
    }
}
