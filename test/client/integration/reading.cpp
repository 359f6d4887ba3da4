// Reading: in pages, by filters, and beside writers, without anything skipped.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <ranges>

#include "../support/database.hpp"
#include "../support/expect.hpp"

using namespace std::chrono_literals;
using namespace tidemark;
using namespace tidemark::test;

namespace {

std::vector<std::int64_t> count_from(std::int64_t first, std::int64_t last) {
    std::vector<std::int64_t> numbers;
    for (auto n = first; first <= last ? n <= last : n >= last; n += first <= last ? 1 : -1) numbers.push_back(n);
    return numbers;
}

void append_numbered(Connection& connection, const std::string& stream, int count) {
    std::vector<NewEvent> events;
    for (int i = 1; i <= count; i++) events.push_back(event("Numbered", {{"number", i}}));
    connection.append(stream, events);
}

}  // namespace

static_assert(std::ranges::input_range<Events>);
static_assert(std::movable<Events>);

TEST_CASE("A stream is read forward and backward, from either end or from a version, in pages of any size") {
    Database database;
    for (const int page_size : {1, 3, 5, 10, 11}) {
        Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = page_size});
        if (page_size == 1) append_numbered(connection, "a-1", 10);
        const auto forward = [&](std::int64_t from) {
            return versions_of(connection.read_stream("a-1", from).to_vector());
        };
        const auto backward = [&](std::optional<std::int64_t> from) {
            return versions_of(connection.read_stream_backward("a-1", from).to_vector());
        };
        CHECK(versions_of(connection.read_stream("a-1").to_vector()) == count_from(1, 10));
        CHECK(forward(4) == count_from(4, 10));
        CHECK(forward(10) == count_from(10, 10));
        CHECK(forward(11).empty());
        CHECK(backward({}) == count_from(10, 1));
        CHECK(backward(7) == count_from(7, 1));
        CHECK(backward(1) == count_from(1, 1));
        CHECK(backward(99) == count_from(10, 1));
        CHECK(connection.read_stream("b-1").to_vector().empty());
        CHECK(connection.read_stream_backward("b-1").to_vector().empty());
        for (const Event& each : connection.read_stream("b-1")) FAIL("an event of no stream: " << each.position);
        CHECK(connection.read_after().to_vector().size() == 10);
    }
}

TEST_CASE("An event is read with all that it has") {
    Database database;
    Connection connection = database.connect();
    const NewEvent written = {
        .type = "Placed", .data = {{"total", 30}}, .metadata = {{"user", "ann"}}, .schema_version = 3};
    const auto before = std::chrono::system_clock::now();
    const AppendResult result = connection.append("order-1", written, 0, "orders");
    CHECK(result == AppendResult{"order-1", 1, 1, 1, 1, false});
    const Event event = *connection.read_stream("order-1").begin();
    CHECK(event.position == 1);
    CHECK(event.version == 1);
    CHECK(event.id == written.id);
    CHECK(event.schema_version == 3);
    CHECK(event.stream == "order-1");
    CHECK(event.category == "orders");
    CHECK(event.type == "Placed");
    CHECK(event.data() == written.data);
    CHECK(event.metadata() == written.metadata);
    CHECK(event.recorded_at > before - 1min);
    CHECK(event.recorded_at < before + 1min);
    const auto seconds = std::chrono::duration<double>(event.recorded_at.time_since_epoch()).count();
    CHECK(connection.execute("SELECT extract(epoch FROM recorded_at)::float8 FROM es_events").get<double>(0, 0) ==
          Approx(seconds).epsilon(1e-15));
}

