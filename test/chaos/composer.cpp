#include "composer.h"

#include <algorithm>
#include <cstdio>

#include "accounts.h"

namespace chaos {

namespace {

std::string array_of(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "{" : ",") + name;
    return text + "}";
}

std::string account(int number) { return "account-" + std::to_string(number); }
std::string amount(std::int64_t money) { return ", \"amount\": " + std::to_string(money); }
std::string limit(std::int64_t money) { return ", \"limit\": " + std::to_string(money); }

}  // namespace

std::string Composer::draw_id() {
    const std::uint64_t high = ids_(), low = ids_();
    char text[37];
    std::snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%012llx", static_cast<unsigned>(high >> 32),
                  static_cast<unsigned>(high >> 16 & 0xffff), static_cast<unsigned>(high & 0xfff),
                  static_cast<unsigned>(0x8000 | (low >> 48 & 0x3fff)),
                  static_cast<unsigned long long>(low & 0xffffffffffff));
    return text;
}

std::string Composer::pick_stream() {
    const std::string category = categories[dice_.between(0, 3)];
    if (dice_.chance(3)) return category + "-new-" + std::to_string(number_) + "-" + draw_id().substr(0, 8);
    // Some are in demand.
    return category + "-" + std::to_string(dice_.between(1, dice_.between(1, 8)));
}

Composer::Expectation Composer::pick_expectation() {
    const int roll = dice_.between(1, 100);
    return roll <= 50   ? Expectation::read
           : roll <= 80 ? Expectation::nothing
           : roll <= 88 ? Expectation::locked
           : roll <= 96 ? Expectation::existing
                        : Expectation::missing;
}

Event Composer::draw_event(const std::string& type, const std::string& data) {
    Event event;
    event.id = draw_id();
    event.type = type;
    event.data = data;
    return event;
}

std::vector<Event> Composer::draw_events() {
    int count = 1;
    if (dice_.chance(2)) {
        count = 200;
        journal_.count("bulk appends");
    } else if (dice_.chance(40)) {
        count = dice_.between(2, 5);
    }
    std::vector<Event> events;
    while (count-- > 0) events.push_back(draw_event("Chaos" + std::to_string(dice_.between(1, 5))));
    return events;
}

// Expects of each stream the version that is read here: of all at one moment, or of one after the other.
void Composer::read_versions(const std::vector<Write*>& writes) {
    const auto expect = [](Write& write, std::int64_t version) { write.expected = version == 0 ? no_stream : version; };
    if (dice_.chance(80)) {
        for (Write* write : writes)
            expect(*write, session_.run("SELECT es_stream_version($1)", {write->stream}).number(0, 0));
        return;
    }
    std::vector<std::string> streams;
    for (Write* write : writes) streams.push_back(write->stream);
    const Rows rows = session_.run(
        "SELECT coalesce(max(version), 0) FROM unnest($1::text[]) WITH ORDINALITY AS asked (stream_id, place)"
        " LEFT JOIN es_read_streams($1) USING (stream_id) GROUP BY place ORDER BY place",
        {array_of(streams)});
    for (std::size_t i = 0; i < writes.size(); ++i) expect(*writes[i], rows.number(static_cast<int>(i), 0));
}

Call Composer::seal(Call call) {
    for (Write& write : call.writes) {
        if (write.events.empty()) journal_.count("streams only checked");
        for (Event& event : write.events) event.stream = write.stream;
    }
    if (call.writes.size() > 1) journal_.count("appends to many streams");
    call.id = draw_id();
    chaos::seal(call, number_, serial_, dice_);
    return call;
}

Call Composer::anything(Held& held) {
    Call call;
    const std::size_t count = dice_.chance(40) ? static_cast<std::size_t>(dice_.between(2, 4)) : 1;
    while (call.writes.size() < count) {
        const std::string stream = pick_stream();
        if (std::ranges::find(call.writes, stream, &Write::stream) == call.writes.end())
            call.writes.push_back({stream});
    }
    std::vector<Write*> unread;
    for (Write& write : call.writes) {
        if (dice_.chance(count == 1 ? 95 : 60)) write.events = draw_events();
        const Expectation expectation = pick_expectation();
        if (expectation == Expectation::existing) write.expected = stream_exists;
        if (expectation == Expectation::missing) write.expected = no_stream;
        if (expectation == Expectation::read) unread.push_back(&write);
        if (expectation != Expectation::locked) continue;
        const auto version = session_.run("SELECT es_lock_stream($1)", {write.stream}).number(0, 0);
        held[write.stream] = version;
        write.expected = dice_.chance(50) ? any : version == 0 ? no_stream : version;
    }
    if (!unread.empty()) read_versions(unread);
    call.held = held;
    return seal(std::move(call));
}

Call Composer::business() { return dice_.chance(90) ? transfer() : change_of_rule(); }

Call Composer::change_of_rule() {
    journal_.count("rules changed");
    const Event event = draw_event("RuleChanged", limit(dice_.between(1, 100)));
    return seal({.writes = {{rule_stream, dice_.chance(50) ? any : stream_exists, {event}}}});
}

Call Composer::transfer() {
    std::vector<std::string> streams;
    for (int i = 1; i <= account_count; ++i) streams.push_back(account(i));
    dice_.shuffle(streams);
    streams.resize(static_cast<std::size_t>(dice_.between(2, 4)));
    streams.push_back(rule_stream);
    // The richest account first, the rule last.
    const Rows rows = session_.run(
        "SELECT stream_id, max(version), coalesce(sum((data->>'amount')::bigint), 0)::bigint AS balance,"
        " (array_agg(data->'limit' ORDER BY version DESC) FILTER (WHERE stream_id = $2))[1]"
        " FROM es_read_streams($1) GROUP BY stream_id ORDER BY stream_id = $2, balance DESC",
        {array_of(streams), rule_stream});
    const int rule = rows.size() - 1;
    const std::int64_t receivers = rule - 1, affordable = rows.number(0, 2) / receivers;
    if (affordable < 1) return change_of_rule();

    journal_.count("transfers");
    const bool ruled = dice_.chance(80);
    const auto most = std::min(affordable, ruled ? rows.number(rule, 3) : affordable);
    Call call;
    std::int64_t sum = 0;
    for (int row = 1; row < rule; ++row) {
        const int money = dice_.between(1, static_cast<int>(most));
        sum += money;
        // What is paid in cannot overdraw an account, whatever happens to it meanwhile.
        const std::int64_t expected = dice_.chance(50) ? any : dice_.chance(20) ? stream_exists : rows.number(row, 1);
        call.writes.push_back({rows.text(row, 0), expected, {draw_event("Deposited", amount(money))}});
    }
    const std::string data = (ruled ? limit(rows.number(rule, 3)) : "") + amount(-sum);
    call.writes.push_back({rows.text(0, 0), rows.number(0, 1), {draw_event("Withdrawn", data)}});
    if (ruled) call.writes.push_back({rule_stream, rows.number(rule, 1)});
    dice_.shuffle(call.writes);
    return seal(std::move(call));
}

Call Composer::opening() {
    Call call;
    for (int i = 1; i <= account_count; ++i)
        call.writes.push_back({account(i), no_stream, {draw_event("Deposited", amount(opening_balance))}});
    call.writes.push_back({rule_stream, no_stream, {draw_event("RuleChanged", limit(opening_balance))}});
    return seal(std::move(call));
}

}  // namespace chaos
