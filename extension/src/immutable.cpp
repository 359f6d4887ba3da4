// The statement trigger that keeps the log's tables from being changed by anything but Tidemark's functions, which
// write to them directly and fire no such trigger.
#include "guard.h"
#include "history.h"
#include "locks.h"
#include "log_head.h"
#include "snapshot_scope.h"

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

// Events may come from a dump until the log's first append. The lock keeps that append waiting until they are
// committed, so that it sees what positions there are; the line is held from the beginning, for they come in any order.
bool begin_restore(const LogTables& tables) {
    const LOCKTAG tag = lock_tag(LockKind::MAINTENANCE);
    LockAcquire(&tag, ShareLock, false, false);
    lock_as_appender(tables);
    Relation head = table_open(tables.head, RowExclusiveLock);
    const bool is_new = read_head(head).is_new;
    if (is_new) hold_line(head, 1);
    table_close(head, RowExclusiveLock);
    return is_new;
}

void end_restore(const LogTables& tables) {
    CommandCounterIncrement();
    Relation events = table_open(tables.events, AccessShareLock);
    Relation head = table_open(tables.head, RowExclusiveLock);
    const SnapshotScope snapshot;
    raise_head(head, highest_event(events));
    snapshot.end();
    table_close(head, RowExclusiveLock);
    table_close(events, NoLock);
}

}  // namespace

TIDEMARK_FUNCTION(tidemark_refuse_change) {
    return pg_call([&] {
        if (!CALLED_AS_TRIGGER(fcinfo))
            throw sql_error(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, "es_refuse_change() is a trigger function",
                            "It was called by itself.");
        const auto* trigger = reinterpret_cast<const TriggerData*>(fcinfo->context);
        const LogTables& tables = log_tables(fcinfo);
        const bool of_events =
            TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && RelationGetRelid(trigger->tg_relation) == tables.events;
        if (of_events && TRIGGER_FIRED_AFTER(trigger->tg_event)) {
            end_restore(tables);
        } else if (!of_events || !begin_restore(tables)) {
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
