// Connections shared by threads.
#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <set>

#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("Twenty threads share four connections, and never more") {
    Database database;
    Pool pool({.conninfo = database.conninfo()}, {.max_size = 4});
    std::mutex mutex;
    std::set<int> sessions;
    std::atomic<int> in_use = 0, too_many = 0;
    {
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 20; thread++) {
            threads.emplace_back([&, thread] {
                for (int round = 0; round < 10; round++) {
                    Pool::Lease connection = pool.acquire();
                    if (++in_use > 4 || pool.in_use() > 4) too_many++;
                    connection->append("a-" + std::to_string(thread), event("A"), round);
                    {
                        const std::lock_guard lock(mutex);
                        sessions.insert(connection->backend_pid());
                    }
                    in_use--;
                }
            });
        }
    }
    CHECK(too_many == 0);
    CHECK(sessions.size() <= 4);
    CHECK(pool.in_use() == 0);
    CHECK(pool.acquire()->head_position() == 200);
}

TEST_CASE("The connection that came back last is lent next") {
    Database database;
    Pool pool({.conninfo = database.conninfo()});
    int first, second;
    {
        Pool::Lease one = pool.acquire(), two = pool.acquire();
        one->safe_position();
        two->safe_position();
        first = one->backend_pid();
        second = two->backend_pid();
        CHECK(pool.in_use() == 2);
    }
    CHECK(pool.in_use() == 0);
    Pool::Lease again = pool.acquire();
    CHECK(again->backend_pid() == first);  // of the two the last to be destroyed
    Pool::Lease moved = std::move(again);
    CHECK(pool.in_use() == 1);
    CHECK(pool.acquire()->backend_pid() == second);
}

TEST_CASE("Connections whose sessions were ended while they were idle work when they are lent again") {
    for (const auto check_after : {0ms, 30'000ms}) {
        Database database;
        Connection direct = database.connect();
        Pool pool({.conninfo = database.conninfo()}, {.check_after = check_after});
        {
            std::vector<Pool::Lease> leases;
            for (int i = 0; i < 3; i++) leases.push_back(pool.acquire());
            for (auto& lease : leases) lease->safe_position();
        }
        direct.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'");
        std::vector<Pool::Lease> leases;
        for (int i = 0; i < 3; i++) leases.push_back(pool.acquire());
        for (auto& lease : leases) CHECK_NOTHROW(lease->append("a-1", event("A")));
        CHECK(direct.stream_version("a-1") == 3);
    }
}

TEST_CASE("Who waits for a connection too long, or is stopped, gets cancelled") {
    Pool pool({.conninfo = "host=/nonexistent"}, {.max_size = 1, .acquire_timeout = 50ms});
    const Pool::Lease lease = pool.acquire();
    const Seconds waited = time_of([&] { CHECK(state_of<cancelled>([&] { pool.acquire(); }) == "57014"); });
    CHECK(waited >= 50ms);
    CHECK(waited < 5s);

    Pool patient({.conninfo = "host=/nonexistent"}, {.max_size = 1, .acquire_timeout = 0ms});
    auto held = std::make_unique<Pool::Lease>(patient.acquire());
    std::stop_source stop;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(50ms);
        stop.request_stop();
    });
    CHECK(state_of<cancelled>([&] { patient.acquire(stop.get_token()); }) == "57014");
    CHECK(state_of<cancelled>([&] { patient.acquire(stop.get_token()); }) == "57014");
    CHECK(patient.in_use() == 1);

    // Who is not stopped gets what comes back.
    std::jthread returner([&] {
        std::this_thread::sleep_for(50ms);
        held.reset();
    });
    CHECK_NOTHROW(patient.acquire(std::stop_source().get_token()));
}

TEST_CASE("A lease goes back without what was set on it") {
    Database database;
    Pool pool({.conninfo = database.conninfo()}, {.max_size = 1});
    std::stop_source stop;
    {
        Pool::Lease lease = pool.acquire();
        lease->set_timeout(1ms);
        lease->set_stop_token(stop.get_token());
    }
    stop.request_stop();
    CHECK_NOTHROW(pool.acquire()->execute("SELECT pg_sleep(0.05)"));
}

TEST_CASE("A transaction that somebody leaks does not come back with its connection") {
    Database database;
    Pool pool({.conninfo = database.conninfo()}, {.max_size = 1});
    int pid;
    alignas(Transaction) static std::byte leaked[sizeof(Transaction)];  // which nobody ends
    {
        Pool::Lease lease = pool.acquire();
        auto& transaction = *new (leaked) Transaction(lease->begin());
        transaction.append("a-1", event("A"));
        pid = lease->backend_pid();
    }
    Pool::Lease lease = pool.acquire();
    CHECK(!lease->in_transaction());
    CHECK(lease->append("a-1", event("A"), ExpectedVersion::no_stream()).version == 1);
    CHECK(lease->backend_pid() != pid);
}

TEST_CASE("A connection that was moved out of its lease is replaced") {
    Database database;
    Pool pool({.conninfo = database.conninfo()}, {.max_size = 1});
    {
        Pool::Lease lease = pool.acquire();
        const Connection taken = std::move(*lease);
    }
    CHECK(pool.in_use() == 0);
    CHECK(pool.acquire()->safe_position() == 0);
}

TEST_CASE("with() lends a connection for a call, and takes it back whatever comes of it") {
    Database database;
    Pool pool({.conninfo = database.conninfo()}, {.max_size = 1});
    CHECK(pool.with([](Connection& connection) { return connection.append("a-1", event("A")); }).version == 1);
    CHECK(state_of<wrong_expected_version>(
              [&] { pool.with([](Connection& connection) { connection.append("a-1", event("A"), 7); }); }) == "TM001");
    CHECK_THROWS_AS(pool.with([](Connection&) { throw std::runtime_error("of one's own"); }), std::runtime_error);
    CHECK(pool.in_use() == 0);
    CHECK(pool.with([](Connection& connection) { return connection.stream_version("a-1"); }) == 1);
}

TEST_CASE("Stop tokens end the calls of many threads at once, and their connections work on") {
    Database database;
    Pool pool({.conninfo = database.conninfo()}, {.max_size = 8});
    Connection blocker = database.connect();
    Transaction transaction = blocker.begin();
    transaction.lock_stream("a-1");
    std::stop_source stop;
    std::atomic<int> were_cancelled = 0, worked_on = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 8; i++) {
            threads.emplace_back([&] {
                Pool::Lease lease = pool.acquire(stop.get_token());
                lease->set_stop_token(stop.get_token());
                try {
                    lease->append("a-1", event("A"));
                } catch (const cancelled&) {
                    were_cancelled++;
                }
                lease->set_stop_token({});
                worked_on += lease->append("b-1", event("B")).version > 0;
            });
        }
        Connection direct = database.connect();
        CHECK(eventually([&] {
            return direct
                       .execute(
                           "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                           "AND datname = current_database()")
                       .get<int>(0, 0) == 8;
        }));
        stop.request_stop();
    }
    CHECK(were_cancelled == 8);
    CHECK(worked_on == 8);
    transaction.commit();
    CHECK(blocker.stream_version("a-1") == 0);
    CHECK(blocker.stream_version("b-1") == 8);
}

TEST_CASE("A pool without room is refused") {
    CHECK(state_of<usage_error>([] { Pool pool({}, {.max_size = 0}); }) == "TM000");
}
