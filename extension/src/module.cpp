// The shared library's entry: what PostgreSQL checks before it loads us, the settings, and the background workers.
#include "guard.h"
#include "upcasting.h"
#include "worker.h"

extern "C" {
#include "utils/guc.h"

__attribute__((visibility("default"))) extern const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
PG_MODULE_MAGIC;

__attribute__((visibility("default"))) void _PG_init(void);
void _PG_init() {
    tidemark::sql_entry(nullptr, [](FunctionCallInfo) {
        return tidemark::pg_call([] {
            tidemark::define_upcasting_settings();
            if (process_shared_preload_libraries_in_progress) tidemark::register_workers();
            MarkGUCPrefixReserved("tidemark");
            return Datum(0);
        });
    });
}
}
