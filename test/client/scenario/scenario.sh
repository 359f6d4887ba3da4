#!/usr/bin/env bash
# The scenario by psql, as scripts would: values stand in the statements as literals. PostgreSQL itself makes the
# statements from the file.
#
#   scenario.sh CONNINFO SCENARIO
set -eu
here=$(dirname "$0")
statements=$(psql -XAtq -v ON_ERROR_STOP=1 -v "scenario=$(cat "$2")" -f "$here/statements.sql" "$1")
# Errors come with their SQLSTATE, and with places in the source and in the statement, which are left out. So are
# warnings, which drivers hand over by the way.
{
  printf '%s\n' '\set VERBOSITY verbose' '\set SHOW_CONTEXT never' 'SET client_min_messages = error;'
  printf '%s\n' "$statements"
} | psql -XAtq -P 'null=(null)' "$1" 2>&1 | sed -E '/^(LOCATION|SCHEMA NAME):/d; /^LINE [0-9]+: /{N;d}'
