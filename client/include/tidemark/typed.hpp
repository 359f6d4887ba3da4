// Events as types of one's own. A type of event is a struct with nlohmann_json's to_json and from_json, and its name:
//
//     struct Deposited {
//         static constexpr std::string_view event_type = "Deposited";
//         long amount;
//     };
//     NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Deposited, amount)
//
// and schema_version, likewise, from version 2 on. For types that cannot be changed, specialize event_traits.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include <tidemark/error.hpp>
#include <tidemark/event.hpp>

namespace tidemark {

template <typename T>
struct event_traits {
    static std::string type() { return std::string(T::event_type); }
    static constexpr int schema_version() {
        if constexpr (requires { T::schema_version; })
            return T::schema_version;
        else
            return 1;
    }
};

template <typename T>
concept TypedEvent = requires(const T& event, json& data) {
    { event_traits<T>::type() } -> std::convertible_to<std::string>;
    { event_traits<T>::schema_version() } -> std::convertible_to<int>;
    data = event;
    data.template get<T>();
};

// The event to append for a typed one. Throws usage_error where its to_json throws.
template <TypedEvent T>
NewEvent encode(const T& event, json metadata = json::object()) {
    try {
        return {.type = event_traits<T>::type(),
                .data = json(event),
                .metadata = std::move(metadata),
                .schema_version = event_traits<T>::schema_version()};
    } catch (const json::exception& problem) {
        throw usage_error("an event of type " + event_traits<T>::type() + " is not to be written: " + problem.what());
    }
}

namespace detail {
[[noreturn]] void fail_to_decode(const Event& event, const std::string& why);
}

// The typed event. Throws decode_error, which names the event, where its type is another one or its data do not fit.
template <TypedEvent T>
T decode(const Event& event) {
    if (event.type != event_traits<T>::type())
        detail::fail_to_decode(event, "it is not of type " + event_traits<T>::type());
    if (event.schema_version != event_traits<T>::schema_version())
        detail::fail_to_decode(event, "its schema version is " + std::to_string(event.schema_version) + ", not " +
                                          std::to_string(event_traits<T>::schema_version()));
    try {
        return event.data().template get<T>();
    } catch (const json::exception& problem) {
        detail::fail_to_decode(event, problem.what());
    }
}

// A registry of the types that belong together, such as those of one kind of stream.
template <TypedEvent... Types>
struct EventTypes {
    using Variant = std::variant<Types...>;

    static bool contains(std::string_view type) { return ((event_traits<Types>::type() == type) || ...); }

    // Throws decode_error, also where the type is none of these.
    static Variant decode(const Event& event) {
        std::optional<Variant> decoded = decode_known(event);
        if (!decoded) detail::fail_to_decode(event, "its type is not known");
        return *std::move(decoded);
    }

    // Nothing where the type is none of these.
    static std::optional<Variant> decode_known(const Event& event) {
        std::optional<Variant> decoded;
        (void)((event.type == event_traits<Types>::type() && (decoded.emplace(tidemark::decode<Types>(event)), true)) ||
               ...);
        return decoded;
    }

    static std::vector<std::string> names() { return {event_traits<Types>::type()...}; }
};

}  // namespace tidemark
