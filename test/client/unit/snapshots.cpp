// When a stream is to have a snapshot, and what one says.
#include <catch2/catch.hpp>

#include "../support/accounts.hpp"
#include "../support/expect.hpp"

using namespace tidemark;
using namespace tidemark::test;

namespace {

template <std::int64_t EVERY>
struct Each : Account {
    static constexpr int snapshot_version = 1;
    static constexpr std::int64_t snapshot_every = EVERY;
};

struct Usual : Account {
    static constexpr int snapshot_version = 1;
};

}  // namespace

TEST_CASE("A snapshot is due where a multiple of the distance is come to or passed, of a hundred where none is said") {
    CHECK(is_snapshot_due<Usual>(95, 103));
    CHECK(is_snapshot_due<Usual>(0, 100));
    CHECK(is_snapshot_due<Usual>(99, 100));
    CHECK(is_snapshot_due<Usual>(100, 1'000));
    CHECK(!is_snapshot_due<Usual>(0, 99));
    CHECK(!is_snapshot_due<Usual>(100, 101));
    CHECK(!is_snapshot_due<Usual>(100, 199));
    CHECK(!is_snapshot_due<Usual>(100, 100));
    CHECK(is_snapshot_due<Each<1>>(0, 1));
    CHECK(!is_snapshot_due<Each<7>>(7, 13));
    CHECK(is_snapshot_due<Each<7>>(13, 14));
    CHECK(!is_snapshot_due<Each<0>>(0, 1'000));
    CHECK(!is_snapshot_due<Each<-1>>(0, 1'000));
    CHECK(!SnapshotState<Account>);
}

TEST_CASE("A snapshot that is no JSON is named, and a stream that was loaded has the version of its last event") {
    const Snapshot snapshot = {.stream = "a-1", .schema_version = 3, .version = 7, .state_text = "{"};
    const auto problem = thrown_by<decode_error>([&] { snapshot.state(); });
    CHECK_THAT(problem.what(), Catch::Contains("\"a-1\" at version 7, schema version 3"));
    CHECK(LoadedStream{}.version() == 0);
    CHECK(LoadedStream{.snapshot = snapshot, .events = {}}.version() == 7);
}
