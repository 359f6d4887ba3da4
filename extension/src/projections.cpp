// Making and removing projections.
#include "catch_up.h"
#include "guard.h"
#include "locks.h"
#include "parking.h"
#include "projection.h"
#include "snapshot_scope.h"
#include "subscriptions.h"
#include "sync_projections.h"
#include "waiting.h"

extern "C" {
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/timestamp.h"
}

namespace tidemark {

namespace {

constexpr int64 DEFAULT_DELAY = 1000;  // milliseconds
constexpr int64 LONGEST_DELAY = int64(24) * 60 * 60 * 1000;

// The arguments of es_create_projection.
enum Argument { NAME, HANDLER, FILTER, MODE = FILTER + 3, START, ON_ERROR, RETRIES, RETRY_DELAY, TABLES };

// One of the words; the hint lists them.
template <size_t Count>
std::string_view word_argument(FunctionCallInfo fcinfo, int number, const char* what,
                               const std::string_view (&words)[Count]) {
    const std::string_view given = view(text_argument(fcinfo, number, what));
    if (std::find(words, words + Count, given) != words + Count) return given;
    std::string hint = "Give ";
    for (size_t i = 0; i < Count; i++) hint += (i == 0 ? "" : i + 1 < Count ? ", " : " or ") + quoted(words[i]);
    throw bad_argument(std::string("invalid ") + what, "It is " + quoted(given) + ".", hint + ".");
}

int32 retries_argument(FunctionCallInfo fcinfo, int number) {
    refuse_null(fcinfo, number, "retries", "Give 0 or more.");
    const int32 retries = PG_GETARG_INT32(number);
    if (retries < 0)
        throw bad_argument("retries must not be negative", "It is " + std::to_string(retries) + ".", "Give 0 or more.");
    return retries;
}

// Why a rebuild could not work with the table, or null.
const char* table_problem(Oid table, const Oid* others, int count) {
    const char* name = OidIsValid(table) ? get_rel_name(table) : nullptr;
    if (name == nullptr) return "It is no table.";
    if (get_rel_relkind(table) != RELKIND_RELATION) return "It is not an ordinary table.";
    if (get_rel_persistence(table) == RELPERSISTENCE_TEMP) return "It is a temporary table.";
    if (get_rel_persistence(table) == RELPERSISTENCE_UNLOGGED) return "It is unlogged: a crash would empty it.";
    if (table < FirstNormalObjectId || OidIsValid(getExtensionOfObject(RelationRelationId, table)))
        return "It belongs to PostgreSQL or to an extension.";
    const bool is_repeated =
        std::any_of(others, others + count, [&](Oid other) { return strcmp(get_rel_name(other), name) == 0; });
    return is_repeated ? "Another one has the same name, and a handler names them without their schemas." : nullptr;
}

// The qualified names of the tables.
Datum tables_argument(FunctionCallInfo fcinfo, int number) {
    refuse_null(fcinfo, number, "tables", "Leave it out, or name the tables that the handler writes to.");
    Datum* elements;
    bool* nulls;
    int count;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(number), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &elements, &nulls,
                      &count);
    auto* tables = static_cast<Oid*>(palloc((count + 1) * sizeof(Oid)));
    for (int i = 0; i < count; i++) {
        tables[i] = nulls[i] ? InvalidOid : DatumGetObjectId(elements[i]);
        const char* problem = table_problem(tables[i], tables, i);
        if (problem != nullptr)
            throw bad_argument("a rebuild could not work with these tables",
                               "Element " + std::to_string(i + 1) + ": " + problem,
                               "Name the tables that the handler writes to.");
        const char* name = get_rel_name(tables[i]);
        if (!compat::owns_relation(tables[i], GetUserId()))
            throw sql_error(ERRCODE_INSUFFICIENT_PRIVILEGE, "must be owner of the projection's tables",
                            "Table " + quoted(name) + " is another role's.",
                            "Leave tables out, or let its owner create the projection.");
        const char* schema = get_namespace_name(get_rel_namespace(tables[i]));
        elements[i] = PointerGetDatum(cstring_to_text(quote_qualified_identifier(schema, name)));
    }
    return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

// The row of es_projections that the arguments ask for.
StateRow requested(FunctionCallInfo fcinfo, const ProjectionTables& tables, Relation events) {
    const Oid event = events->rd_rel->reltype;
    StateRow row = tables.projections.new_row();
    row.set_text(projection::NAME, name_argument(fcinfo, NAME, "projection name"));
    const std::string_view mode = word_argument(fcinfo, MODE, "mode", {"sync", "async"});
    row.set_text(projection::MODE, mode);
    const UserFunction handler = find_user_function(view(text_argument(fcinfo, HANDLER, "handler")),
                                                    {event, get_array_type(event)}, VOIDOID, "handler");
    row.set_text(projection::HANDLER, qualified_name(handler.function));
    row.set_text(projection::HANDLER_OWNER, function_owner_name(handler.function));
    row.set(projection::TAKES_BATCH, BoolGetDatum(handler.argument != event));
    row.set_text(projection::OWNER, current_role_name());
    row.set_text(projection::SEARCH_PATH, search_path_to_keep());
    row.set_text(projection::TIME_ZONE, pg_get_timezone_name(session_timezone));
    const std::string_view on_error = word_argument(fcinfo, ON_ERROR, "on_error", {"fail", "park", "retry"});
    row.set_text(projection::ON_ERROR, on_error);
    const int32 retries = retries_argument(fcinfo, RETRIES);
    const int64 delay = milliseconds_argument(fcinfo, RETRY_DELAY, "retry_delay", 1, LONGEST_DELAY);
    if (mode == "sync" && (on_error != "fail" || retries != 0 || delay != DEFAULT_DELAY))
        throw bad_argument("a sync projection has no strategy for errors",
                           "An error of its handler is an error of the append.",
                           "Leave out on_error, retries and retry_delay, or make it async.");
    row.set_integer(projection::RETRIES, retries);
    row.set_bigint(projection::RETRY_MILLISECONDS, delay);
    row.set(projection::TABLES, tables_argument(fcinfo, TABLES));
    row.set(projection::CREATED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
    return row;
}

// Whether they do the same. In whose name and under which settings is not asked: that stays as it is.
bool are_alike(const ProjectionTables& tables, const StateRow& one, const StateRow& other) {
    return tables.projections.are_alike(one, other, projection::HANDLER, projection::HANDLER) &&
           tables.projections.are_alike(one, other, projection::TAKES_BATCH, projection::TAKES_BATCH) &&
           tables.projections.are_alike(one, other, projection::TABLES, projection::TABLES);
}

void refuse_other(const ProjectionTables& tables, const StateRow& wanted, const EventFilter& filter,
                  const Subscription& known) {
    StateRow row;
    const char* problem = nullptr;
    if (!tables.find(known.name, &row))
        problem = "is a subscription without a handler";
    else if (!(filter == known.filter))
        problem = "has another filter";
    else if (!are_alike(tables, row, wanted))
        problem = "has another handler or other tables";
    else if (!tables.projections.are_alike(row, wanted, projection::MODE, projection::MODE) ||
             !tables.projections.are_alike(row, wanted, projection::ON_ERROR, projection::RETRY_MILLISECONDS))
        problem = "has another mode or another strategy for errors";
    if (problem != nullptr)
        throw sql_error(ERRCODE_DUPLICATE_OBJECT, "there is another projection or subscription of that name",
                        "It is named " + quoted(known.name) + ", and " + problem + ".",
                        "Choose another name, or drop it with es_drop_projection().");
}

// An async projection that has come along can become sync, so that a long history need not be projected in one
// transaction. Whether that is what is asked for.
bool can_become_sync(const ProjectionTables& tables, const StateRow& wanted, const EventFilter& filter,
                     const Subscription& known) {
    StateRow row;
    return tables.find(known.name, &row) && !Projection(row).is_sync && Projection(wanted).is_sync &&
           filter == known.filter && are_alike(tables, row, wanted);
}

// Keeps others from projecting until the transaction ends.
int64 checkpoint_to_go_on_from(const ProjectionTables& tables, const Subscription& subscription) {
    lock(partition_lock(subscription.name, 0));
    const SnapshotScope snapshot;
    const Partition partition = tables.subscriptions.partition(subscription.name, 0);
    const bool is_complete = parked_streams(tables.subscriptions, subscription.name).empty();
    snapshot.end();
    if (!is_complete)
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the projection has parked events",
                        "What is parked is not projected, and a sync projection leaves nothing out.",
                        "See es_parked(), and have them projected or given up with es_unpark().");
    return partition.read_from();
}

void become_sync(const ProjectionTables& tables, const Subscription& subscription) {
    const SnapshotScope snapshot;
    StateRow cursor = subscription.row, row;
    tables.subscriptions.partition_rows.remove(tables.subscriptions.partition(subscription.name, 0).row);
    cursor.set_integer(subscription::PARTITIONS, 0);
    tables.subscriptions.subscriptions.update(&cursor);
    tables.find(subscription.name, &row);
    row.set_text(projection::MODE, "sync");
    row.set_text(projection::ON_ERROR, "fail");
    row.set_integer(projection::RETRIES, 0);
    row.set_bigint(projection::RETRY_MILLISECONDS, DEFAULT_DELAY);
    tables.projections.update(&row);
    snapshot.end();
}

// The handler's statements are to see what others have done until appends are locked out.
void require_read_committed() {
    if (IsolationUsesXactSnapshot())
        throw sql_error(ERRCODE_ACTIVE_SQL_TRANSACTION, "a sync projection is made in READ COMMITTED transactions only",
                        "The transaction's snapshot is older than events that are to be projected.",
                        "BEGIN ISOLATION LEVEL READ COMMITTED before.");
}

void refuse_within_append(const char* function) {
    if (is_appending())
        throw sql_error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        std::string(function) + " cannot be called by a handler or a trigger of an append",
                        "The append in progress goes by the projections that there are.", "Call it by itself.");
}

}  // namespace

