#include "worker.h"

#include "guard.h"
#include "projection_runner.h"

#include <algorithm>

extern "C" {
#include "access/stratnum.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/varlena.h"
}

namespace tidemark {

namespace {

char* databases = nullptr;
int workers = 1;
constexpr int MOST_WORKERS = 64;
constexpr int SECONDS_TO_RESTART = 5;
constexpr int64 MAX_COUNT = 1000;  // of events in a batch

// The schema that Tidemark is installed in, in this database.
Oid find_schema() {
    Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("tidemark"));
    SysScanDesc scan = systable_beginscan(extensions, ExtensionNameIndexId, true, nullptr, 1, &key);
    HeapTuple row = systable_getnext(scan);
    const Oid schema =
        HeapTupleIsValid(row) ? reinterpret_cast<Form_pg_extension>(GETSTRUCT(row))->extnamespace : InvalidOid;
    systable_endscan(scan);
    table_close(extensions, AccessShareLock);
    return schema;
}

void begin_transaction() {
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
}

void next_transaction() {
    pgstat_report_stat(false);
    if (ConfigReloadPending) {
        ConfigReloadPending = false;
        ProcessConfigFile(PGC_SIGHUP);
    }
    begin_transaction();
}

void commit() {
    CommitTransactionCommand();
    next_transaction();
}

void rollback() {
    AbortCurrentTransaction();
    next_transaction();
}

// Waits until there is one.
Oid await_schema() {
    for (;;) {
        const Oid schema = find_schema();
        if (OidIsValid(schema)) return schema;
        CommitTransactionCommand();
        WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SECONDS_TO_RESTART * 1000L,
                  PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        begin_transaction();
    }
}

// Never returns: an error ends the process, and the postmaster starts another one.
Datum run_worker(FunctionCallInfo) {
    const Oid schema = pg_call([] {
        pqsignal(SIGHUP, SignalHandlerForConfigReload);
        pqsignal(SIGTERM, die);
        BackgroundWorkerUnblockSignals();
        BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, nullptr, 0);
        pgstat_report_activity(STATE_RUNNING, "running projections");
        begin_transaction();
        MemoryContextSwitchTo(TopMemoryContext);
        return await_schema();
    });
    run_projections(schema, {nullptr, MAX_COUNT, PG_INT64_MAX}, commit, rollback);
    return Datum(0);
}

void register_worker(const char* database, int number) {
    BackgroundWorker worker = {};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = SECONDS_TO_RESTART;
    strlcpy(worker.bgw_library_name, "tidemark", sizeof(worker.bgw_library_name));
    strlcpy(worker.bgw_function_name, "tidemark_worker", sizeof(worker.bgw_function_name));
    strlcpy(worker.bgw_type, "tidemark projections", BGW_MAXLEN);
    snprintf(worker.bgw_name, BGW_MAXLEN, "tidemark projections in %s, worker %d", database, number);
    strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
    RegisterBackgroundWorker(&worker);
}

}  // namespace

void register_workers() {
    DefineCustomStringVariable(
        "tidemark.databases", "The databases whose async projections are run by background workers.",
        "Names, separated by commas.", &databases, "", PGC_POSTMASTER, GUC_LIST_INPUT, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("tidemark.workers", "How many background workers run the projections of each database.",
                            nullptr, &workers, 1, 1, MOST_WORKERS, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
    if (IsBinaryUpgrade) return;
    List* names = NIL;
    if (!SplitIdentifierString(pstrdup(databases), ',', &names))
        throw sql_error(ERRCODE_INVALID_PARAMETER_VALUE, "tidemark.databases is no list of names",
                        std::string("It is ") + databases + ".", "Separate the databases by commas.");
    ListCell* cell;
    foreach (cell, names)
        for (int number = 1; number <= workers; number++) register_worker(static_cast<char*>(lfirst(cell)), number);
}

}  // namespace tidemark

extern "C" {
__attribute__((visibility("default"))) void tidemark_worker(Datum);
void tidemark_worker(Datum) { tidemark::sql_entry(nullptr, tidemark::run_worker); }
}
