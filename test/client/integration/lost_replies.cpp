// The line is cut between any two messages of an append: each time it is known whether the append was made, and it is
// made once at most.
#include <catch2/catch.hpp>

#include "../support/database.hpp"
#include "../support/proxy.hpp"

using namespace tidemark;
using namespace tidemark::test;

namespace {

// Runs `once` with the line cut at every boundary that it has, by either side, with the last message delivered or lost,
// and returns how many cuts that were.
template <typename Once>
int cut_everywhere(Proxy& proxy, Once once) {
    int cuts = 0;
    for (const Side side : {Side::client, Side::server}) {
        for (const bool delivers_last : {false, true}) {
            for (std::size_t messages = 1;; messages++) {
                proxy.disarm();
                if (!once(Cut{side, messages, delivers_last})) break;
                cuts++;
            }
        }
    }
    proxy.disarm();
    return cuts;
}

std::int64_t count_of(Connection& connection, const std::string& type) {
    return connection.execute("SELECT count(*) FROM es_events WHERE event_type = $1", type).get<std::int64_t>(0, 0);
}

}  // namespace

TEST_CASE("An append whose line is cut anywhere is made once, and its result is the truth") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection direct = database.connect();
    int round = 0;
    const int cuts = cut_everywhere(proxy, [&](const Cut& cut) {
        Connection connection(database.conninfo() + " " + proxy.conninfo());
        connection.append("warm-1", NewEvent{.type = "Warm"});  // connected, the statement prepared
        const std::string stream = "cut-" + std::to_string(++round);
        proxy.arm(cut);
        const AppendResult result = connection.append(stream, NewEvent{.type = "Cut"}, ExpectedVersion::no_stream());
        const bool has_cut = proxy.has_cut();
        CHECK(result.version == 1);
        const auto events = direct.read_stream(stream).to_vector();
        REQUIRE(events.size() == 1);
        CHECK(events[0].position == result.first_position);
        return has_cut;
    });
    CHECK(cuts >= 10);
    CHECK(count_of(direct, "Cut") == round);
    CHECK(direct.execute("SELECT count(*) FROM es_verify()").get<int>(0, 0) == 0);
}

TEST_CASE("An append that is sent for the first time, with all that goes before it, is made once, too") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection direct = database.connect();
    int round = 0;
    const int cuts = cut_everywhere(proxy, [&](const Cut& cut) {
        const std::string stream = "cut-" + std::to_string(++round);
        proxy.arm(cut);
        Connection connection(database.conninfo() + " " + proxy.conninfo());
        const std::vector<StreamWrite> writes = {{.stream = stream, .expected = 0, .events = {{.type = "Cut"}}},
                                                 {.stream = stream + "-more", .events = {{.type = "Cut"}}}};
        std::vector<AppendResult> results;
        try {
            results = connection.append_streams(writes);
        } catch (const connection_lost&) {
            // Not let in, so nothing was asked for.
            REQUIRE(direct.stream_version(stream) == 0);
            results = connection.append_streams(writes);
        }
        const bool has_cut = proxy.has_cut();
        REQUIRE(results.size() == 2);
        CHECK(results[0].version == 1);
        CHECK(direct.stream_version(stream) == 1);
        CHECK(direct.stream_version(stream + "-more") == 1);
        return has_cut;
    });
    CHECK(cuts >= 20);
    CHECK(count_of(direct, "Cut") == 2 * round);
}

TEST_CASE("A transaction whose line is cut anywhere is known to be committed or not, and repeated where it is not") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection direct = database.connect();
    direct.execute("CREATE TABLE effects (stream text PRIMARY KEY)");
    int round = 0, in_doubt = 0, were_committed = 0;
    const int cuts = cut_everywhere(proxy, [&](const Cut& cut) {
        Connection connection(database.conninfo() + " " + proxy.conninfo());
        connection.safe_position();
        const std::string stream = "cut-" + std::to_string(++round);
        const auto work = [&](Transaction& transaction) {
            transaction.execute("INSERT INTO effects VALUES ($1)", stream);
            transaction.append(stream, {NewEvent{.type = "Cut"}, NewEvent{.type = "Cut"}},
                               ExpectedVersion::no_stream());
        };
        proxy.arm(cut);
        bool has_cut = false;
        for (bool done = false; !done;) {
            try {
                connection.transact(work);
                done = true;
            } catch (const commit_in_doubt& doubt) {
                in_doubt++;
                done = connection.was_committed(doubt);
                were_committed += done;
                CHECK(done == (direct.stream_version(stream) == 2));
            } catch (const connection_lost&) {
                CHECK(direct.stream_version(stream) == 0);
            }
            has_cut = has_cut || proxy.has_cut();
        }
        CHECK(direct.stream_version(stream) == 2);
        return has_cut;
    });
    CHECK(cuts >= 20);
    CHECK(were_committed > 0);
    CHECK(in_doubt > were_committed);
    CHECK(count_of(direct, "Cut") == 2 * round);
    CHECK(direct.execute("SELECT count(*) FROM effects").get<int>(0, 0) == round);
}

TEST_CASE("A pipeline whose line is cut anywhere makes each of its appends once, in order") {
    Database database;
    Proxy proxy(Database::server_folder(), Database::server_port());
    Connection direct = database.connect();
    int round = 0;
    const int cuts = cut_everywhere(proxy, [&](const Cut& cut) {
        Connection connection(database.conninfo() + " " + proxy.conninfo());
        connection.safe_position();
        const std::string stream = "cut-" + std::to_string(++round);
        proxy.arm(cut);
        std::vector<std::int64_t> versions;
        Pipeline pipeline(connection, 3);
        for (int i = 0; i < 4; i++)
            pipeline.append(stream, NewEvent{.type = "Cut"}, ExpectedVersion(i),
                            [&](const Pipeline::Answer& answer) { versions.push_back(answer.get().version); });
        pipeline.finish();
        const bool has_cut = proxy.has_cut();
        CHECK(versions == std::vector<std::int64_t>{1, 2, 3, 4});
        CHECK(direct.stream_version(stream) == 4);
        return has_cut;
    });
    CHECK(cuts >= 40);
    CHECK(count_of(direct, "Cut") == 4 * round);
}
