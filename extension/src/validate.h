// What a stream id, category or event type may look like, and the other checks that arguments have in common.
// All throw 22023.
#pragma once

#include "pg_compat.h"

#include <span>
#include <string>
#include <string_view>

namespace tidemark {

// The text's bytes. The text must not be toasted, as PG_GETARG_TEXT_PP sees to.
inline std::string_view view(const text* value) {
    return {VARDATA_ANY(value), static_cast<size_t>(VARSIZE_ANY_EXHDR(value))};
}

inline text* make_text(std::string_view value) {
    return cstring_to_text_with_len(value.data(), static_cast<int>(value.size()));
}

inline std::string quoted(std::string_view name) { return '"' + std::string(name) + '"'; }

// A name has 1 to 255 characters, no control characters, no leading or trailing blanks. Says what is wrong with one, in
// a sentence, or returns null.
const char* name_problem(std::string_view name);

// The place in a call's JSON arguments that an error is about: a write in an array of writes, an event in an array of
// events, which may be that write's.
struct Place {
    int64 write = -1;
    int64 event = -1;
};

// Begins the detail of an error about the place, as in `writes[1].events[3]: `.
std::string at(const Place& place);

// Throws unless it is a name. `what` it names goes into the message.
void check_name(std::string_view name, const char* what, const Place& place = {});

// Which of the names stand earlier among them already.
const bool* find_repetitions(std::span<const std::string_view> names);

// The value of an argument that must not be null; `what` names it in the message.
text* text_argument(FunctionCallInfo fcinfo, int number, const char* what);
int64 bigint_argument(FunctionCallInfo fcinfo, int number, const char* what);

// The elements of a text[], none of which may be null. They point into the array.
std::span<std::string_view> text_array(Datum array, const char* what);
std::span<std::string_view> text_array_argument(FunctionCallInfo fcinfo, int number, const char* what);
void refuse_null(FunctionCallInfo fcinfo, int number, const char* what, const char* hint);

// A limit on the number of events to return: null means none.
int64 max_count_argument(FunctionCallInfo fcinfo, int number);

void check_schema_version(int64 schema_version, const Place& place = {});
int32 schema_version_argument(FunctionCallInfo fcinfo, int number);

// An interval in milliseconds. Throws 22023 unless it is from least to most of them.
int64 milliseconds_argument(FunctionCallInfo fcinfo, int number, const char* what, int64 least, int64 most);

// Refuses where nothing can be written: read-only transactions, standbys, parallel workers.
void require_read_write(const char* function);

}  // namespace tidemark
