#include "projection.h"

#include "guard.h"

extern "C" {
#include "access/stratnum.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
}

namespace tidemark {

namespace {

const char* string(const StateRow& row, AttrNumber column) {
    return text_to_cstring(DatumGetTextPP(row.value(column).value));
}

}  // namespace

Projection::Projection(const StateRow& row)
    : row(row),
      name(row.name(projection::NAME)),
      is_sync(row.name(projection::MODE) == "sync"),
      handler{string(row, projection::NAME),          string(row, projection::HANDLER),
              string(row, projection::HANDLER_OWNER), row.boolean(projection::TAKES_BATCH),
              string(row, projection::OWNER),         string(row, projection::SEARCH_PATH),
              string(row, projection::TIME_ZONE)} {}

void check_constraints_at_once() {
    AfterTriggerSetState(makeNode(ConstraintsSetStmt));  // SET CONSTRAINTS ALL IMMEDIATE
}

bool ProjectionTables::find(std::string_view name, StateRow* row) const {
    const ScanKeyData key[] = {text_key(1, BTEqualStrategyNumber, name)};
    return projections.find(key, row);
}

Projection ProjectionTables::projection(std::string_view name) const {
    StateRow row;
    if (!find(name, &row))
        throw sql_error(UNKNOWN_SUBSCRIPTION, "there is no such projection", "It is named " + quoted(name) + ".",
                        "Create it with es_create_projection().");
    return Projection(row);
}

}  // namespace tidemark
