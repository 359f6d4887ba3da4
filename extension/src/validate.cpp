#include "validate.h"

#include "guard.h"

#include <algorithm>

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr int LONGEST_NAME = 255;

bool has_control_character(std::string_view name) {
    const bool utf8 = GetDatabaseEncoding() == PG_UTF8;
    for (size_t i = 0; i < name.size(); i++) {
        const auto byte = static_cast<unsigned char>(name[i]);
        if (byte < 0x20 || byte == 0x7f) return true;
        // U+0080 to U+009F, the second block of control characters
        if (utf8 && byte == 0xc2 && i + 1 < name.size() && static_cast<unsigned char>(name[i + 1]) < 0xa0) return true;
    }
    return false;
}

}  // namespace

const char* name_problem(std::string_view name) {
    if (name.find_first_not_of(' ') == std::string_view::npos) return "It is blank.";
    if (name.front() == ' ' || name.back() == ' ') return "It begins or ends with a blank.";
    if (has_control_character(name)) return "It contains a control character.";
    const int bytes = static_cast<int>(name.size());
    if (bytes > LONGEST_NAME && pg_mbstrlen_with_len(name.data(), bytes) > LONGEST_NAME)
        return "It is longer than 255 characters.";
    return nullptr;
}

std::string at(const Place& place) {
    std::string path;
    if (place.write >= 0) path = "writes[" + std::to_string(place.write) + "]";
    if (place.event >= 0) path += (path.empty() ? "events[" : ".events[") + std::to_string(place.event) + "]";
    return path.empty() ? path : path + ": ";
}

void check_name(std::string_view name, const char* what, const Place& place) {
    const char* problem = name_problem(name);
    if (problem != nullptr)
        throw bad_argument(std::string("invalid ") + what, at(place) + problem,
                           "Use 1 to 255 characters, no control characters, no leading or trailing blanks.");
}

const bool* find_repetitions(std::span<const std::string_view> names) {
    auto* repeated = static_cast<bool*>(palloc0(names.size() + 1));
    auto* order = static_cast<size_t*>(palloc((names.size() + 1) * sizeof(size_t)));
    for (size_t i = 0; i < names.size(); i++) order[i] = i;
    std::sort(order, order + names.size(), [&](size_t one, size_t other) {
        return names[one] != names[other] ? names[one] < names[other] : one < other;
    });
    for (size_t i = 1; i < names.size(); i++) repeated[order[i]] = names[order[i]] == names[order[i - 1]];
    return repeated;
}

void refuse_null(FunctionCallInfo fcinfo, int number, const char* what, const char* hint) {
    if (PG_ARGISNULL(number)) throw bad_argument(std::string(what) + " must not be null", "It is null.", hint);
}

text* text_argument(FunctionCallInfo fcinfo, int number, const char* what) {
    refuse_null(fcinfo, number, what, "Give its name.");
    return PG_GETARG_TEXT_PP(number);
}

int64 bigint_argument(FunctionCallInfo fcinfo, int number, const char* what) {
    refuse_null(fcinfo, number, what, "Give a number, or leave the argument out.");
    return PG_GETARG_INT64(number);
}

std::span<std::string_view> text_array(Datum array, const char* what) {
    Datum* elements;
    bool* nulls;
    int count;
    deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
    auto* texts = static_cast<std::string_view*>(palloc((count + 1) * sizeof(std::string_view)));
    for (int i = 0; i < count; i++) {
        if (nulls[i])
            throw bad_argument(std::string(what) + " must not contain null",
                               "Element " + std::to_string(i + 1) + " is null.", "Leave it out.");
        texts[i] = view(DatumGetTextPP(elements[i]));
    }
    return {texts, static_cast<size_t>(count)};
}

std::span<std::string_view> text_array_argument(FunctionCallInfo fcinfo, int number, const char* what) {
    return text_array(PG_GETARG_DATUM(number), what);
}

int64 max_count_argument(FunctionCallInfo fcinfo, int number) {
    if (PG_ARGISNULL(number)) return PG_INT64_MAX;
    const int64 max_count = PG_GETARG_INT64(number);
    if (max_count < 0)
        throw bad_argument("max_count must not be negative", "It is " + std::to_string(max_count) + ".",
                           "Pass null to read without a limit.");
    return max_count;
}

void check_schema_version(int64 schema_version, const Place& place) {
    if (schema_version < 1)
        throw bad_argument("schema_version must be positive",
                           at(place) + "It is " + std::to_string(schema_version) + ".", "Schema versions begin at 1.");
}

int32 schema_version_argument(FunctionCallInfo fcinfo, int number) {
    refuse_null(fcinfo, number, "schema_version", "Give a number, or leave the argument out.");
    const int32 schema_version = PG_GETARG_INT32(number);
    check_schema_version(schema_version);
    return schema_version;
}

int64 milliseconds_argument(FunctionCallInfo fcinfo, int number, const char* what, int64 least, int64 most) {
    refuse_null(fcinfo, number, what, "Give an interval, or leave the argument out.");
    const Interval* interval = PG_GETARG_INTERVAL_P(number);
    // Compared as floating point, for what an interval can be does not fit otherwise.
    const double milliseconds = static_cast<double>(interval->time) / 1000 +
                                (static_cast<double>(interval->month) * DAYS_PER_MONTH + interval->day) * 86400000.0;
    if (!(milliseconds >= static_cast<double>(least) && milliseconds <= static_cast<double>(most)))
        throw bad_argument(
            std::string(what) + " is out of range",
            psprintf("It is %.0f ms, and must be " INT64_FORMAT " to " INT64_FORMAT " ms.", milliseconds, least, most),
            "Give an interval of that length.");
    return static_cast<int64>(milliseconds);
}

void require_read_write(const char* function) {
    PreventCommandDuringRecovery(function);
    PreventCommandIfReadOnly(function);
    PreventCommandIfParallelMode(function);
}

}  // namespace tidemark