TEST_CASE("Pages are fetched when they are reached, so events that come meanwhile are read, too") {
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 3});
    Connection other = database.connect();
    Events nothing = connection.read_stream("a-1");
    append_numbered(other, "a-1", 3);
    CHECK(nothing.to_vector().size() == 3);
    Events events = connection.read_stream("a-1");
    auto next = events.begin();
    append_numbered(other, "a-1", 4);
    std::vector<std::int64_t> versions;
    for (; next != events.end(); ++next) versions.push_back(next->version);
    CHECK(versions == count_from(1, 7));
    // Between two pages the connection is free.
    for (const Event& each : connection.read_stream("a-1"))
        connection.append("b-1", event("Seen", {{"version", each.version}}));
    CHECK(connection.stream_version("b-1") == 7);
}

TEST_CASE(
    "Events can be gone through once: what is left after a stop goes on there, and after the end nothing is left") {
    Database database;
    for (const int page_size : {2, 3, 4, 100}) {
        Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = page_size});
        if (page_size == 2) append_numbered(connection, "a-1", 6);
        for (auto read : {+[](Connection& from) { return from.read_stream("a-1"); },
                          +[](Connection& from) { return from.read_after(); }}) {
            Events events = read(connection);
            auto next = events.begin();
            ++next;
            ++next;
            CHECK(events.begin()->version == 3);
            CHECK(versions_of(events.to_vector()) == count_from(3, 6));
            CHECK(events.to_vector().empty());
            CHECK((events.begin() == events.end()));
        }
    }
}

TEST_CASE("A page that could not be fetched is fetched by going on") {
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 2});
    append_numbered(connection, "a-1", 5);
    std::stop_source stop;
    connection.set_stop_token(stop.get_token());
    Events events = connection.read_stream("a-1");
    std::vector<std::int64_t> versions;
    const auto read = [&] {
        for (const Event& each : events) {
            versions.push_back(each.version);
            if (each.version == 2) stop.request_stop();
        }
    };
    CHECK(state_of<cancelled>(read) == "57014");
    CHECK(versions == count_from(1, 2));
    connection.set_stop_token({});
    read();
    CHECK(versions == count_from(1, 5));
}

TEST_CASE("Events go through algorithms and views as any input range does") {
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 3});
    append_numbered(connection, "a-1", 10);
    Events events = connection.read_stream("a-1");
    std::vector<std::int64_t> even;
    for (const auto version : events | std::views::filter([](const Event& each) { return each.version % 2 == 0; }) |
                                  std::views::transform(&Event::version) | std::views::take(3))
        even.push_back(version);
    CHECK(even == std::vector<std::int64_t>{2, 4, 6});
    Events all = connection.read_after();
    CHECK(std::ranges::count_if(all, [](const Event& each) { return each.type == "Numbered"; }) == 10);
    Events some = connection.read_stream("a-1");
    CHECK(std::ranges::find(some, 4, &Event::version)->data()["number"] == 4);
}

