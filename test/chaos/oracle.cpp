#include "oracle.h"

#include <map>
#include <unordered_map>
#include <unordered_set>

namespace chaos {

namespace {

bool concerns(const Reader& reader, const Logged& logged) {
    return reader.plan().category.empty() || reader.plan().category == logged.category;
}

}  // namespace

std::vector<Logged> read_log(Connection& session) {
    const Rows rows =
        session.run(std::string("SELECT ") + event_columns + ", category FROM es_events ORDER BY position");
    std::vector<Logged> log;
    log.reserve(static_cast<std::size_t>(rows.size()));
    for (int row = 0; row < rows.size(); ++row) {
        const Event event = event_at(rows, row);
        log.push_back({event, rows.text(row, 6), digest_of(event)});
    }
    return log;
}

Digest chain_of(const std::vector<Logged>& log) {
    Chain chain;
    for (const Logged& logged : log) chain.add(logged.digest);
    return chain.value();
}

Difference compare(const Reader& reader, const std::vector<Logged>& log) {
    std::map<std::int64_t, const Digest*> wanted;
    for (const Logged& logged : log)
        if (concerns(reader, logged)) wanted.emplace(logged.event.position, &logged.digest);

    Difference difference;
    std::unordered_set<std::int64_t> met;
    std::int64_t highest = 0;
    auto next = wanted.begin();
    difference.same = reader.seen().size() == wanted.size();
    for (const auto& [position, digest] : reader.seen()) {
        difference.same = difference.same && next->first == position && *next->second == digest;
        if (next != wanted.end()) ++next;
        const auto found = wanted.find(position);
        if (found == wanted.end() || *found->second != digest) ++difference.altered;
        if (!met.insert(position).second) ++difference.doubled;
        if (position < highest) ++difference.reordered;
        highest = std::max(highest, position);
    }
    for (const auto& [position, digest] : wanted) difference.lost += !met.contains(position);
    return difference;
}

std::vector<Check> judge_log(const std::vector<Logged>& log, const Ledger& ledger, std::int64_t origin) {
    Troubles missing, altered, undead, strange, torn, disordered;
    std::unordered_map<std::string, const Event*> doubted;
    for (const auto& [id, events] : ledger.in_doubt())
        for (const Event& event : events) doubted.emplace(event.id, &event);

    std::unordered_set<std::string> present;
    std::map<std::string, std::int64_t> versions;
    for (const auto& [event, category, digest] : log) {
        std::int64_t& version = versions[event.stream];
        if (event.version != version + 1)
            disordered.add(describe(event) + ", after version " + std::to_string(version));
        version = event.version;
        if (event.position <= origin) continue;

        present.insert(event.id);
        const auto promise = ledger.acknowledged().find(event.id);
        const auto doubt = doubted.find(event.id);
        if (promise == ledger.acknowledged().end() && doubt == doubted.end())
            (ledger.attempted(event.id) ? undead : strange).add(describe(event));
        else if (const Event& told = promise != ledger.acknowledged().end() ? promise->second : *doubt->second;
                 event != told || category != told.category())
            altered.add(describe(event) + ", but told " + describe(told));
    }
    for (const auto& [id, event] : ledger.acknowledged())
        if (!present.contains(id)) missing.add(describe(event));
    for (const auto& [first_id, events] : ledger.in_doubt()) {
        std::size_t found = 0;
        for (const Event& event : events) found += present.contains(event.id);
        if (found != 0 && found != events.size())
            torn.add(std::to_string(found) + " of " + std::to_string(events.size()) + " events, " +
                     describe(events.front()));
    }
    return {{"every append acknowledged by COMMIT is in the log", missing.text()},
            {"every event is in the log as its writer was told, position and version included", altered.text()},
            {"nothing that was rolled back is in the log", undead.text()},
            {"the log has no event that nobody wrote", strange.text()},
            {"a transaction whose outcome its writer never learnt is in the log whole or not at all", torn.text()},
            {"in every stream the versions in position order are 1, 2, 3 and so on", disordered.text()}};
}

std::vector<Check> judge_reader(const Reader& reader, const std::vector<Logged>& log) {
    const std::string who = "reader " + reader.plan().name;
    const Difference difference = compare(reader, log);
    if (reader.plan().naive)
        return {{"the naive reader loses events in the same run, so the test bites",
                 difference.lost > 0 ? "" : "it lost none of " + std::to_string(log.size())}};

    Chain wanted;
    for (const Logged& logged : log)
        if (concerns(reader, logged)) wanted.add(logged.digest);
    const bool agrees = reader.chain().value() == wanted.value();
    const std::string numbers = std::to_string(difference.lost) + " lost, " + std::to_string(difference.doubled) +
                                " doubled, " + std::to_string(difference.altered) + " altered, " +
                                std::to_string(difference.reordered) + " reordered";
    std::vector<Check> checks = {
        {who + " saw the log in position order, whole", difference.same ? "" : numbers},
        {who + " saw no event twice", difference.doubled == 0 ? "" : numbers},
        {who + " saw the versions of every stream in order",
         reader.out_of_order() == 0 ? "" : std::to_string(reader.out_of_order()) + " events out of order"},
        {who + " has the SHA-256 chain of the log",
         agrees ? "" : hex(reader.chain().value()) + " is not " + hex(wanted.value())}};
    if (reader.plan().category.empty())
        checks.push_back({who + " saw the accounts' total preserved at the end of every append",
                          reader.accounts().unbalanced().text()});
    return checks;
}

Check judge_verify(Connection& session) {
    Troubles broken;
    const Rows rows = session.run("SELECT problem, stream_id, version, position, detail FROM es_verify()");
    for (int row = 0; row < rows.size(); ++row)
        broken.add(rows.text(row, 0) + ", stream '" + rows.text(row, 1) + "', version " + rows.text(row, 2) +
                   ", position " + rows.text(row, 3) + ": " + rows.text(row, 4));
    return {"es_verify() finds nothing broken", broken.text()};
}

}  // namespace chaos
