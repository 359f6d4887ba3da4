// Temporary copies of a projection's tables, which a rebuild fills while the real ones are read.
//
// They have the names of the real ones, and a handler that runs with pg_temp first in its search_path writes to them,
// unless it names the schema. In the end the real tables get their rows. That is done by statements, not by exchanging
// the tables: readers see the old rows until the transaction commits, and views, rights and references stay as they
// are.
#pragma once

#include "pg_compat.h"

#include <span>

namespace tidemark {

class ShadowTables {
  public:
    // Of the tables by their qualified names, an array of text. Throws 42P01 where one is missing.
    explicit ShadowTables(Datum names);

    bool empty() const { return tables.empty(); }
    void create() const;
    void drop() const;
    // Throws 55000 where the running transaction has written to a real table.
    void check_untouched() const;
    // Makes the rows of the real tables those of the copies. Touches only rows that differ, where there is a primary
    // key.
    void replace_rows() const;

  private:
    struct Table {
        Oid oid;
        const char* name;      // qualified
        const char* copy;      // likewise
        const char* inserted;  // columns: all but those that are generated
        const char* updated;   // those of them that can differ in rows of one key; null: none
        bool replaces_rows;    // that differ; or updates them
        const char* same_key;  // compares the primary keys; null: there is none
        const char* identity;  // the column that is one; null: none
    };
    static std::span<const Table> find(Datum names);
    static Table describe(const char* name);
    static void update_rows(const Table& table);
    static void follow_identity(const Table& table);

    const std::span<const Table> tables;
};

}  // namespace tidemark
