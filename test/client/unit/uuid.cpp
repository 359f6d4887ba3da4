#include <catch2/catch.hpp>

#include <set>

#include <tidemark/error.hpp>
#include <tidemark/uuid.hpp>

using namespace tidemark;

TEST_CASE("A new id is a UUID of version 7, and sorts after one made a while before") {
    const Uuid first = Uuid::make();
    std::set<Uuid> many;
    for (int i = 0; i < 10'000; i++) many.insert(Uuid::make());
    CHECK(many.size() == 10'000);
    CHECK(first < Uuid::make());
    CHECK(first.to_string()[14] == '7');
    CHECK(std::string("89ab").find(first.to_string()[19]) != std::string::npos);
}

TEST_CASE("An id is what its text says, and its text what it is") {
    const std::string text = "0195a7b0-0000-7000-8000-0123456789ab";
    CHECK(Uuid::parse(text).to_string() == text);
    CHECK(Uuid::parse("0195A7B0-0000-7000-8000-0123456789AB").to_string() == text);
    for (const char* bad : {"", "0195a7b0-0000-7000-8000-0123456789a", "0195a7b0-0000-7000-8000-0123456789abc",
                            "0195a7b000000-7000-8000-0123456789ab", "0195a7b0-0000-7000-8000-0123456789ag"})
        CHECK_THROWS_AS(Uuid::parse(bad), usage_error);
}
