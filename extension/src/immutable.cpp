// The statement trigger that keeps the log's tables from being changed by anything but Tidemark's functions, which
// write to them directly and fire no such trigger.
#include "guard.h"
#include "history.h"
#include "locks.h"
#include "log_head.h"

extern "C" {
#include "commands/trigger.h"
}

namespace tidemark {

namespace {

const char* verb(const TriggerData* trigger) {
    if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event)) return "inserted";
    if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)) return "updated";
    if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event)) return "deleted";
    return "truncated";
}

// Rows may come from a dump, before the log's first append; the lock keeps that one waiting until they are committed,
// so that it sees what positions there are.
bool is_restore(const LogTables& tables, const TriggerData* trigger) {
    if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || RelationGetRelid(trigger->tg_relation) != tables.events)
        return false;
    const LOCKTAG tag = lock_tag(LockKind::MAINTENANCE);
    LockAcquire(&tag, ShareLock, false, false);
    Relation head = table_open(tables.head, AccessShareLock);
    const bool started = has_started(read_head(head).timeline);
    table_close(head, AccessShareLock);
    return !started;
}

}  // namespace

TIDEMARK_FUNCTION(tidemark_refuse_change) {
    return pg_call([&] {
        if (!CALLED_AS_TRIGGER(fcinfo))
            throw sql_error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "es_refuse_change() is a trigger function");
        const auto* trigger = reinterpret_cast<const TriggerData*>(fcinfo->context);
        if (!is_restore(log_tables(fcinfo), trigger)) {
            const char* message =
                psprintf("rows of %s cannot be %s", RelationGetRelationName(trigger->tg_relation), verb(trigger));
            throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message,
                            "The log is append-only; only the functions of the extension tidemark write to it.",
                            "Append with es_append(). To correct a fact, append an event that says so.");
        }
        return PointerGetDatum(nullptr);
    });
}

}  // namespace tidemark
