#include "expected_version.h"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/json.h"
}

namespace tidemark {

namespace {

void append_version(StringInfo json, int64 version) {
    if (version == NO_STREAM)
        appendStringInfoString(json, "\"no stream\"");
    else if (version == STREAM_EXISTS)
        appendStringInfoString(json, "\"stream exists\"");
    else
        appendStringInfo(json, INT64_FORMAT, version);
}

}  // namespace

void check_expected_version(int64 expected, const Place& place) {
    if (expected >= 0 || expected == NO_STREAM || expected == ANY || expected == STREAM_EXISTS) return;
    throw bad_argument("invalid expected version", at(place) + "It is " + std::to_string(expected) + ".",
                       "Use a version, or es_any() (-2), es_no_stream() (-1) or es_stream_exists() (-4).");
}

sql_error wrong_expected_version(const VersionConflict* conflicts, int count) {
    StringInfoData json;
    initStringInfo(&json);
    bool any_missing = false;
    for (int i = 0; i < count; i++) {
        const VersionConflict& conflict = conflicts[i];
        appendStringInfoString(&json, i == 0 ? "[{\"stream\": " : ", {\"stream\": ");
        escape_json(&json, pnstrdup(conflict.stream_id.data(), conflict.stream_id.size()));
        appendStringInfoString(&json, ", \"expected\": ");
        append_version(&json, conflict.expected);
        appendStringInfoString(&json, ", \"actual\": ");
        append_version(&json, conflict.actual == 0 ? NO_STREAM : conflict.actual);
        appendStringInfoChar(&json, '}');
        any_missing |= conflict.actual == 0 || conflict.expected == 0;
    }
    appendStringInfoChar(&json, ']');
    return {WRONG_EXPECTED_VERSION, "wrong expected version", json.data,
            any_missing
                ? "Read the stream again and decide on what it says now. Of a stream that has no events, expect "
                  "es_no_stream() (-1); exactly 0 never holds."
                : "Read the stream again, decide on what it says now, and append with its present version."};
}

}  // namespace tidemark
