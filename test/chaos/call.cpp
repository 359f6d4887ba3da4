#include "call.h"

namespace chaos {

namespace {

std::string quoted(const std::string& text) { return '"' + text + '"'; }

std::string json_of(const std::vector<Event>& events, const std::string& metadata) {
    std::string json;
    for (const Event& event : events)
        json += (json.empty() ? "" : ", ") + ("{\"type\": " + quoted(event.type)) + ", \"id\": " + quoted(event.id) +
                ", \"data\": " + event.data + (metadata.empty() ? "" : ", \"metadata\": " + metadata) + "}";
    return "[" + json + "]";
}

std::string json_of(std::int64_t expected, bool by_name) {
    if (by_name && expected == any) return "\"any\"";
    if (by_name && expected == no_stream) return "\"no stream\"";
    if (by_name && expected == stream_exists) return "\"stream exists\"";
    return std::to_string(expected);
}

std::string json_of(const std::vector<Write>& writes, Dice& dice) {
    std::string json;
    for (const Write& write : writes) {
        json += (json.empty() ? "" : ", ") + ("{\"stream\": " + quoted(write.stream));
        if (write.expected != any || dice.chance(50))
            json += ", \"expected\": " + json_of(write.expected, dice.chance(50));
        if (!write.events.empty() || dice.chance(50)) json += ", \"events\": " + json_of(write.events, "");
        json += "}";
    }
    return "[" + json + "]";
}

// As jsonb prints an array of pairs.
void add_pair(std::string& pairs, const std::string& stream, std::int64_t version) {
    pairs += (pairs.empty() ? "[" : ", [") + quoted(stream) + ", " + std::to_string(version) + "]";
}

}  // namespace

bool matches(std::int64_t expected, std::int64_t version) {
    if (expected == no_stream) return version == 0;
    if (expected == stream_exists) return version > 0;
    return expected == any || (expected == version && version > 0);
}

std::vector<Event> Call::events() const {
    std::vector<Event> all;
    for (const Write& write : writes) all.insert(all.end(), write.events.begin(), write.events.end());
    return all;
}

std::string describe(const Call& call) {
    std::string text = "the append " + call.id;
    for (const Write& write : call.writes)
        text += ", of " + std::to_string(write.events.size()) + " events to " + write.stream + " expecting " +
                std::to_string(write.expected);
    return text;
}

void seal(Call& call, unsigned writer, long& serial, Dice& dice) {
    std::string asked, held;
    std::size_t count = 0, place = 0;
    for (const Write& write : call.writes) {
        add_pair(asked, write.stream, write.expected);
        count += write.events.size();
    }
    for (const auto& [stream, version] : call.held) add_pair(held, stream, version);
    for (Write& write : call.writes)
        for (Event& event : write.events) {
            const int length = dice.chance(2) ? 5000 : dice.between(0, 40);
            ++serial;
            // In the form in which jsonb prints it, so that it can be compared as text: short keys first.
            event.data = "{\"n\": " + std::to_string(serial) + ", \"at\": " + std::to_string(++place) +
                         ", \"by\": " + std::to_string(writer) + ", \"of\": " + std::to_string(count) +
                         ", \"call\": " + quoted(call.id) + ", \"held\": [" + held + "], \"note\": " +
                         quoted(std::string(static_cast<std::size_t>(length), static_cast<char>('a' + serial % 26))) +
                         ", \"asked\": [" + asked + "]" + event.data + "}";
        }
}

Rows send(Connection& session, Dice& dice, const Call& call) {
    const Write& write = call.writes.front();
    const std::string metadata = "{\"correlation_id\": " + quoted(call.id) + "}";
    const std::string expected = std::to_string(write.expected);
    if (call.writes.size() == 1 && write.events.size() == 1 && dice.chance(50)) {
        const Event& event = write.events.front();
        return session.run("SELECT * FROM es_append($1, $2, $3, $4, $5, $6)",
                           {write.stream, event.type, event.data, metadata, expected, event.id});
    }
    if (call.writes.size() == 1 && dice.chance(50))
        return session.run("SELECT * FROM es_append_events($1, $2, $3)",
                           {write.stream, json_of(write.events, metadata), expected});
    return session.run("SELECT * FROM es_append_streams($1, $2)", {json_of(call.writes, dice), call.id});
}

std::string take_reply(Call& call, const Rows& reply) {
    bool sound = reply.size() == static_cast<int>(call.writes.size());
    std::string rows;
    std::int64_t position = 0;  // of the event that comes next, once there was one
    call.is_duplicate = reply.size() > 0 && reply.truth(0, 5);
    for (int row = 0; sound && row < reply.size(); ++row) {
        Write& write = call.writes[static_cast<std::size_t>(row)];
        for (int column = 0; column < 6; ++column) rows += (column == 0 ? "; " : " ") + reply.text(row, column);
        write.told = reply.number(row, 2);
        std::int64_t version = write.told - static_cast<std::int64_t>(write.events.size());
        const auto held = call.held.find(write.stream);
        sound = reply.text(row, 0) == write.stream && matches(write.expected, version) &&
                (held == call.held.end() || held->second == version) && reply.truth(row, 5) == call.is_duplicate;
        if (write.events.empty()) {
            sound = sound && reply.null(row, 1) && reply.null(row, 3) && reply.null(row, 4);
            continue;
        }
        if (position == 0) position = reply.number(row, 3);
        sound = sound && reply.number(row, 1) == version + 1 && reply.number(row, 3) == position;
        for (Event& event : write.events) {
            event.version = ++version;
            event.position = position++;
        }
        sound = sound && reply.number(row, 4) == position - 1;
    }
    return sound ? "" : describe(call) + " was answered with" + rows;
}

}  // namespace chaos