// es_create_projection(name, handler, category, event_types, stream_prefix, mode, start, on_error, retries,
// retry_delay, tables) → whether it was made
TIDEMARK_FUNCTION(tidemark_create_projection) {
    return pg_call([&] {
        require_read_write("es_create_projection()");
        refuse_within_append("es_create_projection()");
        const LogTables& log = log_tables(fcinfo);
        const ProjectionTables tables(log, RowExclusiveLock);
        Relation events = table_open(log.events, AccessShareLock);
        Relation head = table_open(log.head, AccessShareLock);
        StateRow row = requested(fcinfo, tables, events);
        const std::string_view name = row.name(projection::NAME);
        const EventFilter filter = filter_argument(fcinfo, FILTER);
        check_filter(filter);
        lock(subscription_lock(name));
        const SafeRead read = begin_safe_read(head, "es_create_projection()");
        int64 start = start_argument(fcinfo, START, read.position);
        read.end();
        const SnapshotScope snapshot;
        Subscription known;
        const bool is_new = !tables.subscriptions.find_subscription(name, &known);
        const bool becomes_sync = !is_new && can_become_sync(tables, row, filter, known);
        if (!is_new && !becomes_sync) refuse_other(tables, row, filter, known);
        const Projection projection(becomes_sync ? tables.projection(name).row : row);
        snapshot.end();
        if (Projection(row).is_sync && (is_new || becomes_sync)) require_read_committed();
        if (is_new) {
            if (projection.is_sync)
                start = catch_up(log, projection.handler, filter, events, head, start,
                                 view(PG_GETARG_TEXT_PP(START)) == "end");
            insert_subscription(fcinfo, FILTER, tables.subscriptions, name, projection.is_sync ? 0 : 1, start, true);
            row.set_bigint(projection::START_POSITION, start);
            tables.projections.insert(row);
        } else if (becomes_sync) {
            catch_up(log, projection.handler, filter, events, head, checkpoint_to_go_on_from(tables, known), false);
            become_sync(tables, known);
        }
        if (is_new || becomes_sync) {
            tables.announce_change();
            wake_at_end(WaitGroup::everything());
            wake_at_end(WaitGroup::progress(name));
        }
        table_close(head, NoLock);
        table_close(events, NoLock);
        tables.close();
        return BoolGetDatum(is_new || becomes_sync);
    });
}

// es_drop_projection(name) → whether there was one
TIDEMARK_FUNCTION(tidemark_drop_projection) {
    return pg_call([&] {
        require_read_write("es_drop_projection()");
        refuse_within_append("es_drop_projection()");
        const std::string_view name = name_argument(fcinfo, NAME, "projection name");
        const LogTables& log = log_tables(fcinfo);
        const ProjectionTables tables(log, RowExclusiveLock);
        lock(subscription_lock(name));
        const SnapshotScope snapshot;
        StateRow row;
        const bool exists = tables.find(name, &row);
        snapshot.end();
        if (exists) {
            // No append is to go on that still calls the handler.
            if (Projection(row).is_sync) lock_out_appends(log);
            const WholeSubscription whole(tables.subscriptions, name);
            remove_subscription(tables.subscriptions, whole);
            tables.projections.remove(row);
            tables.announce_change();
            whole.end();
        }
        tables.close();
        return BoolGetDatum(exists);
    });
}

}  // namespace tidemark
