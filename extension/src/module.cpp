// The shared library's entry: what PostgreSQL checks before it loads us, and the settings.
#include "upcasting.h"

extern "C" {
#include "utils/guc.h"

__attribute__((visibility("default"))) extern const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
PG_MODULE_MAGIC;

__attribute__((visibility("default"))) void _PG_init(void);
void _PG_init(void) {
    tidemark::define_upcasting_settings();
    MarkGUCPrefixReserved("tidemark");
}
}
