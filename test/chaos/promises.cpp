#include "promises.h"

#include <algorithm>
#include <functional>
#include <string>
#include <unordered_map>

#include "accounts.h"
#include "call.h"

namespace chaos {

namespace {

// How streams grew.
class Growth {
  public:
    explicit Growth(const std::vector<Logged>& log) {
        for (const Logged& logged : log) positions_[logged.event.stream].push_back(logged.event.position);
    }
    std::int64_t version_at(const std::string& stream, std::int64_t position) const {
        const auto found = positions_.find(stream);
        if (found == positions_.end()) return 0;
        return std::ranges::lower_bound(found->second, position) - found->second.begin();
    }

  private:
    std::unordered_map<std::string, std::vector<std::int64_t>> positions_;
};

std::string at(std::int64_t position, const std::string& stream, std::int64_t version) {
    return "at position " + std::to_string(position) + " " + stream + " is at version " + std::to_string(version);
}

std::vector<Check> judge_calls(Connection& session, std::int64_t origin) {
    const Rows rows = session.run(
        "SELECT position, data->>'call', (data->>'at')::bigint, (data->>'of')::bigint, metadata->>'correlation_id'"
        " FROM es_events WHERE position > $1 ORDER BY position",
        {std::to_string(origin)});
    Troubles torn, astray;
    std::string call;
    std::int64_t position = 0, place = 0, count = 0;
    for (int row = 0; row < rows.size(); ++row) {
        const std::string what = "position " + rows.text(row, 0) + ", append " + rows.text(row, 1) + ", event " +
                                 rows.text(row, 2) + " of " + rows.text(row, 3);
        const bool goes_on = rows.text(row, 1) == call && rows.number(row, 0) == position + 1 &&
                             rows.number(row, 2) == place + 1 && rows.number(row, 3) == count;
        if (!goes_on && (rows.number(row, 2) != 1 || place != count)) torn.add(what);
        if (rows.text(row, 4) != rows.text(row, 1)) astray.add(what + ": " + rows.text(row, 4));
        call = rows.text(row, 1);
        position = rows.number(row, 0), place = rows.number(row, 2), count = rows.number(row, 3);
    }
    if (place != count) torn.add("the end of the log");
    return {
        {"every append is in the log with all of its events, in their order, at consecutive positions", torn.text()},
        {"the correlation id of an append is in the metadata of each of its events", astray.text()}};
}

// Whether what the events keep under the key, an array of streams and versions, was true when their call was made.
template <typename Holds>
std::string judge_kept(Connection& session, const std::string& key, std::int64_t origin, const Growth& growth,
                       Holds holds) {
    const Rows rows = session.run(
        "SELECT position - (data->>'at')::bigint + 1, kept->>0, (kept->>1)::bigint"
        " FROM es_events, jsonb_array_elements(data->$2) AS kept WHERE position > $1 ORDER BY position",
        {std::to_string(origin), key});
    Troubles broken;
    for (int row = 0; row < rows.size(); ++row) {
        const auto version = growth.version_at(rows.text(row, 1), rows.number(row, 0));
        if (!holds(rows.number(row, 2), version))
            broken.add(at(rows.number(row, 0), rows.text(row, 1), version) + ", not " + rows.text(row, 2));
    }
    return broken.text();
}

std::string judge_told(const Ledger& ledger, const Growth& growth) {
    Troubles broken;
    for (const Told& told : ledger.told()) {
        const auto version = growth.version_at(told.stream, told.position);
        if (version != told.version)
            broken.add(at(told.position, told.stream, version) + ", not " + std::to_string(told.version));
    }
    return broken.text();
}

}  // namespace

std::vector<Check> judge_promises(Connection& session, const std::vector<Logged>& log, const Ledger& ledger,
                                  std::int64_t origin) {
    const Growth growth(log);
    std::vector<Check> checks = judge_calls(session, origin);
    checks.push_back({"what an append expected of its streams, also of those only checked, was true at its place",
                      judge_kept(session, "asked", origin, growth, matches)});
    checks.push_back({"streams that a transaction had written to, checked or locked stood still for its later appends",
                      judge_kept(session, "held", origin, growth, std::equal_to<std::int64_t>())});
    checks.push_back({"the versions that appends were told of streams they only checked are true at their places",
                      judge_told(ledger, growth)});
    Accounts accounts;
    for (const Logged& logged : log) accounts.take(logged.event);
    checks.push_back({"no account is overdrawn anywhere in the log", accounts.overdrawn().text()});
    checks.push_back({"the accounts' total is the same at the end of every append", accounts.unbalanced().text()});
    checks.push_back({"every transfer went by the rule that was in force at its place", accounts.unruly().text()});
    return checks;
}

}  // namespace chaos
