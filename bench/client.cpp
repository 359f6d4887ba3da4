// What the C++ client costs and gains, measured against bare libpq in the same program.
//
//   client_bench CONNINFO MEASURE COUNT
//
// Does a thing COUNT times and prints microseconds for each: append-libpq and append (one event, waiting for each
// answer), append-pipeline (many in flight), read-libpq and read (pages of 1,000; for each event).
#include <libpq-fe.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include <tidemark/tidemark.hpp>

#include "result.h"

using namespace tidemark;

namespace {

const std::string STREAM = "bench-" + Uuid::make().to_string();
const json DATA = {{"order", 4711},
                   {"customer", "c-815"},
                   {"items", {{{"sku", "A-1"}, {"price", 12.5}}, {{"sku", "B-7"}, {"price", 3}}}},
                   {"note", std::string(180, 'x')}};
const json METADATA = {{"user", "ann"}, {"trace", std::string(60, 't')}};

NewEvent new_event() { return {.type = "OrderPlaced", .data = DATA, .metadata = METADATA}; }

// The calls that the client makes, without it: the same statements, parameters and result formats.
void append_libpq(const char* conninfo, long count) {
    PGconn* connection = PQconnectdb(conninfo);
    check(PQprepare(connection, "append",
                    "SELECT stream_id, first_version, last_version, first_position, last_position, is_duplicate"
                    " FROM es_append($1::text, $2::text, $3::jsonb, $4::jsonb, $5::bigint, $6::uuid, $7::text,"
                    " $8::integer)",
                    0, nullptr));
    for (long i = 0; i < count; i++) {
        const NewEvent event = new_event();
        const std::string data = event.data.dump(), metadata = event.metadata.dump(), id = event.id.to_string();
        const char* values[] = {STREAM.c_str(), event.type.c_str(), data.c_str(), metadata.c_str(),
                                "-2",           id.c_str(),         nullptr,      "1"};
        check(PQexecPrepared(connection, "append", 8, values, nullptr, nullptr, 1));
    }
    PQfinish(connection);
}

void append(const char* conninfo, long count) {
    Connection connection(conninfo);
    for (long i = 0; i < count; i++) connection.append(STREAM, new_event());
}

void append_pipeline(const char* conninfo, long count) {
    Connection connection(conninfo);
    Pipeline pipeline(connection);
    for (long i = 0; i < count; i++) pipeline.append(STREAM, new_event());
    pipeline.finish();
}

void page_libpq(const char* conninfo, long count) {
    PGconn* connection = PQconnectdb(conninfo);
    check(PQprepare(connection, "read",
                    "SELECT position, version, recorded_at, event_id, schema_version, stream_id, category,"
                    " event_type, data, metadata FROM es_read_after($1::bigint, $2::bigint)",
                    0, nullptr));
    std::string after = "0";
    for (long seen = 0; seen < count;) {
        const char* values[] = {after.c_str(), "1000"};
        const auto page = check(PQexecPrepared(connection, "read", 2, values, nullptr, nullptr, 0));
        const int rows = PQntuples(page.get());
        if (rows == 0) throw std::runtime_error("the log has fewer events");
        after = PQgetvalue(page.get(), rows - 1, 0);
        seen += rows;
    }
    PQfinish(connection);
}

void page(const char* conninfo, long count) {
    Connection connection(conninfo);
    long seen = 0;
    for (const Event& event : connection.read_after(0)) {
        seen += event.version > 0;
        if (seen == count) return;
    }
    throw std::runtime_error("the log has fewer events");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return 2;
    const std::string measure = argv[2];
    const long count = std::atol(argv[3]);
    const std::map<std::string, void (*)(const char*, long)> measures = {{"append-libpq", append_libpq},
                                                                         {"append", append},
                                                                         {"append-pipeline", append_pipeline},
                                                                         {"read-libpq", page_libpq},
                                                                         {"read", page}};
    try {
        const auto start = std::chrono::steady_clock::now();
        measures.at(measure)(argv[1], count);
        const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
        std::printf("%.3f\n", taken.count() / static_cast<double>(count));
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "%s: %s\n", measure.c_str(), problem.what());
        return 1;
    }
}
