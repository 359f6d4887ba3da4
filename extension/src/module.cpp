// The shared library's entry: what PostgreSQL checks before it loads us.
#include "pg_compat.h"

extern "C" {
__attribute__((visibility("default"))) extern const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
PG_MODULE_MAGIC;
}