TEST_CASE("Five thousand events are read in order, either way and from the log") {
    Database database;
    Connection connection = database.connect();
    append_numbered(connection, "a-1", 5'000);
    CHECK(versions_of(connection.read_stream("a-1").to_vector()) == count_from(1, 5'000));
    CHECK(versions_of(connection.read_stream_backward("a-1").to_vector()) == count_from(5'000, 1));
    CHECK(versions_of(connection.read_after().to_vector()) == count_from(1, 5'000));
    std::int64_t sum = 0;
    for (const Event& each : connection.read_stream("a-1", 4'001)) sum += each.data()["number"].get<int>();
    CHECK(sum == 4'500'500);
}

TEST_CASE("Each filter lets pass what it says, alone and with the others") {
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 2});
    for (const char* stream : {"order-1", "order-2", "stock-1", "order_1", "order%1"})
        for (const char* type : {"Placed", "Paid", "Sent"}) connection.append(stream, event(type));
    const auto read = [&](const EventFilter& filter) {
        std::vector<std::int64_t> positions;
        for (const Event& each : connection.read_after(0, filter)) positions.push_back(each.position);
        return positions;
    };
    using Positions = std::vector<std::int64_t>;
    CHECK(read({}) == count_from(1, 15));
    CHECK(read({.category = "order"}) == count_from(1, 6));
    CHECK(read({.category = "nosuch"}).empty());
    CHECK(read({.types = {{"Paid"}}}) == Positions{2, 5, 8, 11, 14});
    CHECK(read({.types = {{"Paid", "Sent", "it's, \"quoted\" \\"}}}).size() == 10);
    CHECK(read({.types = std::vector<std::string>()}).empty());
    CHECK(read({.stream_prefix = "order-"}) == count_from(1, 6));
    CHECK(read({.stream_prefix = "order_"}) == count_from(10, 12));  // taken literally
    CHECK(read({.stream_prefix = "order%"}) == count_from(13, 15));
    CHECK(read({.stream_prefix = ""}) == count_from(1, 15));
    CHECK(read({.category = "order", .types = {{"Sent"}}, .stream_prefix = "order-2"}) == Positions{6});
    CHECK(connection.read_page(13, 100, {.types = {{"Sent"}}}).size() == 1);
    CHECK(connection.read_page(0, 4).back().position == 4);
    CHECK(connection.read_page(15, 4).empty());
    CHECK(connection.read_after(12).begin()->position == 13);
}

TEST_CASE("Several streams are read of one moment, each with its slice") {
    Database database;
    Connection connection = database.connect(), writer = database.connect();
    CHECK(connection.read_streams({}).empty());
    std::atomic<bool> done = false;
    std::jthread writing([&] {
        for (int i = 0; i < 200; i++) {
            const std::vector<StreamWrite> writes = {{.stream = "a-1", .events = {event("A"), event("A")}},
                                                     {.stream = "b-1", .events = {event("B")}}};
            writer.append_streams(writes);
        }
        done = true;
    });
    const std::vector<std::string> ids = {"b-1", "a-1", "c-1", "a-1"};
    int wrong = 0;
    for (bool is_last = false; !is_last;) {
        is_last = done;
        const auto slices = connection.read_streams(ids);
        const StreamSlice &a = slices.at("a-1"), &b = slices.at("b-1"), &c = slices.at("c-1");
        wrong += slices.size() != 3 || a.version != 2 * b.version || c.version != 0 || !c.events.empty() ||
                 (a.version > 0 && versions_of(a.events) != count_from(1, a.version));
    }
    CHECK(wrong == 0);
    CHECK(connection.read_streams(ids).at("b-1").events.size() == 200);
}

TEST_CASE("A reader that goes on from where it is misses nothing and gets nothing twice, while many write") {
    constexpr int WRITERS = 6, ROUNDS = 60;
    Database database;
    Connection connection(ConnectionOptions{.conninfo = database.conninfo(), .page_size = 7});
    std::atomic<int> writing = WRITERS, failures = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < WRITERS; i++) {
        threads.emplace_back([&, i] {
            try {
                Connection mine = database.connect();
                for (int round = 0; round < ROUNDS; round++) {
                    Transaction transaction = mine.begin();
                    transaction.append("w-" + std::to_string(i), {event("W"), event("W")});
                    transaction.append("v-" + std::to_string(i), event("V"));
                    if (round % 5 == 0) continue;  // rolled back
                    transaction.commit();
                }
            } catch (const error&) {
                failures++;
            }
            writing--;
        });
    }
    std::int64_t position = 0;
    int out_of_order = 0;
    std::map<std::string, std::int64_t> versions;
    for (bool is_last = false; !is_last;) {
        is_last = writing == 0;
        for (const Event& each : connection.read_after(position)) {
            out_of_order += each.position <= position || each.version != ++versions[each.stream];
            position = each.position;
        }
    }
    CHECK(failures == 0);
    CHECK(out_of_order == 0);
    for (int i = 0; i < WRITERS; i++) {
        CHECK(versions["w-" + std::to_string(i)] == 2 * ROUNDS * 4 / 5);
        CHECK(versions["v-" + std::to_string(i)] == ROUNDS * 4 / 5);
    }
    CHECK(connection.safe_position() == connection.head_position());
}
