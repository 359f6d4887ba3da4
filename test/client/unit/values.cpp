// What needs no server: expectations, events gone through page by page, parameters, errors.
#include <catch2/catch.hpp>

#include <ranges>

#include "../support/expect.hpp"

using namespace tidemark;
using namespace tidemark::test;

TEST_CASE("An expected version is a number as the server takes it, and 0 stands for no stream") {
    CHECK(ExpectedVersion(7).number() == 7);
    CHECK(ExpectedVersion(0) == ExpectedVersion::no_stream());
    CHECK(ExpectedVersion::no_stream().number() == -1);
    CHECK(ExpectedVersion::any().number() == -2);
    CHECK(ExpectedVersion::stream_exists().number() == -4);
}

TEST_CASE("Each event gets an id of its own, which its copies share") {
    const NewEvent one{.type = "A"}, other{.type = "A"}, copy = one;
    CHECK(one.id != other.id);
    CHECK(copy.id == one.id);
}

TEST_CASE("Events are fetched page by page as they are gone through, until a page is empty") {
    int fetched = 0;
    Events events([&](const Event* last) {
        fetched++;
        const std::int64_t position = last ? last->position : 0;
        std::vector<Event> page(position < 6 ? 3 : 0);
        for (std::size_t i = 0; i < page.size(); i++) page[i].position = position + static_cast<std::int64_t>(i) + 1;
        return page;
    });
    CHECK(fetched == 0);
    auto next = events.begin();
    CHECK(fetched == 1);
    for (std::int64_t position = 1; position <= 6; position++, ++next) {
        REQUIRE(next != events.end());
        CHECK(next->position == position);
        CHECK(fetched == (position + 2) / 3);
    }
    CHECK((next == events.end()));
    CHECK(fetched == 3);
}

TEST_CASE("A fetch that fails is made again from the same place, and at the end none is made any more") {
    int fetched = 0;
    bool fails = false;
    Events events([&](const Event* last) {
        if (std::exchange(fails, false)) throw usage_error("for once");
        fetched++;
        const std::int64_t position = last ? last->position : 0;
        std::vector<Event> page(position < 2 ? 1 : 0);
        for (Event& event : page) event.position = position + 1;
        return page;
    });
    fails = true;
    CHECK_THROWS_AS(events.begin(), usage_error);
    CHECK(events.begin()->position == 1);
    fails = true;
    CHECK_THROWS_AS(++events.begin(), usage_error);
    CHECK(events.begin()->position == 2);
    ++events.begin();
    CHECK(fetched == 3);
    CHECK((events.begin() == events.end()));
    CHECK(events.to_vector().empty());
    CHECK(fetched == 3);
}

TEST_CASE("A parameter is text, or NULL") {
    CHECK(Parameter("x").text() == "x");
    CHECK(Parameter(std::string("x")).text() == "x");
    CHECK(Parameter(true).text() == "true");
    CHECK(Parameter(-7).text() == "-7");
    CHECK(Parameter(0.1).text() == "0.1");
    CHECK(Parameter(1e300).text() == "1e+300");
    CHECK(Parameter(json({1, "a"})).text() == "[1,\"a\"]");
    CHECK(Parameter(std::vector<std::string>{"a", "", "b\"\\"}).text() == R"({"a","","b\"\\"})");
    CHECK(Parameter(std::vector<std::string>()).text() == "{}");
    CHECK(!Parameter(std::nullopt).text());
    CHECK(!Parameter(std::optional<int>()).text());
    CHECK(Parameter(std::optional<int>(3)).text() == "3");
    CHECK_THROWS_AS(Parameter(json("\xff")), usage_error);
}

TEST_CASE("An error tells what it is whatever it is caught as") {
    try {
        throw wrong_expected_version("what", "detail", "hint", {{"a-1", 1, 2}});
    } catch (const server_error& problem) {
        CHECK(problem.what() == std::string("what"));
        CHECK(problem.sqlstate() == "TM001");
        CHECK(problem.detail() == "detail");
        CHECK(problem.hint() == "hint");
        CHECK(problem.constraint().empty());
    }
    CHECK(connection_lost("x").sqlstate() == "08006");
    CHECK(commit_in_doubt("x").sqlstate() == "08007");
    CHECK(usage_error("x").sqlstate() == "TM000");
    CHECK_THROWS_AS(throw cancelled("x", "57014"), error);
    CHECK_THROWS_AS(throw decode_error("x", "TM007"), std::runtime_error);
}
