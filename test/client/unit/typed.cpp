// Events as types of one's own.
#include <catch2/catch.hpp>

#include "../support/accounts.hpp"
#include "../support/expect.hpp"

using namespace tidemark;
using namespace tidemark::test;

namespace {

// The event that the log would give back.
Event logged(const NewEvent& event) {
    return {.position = 42,
            .version = 7,
            .recorded_at = {},
            .id = event.id,
            .schema_version = event.schema_version,
            .stream = "account-1",
            .category = "account",
            .type = event.type,
            .data_text = event.data.dump(),
            .metadata_text = event.metadata.dump()};
}

Event logged(const std::string& type, const std::string& data, int schema_version = 1) {
    Event event = logged(NewEvent{.type = type, .schema_version = schema_version});
    event.data_text = data;
    return event;
}

// As of a library that cannot be changed.
struct Foreign {
    int number;
};
void to_json(json& data, const Foreign& event) { data = {{"no", event.number}}; }
void from_json(const json& data, Foreign& event) { data.at("no").get_to(event.number); }

struct Empty {
    static constexpr std::string_view event_type = "Empty";
};
void to_json(json& data, const Empty&) { data = json::object(); }
void from_json(const json&, Empty&) {}

}  // namespace

template <>
struct tidemark::event_traits<Foreign> {
    static std::string type() { return "foreign.event"; }
    static constexpr int schema_version() { return 9; }
};

TEST_CASE("A typed event is encoded with its name and version, and decoded as it was") {
    const NewEvent deposited = encode(Deposited{5}, {{"user", "ann"}});
    CHECK(deposited.type == "Deposited");
    CHECK(deposited.schema_version == 1);
    CHECK(deposited.data == json({{"amount", 5}}));
    CHECK(deposited.metadata == json({{"user", "ann"}}));
    CHECK(deposited.id != encode(Deposited{5}).id);
    CHECK(decode<Deposited>(logged(deposited)).amount == 5);

    const NewEvent withdrawn = encode(Withdrawn{6, "rent, \"\xc3\xa9\""});
    CHECK(withdrawn.schema_version == 2);
    CHECK(withdrawn.metadata == json::object());
    CHECK(decode<Withdrawn>(logged(withdrawn)).reason == "rent, \"\xc3\xa9\"");
    CHECK_NOTHROW(decode<Empty>(logged(encode(Empty{}))));
}

TEST_CASE("A type that cannot be changed is described by event_traits") {
    const NewEvent event = encode(Foreign{3});
    CHECK(event.type == "foreign.event");
    CHECK(event.schema_version == 9);
    CHECK(decode<Foreign>(logged(event)).number == 3);
    CHECK(EventTypes<Foreign>::names() == std::vector<std::string>{"foreign.event"});
}

TEST_CASE("Types that belong together are decoded by their names") {
    using Types = EventTypes<Deposited, Withdrawn, Foreign>;
    CHECK(Types::names() == std::vector<std::string>{"Deposited", "Withdrawn", "foreign.event"});
    CHECK(Types::contains("Withdrawn"));
    CHECK(!Types::contains("withdrawn"));
    CHECK(!Types::contains(""));
    CHECK(std::get<Deposited>(Types::decode(logged(encode(Deposited{5})))).amount == 5);
    CHECK(std::get<Withdrawn>(Types::decode(logged(encode(Withdrawn{6, ""})))).amount == 6);
    REQUIRE(Types::decode_known(logged(encode(Foreign{7}))));
    CHECK(!Types::decode_known(logged("Closed", "{}")));
    CHECK_THROWS_AS(Types::decode(logged("Closed", "{}")), decode_error);
    // What is known and does not fit is an error in either.
    CHECK_THROWS_AS(Types::decode_known(logged("Deposited", "{}")), decode_error);
}

TEST_CASE("An event that does not fit is decode_error, and names stream, version, position, type and reason") {
    const std::pair<Event, std::string> cases[] = {
        {logged("Withdrawn", R"({"amount": 1, "reason": ""})", 2), "not of type Deposited"},
        {logged("Deposited", R"({"amount": 1})", 3), "schema version is 3, not 1"},
        {logged("Deposited", R"({"amount": "1"})"), "type must be number"},
        {logged("Deposited", R"({})"), "amount"},
        {logged("Deposited", R"([])"), "array"},
        {logged("Deposited", R"(null)"), "null"},
        {logged("Deposited", R"({"amount": 1e400})"), "not readable"},
        {logged("Deposited", ""), "not readable"},
    };
    for (const auto& [event, why] : cases) {
        const auto problem = thrown_by<decode_error>([&, &wrong = event] { decode<Deposited>(wrong); });
        for (const std::string& part :
             {std::string("\"account-1\""), std::string("version 7"), std::string("position 42"), event.type, why})
            CHECK_THAT(problem.what(), Catch::Contains(part));
        CHECK(problem.sqlstate() == "TM007");
    }
}

TEST_CASE("A state is folded of its events") {
    Account account;
    fold(account, logged(encode(Deposited{5})));
    fold(account, logged(encode(Withdrawn{2, ""})));
    CHECK(account.balance == 3);
    CHECK_THROWS_AS(fold(account, logged("Closed", "{}")), decode_error);
    CHECK(account.balance == 3);

    Aggregate<Account> aggregate("account-1");
    aggregate.load(logged(encode(Deposited{5})));
    CHECK(aggregate.version() == 7);
    aggregate.record(Withdrawn{1, ""});
    CHECK(aggregate->balance == 4);
    CHECK(aggregate.version() == 7);
    REQUIRE(aggregate.recorded().size() == 1);
    CHECK(aggregate.recorded()[0].type == "Withdrawn");
}
