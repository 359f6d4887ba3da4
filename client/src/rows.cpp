#include <tidemark/rows.hpp>

#include <libpq-fe.h>

#include <nlohmann/json.hpp>

namespace tidemark {

namespace {

const PGresult* result_of(const std::shared_ptr<const void>& result) {
    return static_cast<const PGresult*>(result.get());
}

}  // namespace

Parameter::Parameter(std::string text) : text_(std::move(text)) {
    // What came after it would be lost on the way.
    if (text_->find('\0') != std::string::npos) throw usage_error("text with a NUL character");
}

Parameter::Parameter(const std::vector<std::string>& array) {
    std::string text = "{";
    for (const std::string& element : array) {
        text += text.size() > 1 ? ",\"" : "\"";
        for (const char character : element) {
            if (character == '"' || character == '\\') text += '\\';
            text += character;
        }
        text += '"';
    }
    *this = Parameter(text + "}");
}

Parameter::Parameter(const json& value) {
    try {
        text_ = value.dump();
    } catch (const json::exception& problem) {
        throw usage_error(std::string("not JSON in UTF-8: ") + problem.what());
    }
}

Rows::Rows(std::shared_ptr<const void> result) : result_(std::move(result)) {}

int Rows::size() const { return PQntuples(result_of(result_)); }
int Rows::columns() const { return PQnfields(result_of(result_)); }

std::int64_t Rows::affected() const {
    const char* count = PQcmdTuples(static_cast<PGresult*>(const_cast<void*>(result_.get())));
    return *count ? std::stoll(count) : 0;
}

bool Rows::is_null(int row, int column) const {
    if (row < 0 || row >= size() || column < 0 || column >= columns())
        throw usage_error("there is no column " + std::to_string(column) + " in row " + std::to_string(row));
    return PQgetisnull(result_of(result_), row, column) != 0;
}

std::string_view Rows::text(int row, int column) const {
    if (is_null(row, column)) return {};
    return {PQgetvalue(result_of(result_), row, column),
            static_cast<std::size_t>(PQgetlength(result_of(result_), row, column))};
}

int Rows::column(std::string_view name) const {
    for (int i = 0; i < columns(); i++)
        if (name == PQfname(result_of(result_), i)) return i;
    throw usage_error("there is no column named " + std::string(name));
}

std::string Rows::name(int column) const {
    const char* name = PQfname(result_of(result_), column);
    if (!name) throw usage_error("there is no column " + std::to_string(column));
    return name;
}

json Rows::parse_json(std::string_view text) {
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) throw usage_error("not JSON: " + std::string(text));
    return value;
}

}  // namespace tidemark
