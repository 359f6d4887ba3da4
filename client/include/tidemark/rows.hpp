// The answer to a statement of one's own, and the parameters that it is given.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tidemark/error.hpp>
#include <tidemark/event.hpp>
#include <tidemark/uuid.hpp>

namespace tidemark {

// A parameter of a statement, always bound, never part of the SQL. Converts from what is commonly passed; an optional
// without a value is NULL.
class Parameter {
  public:
    Parameter(std::nullopt_t) {}
    Parameter(std::string text);  // throws usage_error where it has a NUL character
    Parameter(std::string_view text) : Parameter(std::string(text)) {}
    Parameter(const char* text) : text_(text) {}
    Parameter(bool value) : text_(value ? "true" : "false") {}
    Parameter(const json& value);
    Parameter(const Uuid& value) : text_(value.to_string()) {}
    Parameter(const std::vector<std::string>& array);
    template <std::integral T>
    Parameter(T value) : text_(std::to_string(value)) {}
    template <std::floating_point T>
    Parameter(T value) {
        char digits[64];
        text_.emplace(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
    }
    template <typename T>
    Parameter(const std::optional<T>& value) {
        if (value) text_ = Parameter(*value).text_;
    }

    const std::optional<std::string>& text() const { return text_; }

  private:
    std::optional<std::string> text_;
};

// The rows that a statement returned, as text. Cheap to copy.
class Rows {
  public:
    explicit Rows(std::shared_ptr<const void> result);

    int size() const;
    bool empty() const { return size() == 0; }
    int columns() const;
    // How many rows an INSERT, UPDATE, DELETE or MERGE has changed.
    std::int64_t affected() const;

    // Rows and columns are numbered from 0. Throws usage_error for a column or row that is not there.
    bool is_null(int row, int column) const;
    std::string_view text(int row, int column) const;
    int column(std::string_view name) const;
    std::string name(int column) const;

    // The value as a string, a number, bool, Uuid, json, or an optional of one of these. Throws usage_error for NULL
    // where T is no optional, and where the text is no T.
    template <typename T>
    T get(int row, int column) const {
        if constexpr (is_optional<T>::value) {
            if (is_null(row, column)) return std::nullopt;
            return parse<typename T::value_type>(text(row, column));
        } else {
            if (is_null(row, column)) throw usage_error("the value is NULL; ask for an optional");
            return parse<T>(text(row, column));
        }
    }
    template <typename T>
    T get(int row, std::string_view name) const {
        return get<T>(row, column(name));
    }

  private:
    template <typename T>
    struct is_optional : std::false_type {};
    template <typename T>
    struct is_optional<std::optional<T>> : std::true_type {};

    template <typename T>
    static T parse(std::string_view text) {
        if constexpr (std::same_as<T, bool>) {
            if (text != "t" && text != "f") throw usage_error("not a bool: " + std::string(text));
            return text == "t";
        } else if constexpr (std::is_arithmetic_v<T>) {
            T number{};
            const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
            if (problem != std::errc() || end != text.data() + text.size())
                throw usage_error("not a number of that type: " + std::string(text));
            return number;
        } else if constexpr (std::same_as<T, Uuid>) {
            return Uuid::parse(text);
        } else if constexpr (std::same_as<T, json>) {
            return parse_json(text);
        } else {
            return T(text);
        }
    }
    static json parse_json(std::string_view text);

    std::shared_ptr<const void> result_;
};

}  // namespace tidemark
