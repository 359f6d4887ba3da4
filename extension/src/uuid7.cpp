#include "uuid7.h"

#include "guard.h"

#include <algorithm>
#include <ctime>
#include <iterator>

namespace tidemark {

namespace {

// The 12 bits after the milliseconds hold their fraction: a step of one is about 244 ns.
constexpr int64 NANOSECONDS_PER_MS = 1000000;
constexpr int64 SMALLEST_STEP_NS = NANOSECONDS_PER_MS / 4096 + 1;

int64 ascending_nanoseconds() {
    static int64 last = 0;
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    last = std::max(now.tv_sec * INT64CONST(1000000000) + now.tv_nsec, last + SMALLEST_STEP_NS);
    return last;
}

// Asked for in blocks: a call takes as long for 8 bytes as for many.
uint64 random_word() {
    static uint64 block[64];
    static size_t left = 0;
    if (left == 0) {
        if (!pg_strong_random(block, sizeof(block)))
            throw sql_error(ERRCODE_INTERNAL_ERROR, "no random numbers for an event id",
                            "The operating system's source of strong random numbers failed.");
        left = std::size(block);
    }
    return block[--left];
}

}  // namespace

pg_uuid_t new_uuid7() {
    const int64 ns = ascending_nanoseconds();
    const int64 ms = ns / NANOSECONDS_PER_MS;
    const auto fraction = static_cast<uint32>((ns % NANOSECONDS_PER_MS) * 4096 / NANOSECONDS_PER_MS);
    pg_uuid_t id;
    for (int i = 0; i < 6; i++) id.data[i] = static_cast<unsigned char>(ms >> (40 - 8 * i));
    const uint64 random = random_word();
    memcpy(&id.data[8], &random, sizeof(random));
    id.data[6] = static_cast<unsigned char>(0x70 | (fraction >> 8));  // version 7
    id.data[7] = static_cast<unsigned char>(fraction);
    id.data[8] = static_cast<unsigned char>(0x80 | (id.data[8] & 0x3f));  // the variant of RFC 9562
    return id;
}

}  // namespace tidemark
