// No two users have one e-mail address. Addresses are noted in a table by a synchronous projection, so in the very
// transaction of the append, and the table's UNIQUE constraint refuses what the events of a single user cannot tell.
//
//     ./unique_email "dbname=shop"
#include <iostream>
#include <stdexcept>
#include <string>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct Registered {
    static constexpr std::string_view event_type = "UserRegistered";
    std::string email;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Registered, email)

struct EmailChanged {
    static constexpr std::string_view event_type = "EmailChanged";
    std::string email;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(EmailChanged, email)

constexpr const char* CONSTRAINT = "example_email_is_unique";

void create_projection(Connection& shop) {
    shop.execute(
        "CREATE TABLE IF NOT EXISTS example_email (stream text PRIMARY KEY, email text NOT NULL, "
        "CONSTRAINT example_email_is_unique UNIQUE (email))");
    shop.execute(
        "CREATE OR REPLACE FUNCTION example_note_email(event es_events) RETURNS void LANGUAGE sql AS $$ "
        "INSERT INTO example_email VALUES (event.stream_id, lower(event.data ->> 'email')) "
        "ON CONFLICT (stream) DO UPDATE SET email = excluded.email $$");
    // From here on no append gets past it; users who are there already are noted, too.
    shop.projection("example-emails")
        .create({.handler = "example_note_email",
                 .filter = {.category = "user"},
                 .mode = ProjectionDefinition::Mode::sync,
                 .tables = {"example_email"}});
}

// Whether the address was free.
template <typename E>
bool try_to_append(Connection& shop, const std::string& user, const E& event, ExpectedVersion expected) {
    try {
        shop.append(user, event, expected);
        std::cout << "accepted: " << event.email << "\n";
        return true;
    } catch (const server_error& refused) {
        if (refused.constraint() != CONSTRAINT) throw;
        std::cout << "refused: " << event.email << ", by " << refused.constraint() << "\n";
        return false;
    }
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    Connection shop(count > 1 ? arguments[1] : "");
    create_projection(shop);
    const std::string run = Uuid::make().to_string();  // each run has users of its own
    const std::string ann = "user-ann-" + run, bob = "user-bob-" + run, domain = "@" + run + ".example";
    const auto register_user = [&](const std::string& user, const std::string& email) {
        return try_to_append(shop, user, Registered{email + domain}, ExpectedVersion::no_stream());
    };

    require(register_user(ann, "mail"), "the first user has the address");
    require(!register_user(bob, "Mail"), "the second user does not get it");
    require(shop.stream_version(bob) == 0, "and nothing of him is in the log");
    require(register_user(bob, "bob"), "with another address he registers");
    require(!try_to_append(shop, bob, EmailChanged{"mail" + domain}, 1), "nor does he get it by a change");
    require(try_to_append(shop, ann, EmailChanged{"ann" + domain}, 1), "the first user takes another one");
    require(try_to_append(shop, bob, EmailChanged{"mail" + domain}, 1), "so that the address is free");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
