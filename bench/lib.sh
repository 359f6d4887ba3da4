# Shared by bench/run and its parts: databases, statements, samples. Source it; needs bash, and scripts/common.sh.
# shellcheck shell=bash disable=SC2154

# The same order everywhere: about 300 bytes of data, 90 of metadata.
DATA='{"order": 42, "customer": "c-123456", "currency": "EUR", "total": 129.90, '
DATA+='"lines": [{"sku": "SKU-0001", "qty": 2, "price": 39.95}, {"sku": "SKU-0002", "qty": 1, "price": 50.00}], '
DATA+='"ship_to": {"name": "A. Customer", "street": "Main Street 1", "zip": "12345", "city": "Springfield"}}'
METADATA='{"correlation_id": "0d1b2c3d-aaaa-4bbb-8ccc-1234567890ab", "user": "a.customer"}'
EVENT="{\"type\": \"OrderPlaced\", \"data\": $DATA, \"metadata\": $METADATA}"

sql() { psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# create_database NAME [TEMPLATE]: text compares byte by byte in all of them, which is the cheapest for every system.
create_database() {
  PGOPTIONS='-c client_min_messages=warning' sql -d postgres -c "DROP DATABASE IF EXISTS \"$1\" WITH (FORCE)"
  sql -d postgres -c "CREATE DATABASE \"$1\" TEMPLATE \"${2:-template0}\" LOCALE 'C' LOCALE_PROVIDER libc
                      STRATEGY file_copy"
  # What message-db's functions need; no other system has that schema.
  sql -d postgres -c "ALTER DATABASE \"$1\" SET search_path = message_store, public"
}

# listed COUNT TEXT: the text so many times, with @n@ for the number, and commas between.
listed() {
  local n list=
  for ((n = 1; n <= $1; n++)); do list+=", ${2//@n@/$n}"; done
  printf '%s' "${list#, }"
}

# statement FILE [EVENTS]: a system's statement as pgbench takes it, with parameters for all that a client would send.
statement() {
  local text number stream id="(:unique || '0000000000000001')"
  text=$(grep -v '^--' "$1")
  for number in '' 1 2 3; do
    stream="('category' || :category$number || '-' || :stream$number)"
    text=${text//@stream$number@/$stream}
  done
  text=${text//@event_id@/$id}
  if [[ $text == *@rows@* ]]; then text=${text//@rows@/$(listed "$2" '(@n@, :data::jsonb, :metadata::jsonb)')}; fi
  if [[ $text == *@data@* ]]; then
    text=${text//@data@/$(listed "$2" ':data')}
    text=${text//@metadata@/$(listed "$2" ':metadata')}
  fi
  printf '%s\n' "${text//@n@/${2:-1}}"
}

# numbered FILE: the statement with numbered parameters, as bench/following takes it.
numbered() {
  grep -v '^--' "$1" | sed "s/@stream@/\$1/g; s/@event_id@/\$2/g; s/:data/\$3/g; s/:metadata/\$4/g
    s/:unique/substr(\$2, 1, 16)/g; s/'category' || :category/'category7'/g
    s/:count/\$1/g; s/:after_transaction/\$3/g; s/:after/\$2/g"
}

# sample WORKLOAD SYNC CLIENTS SYSTEM VALUE: keeps a measured value.
sample() {
  [ -n "$5" ] || die "$4: no result of $1"
  printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$work/samples.tsv"
}

# pgbench_with WORKLOAD FILE EVENTS ARGUMENT ...: becomes pgbench, with a system's statement.
pgbench_with() {
  local script=$work/script.pgbench events variables=() variable
  { cat "$top/bench/workloads/$1"; statement "$2" "$3"; } >"$script"
  events=[$(listed "$3" "$EVENT")]
  if [ -e "${2%/*}/variables.sql" ]; then
    while read -r variable; do variables+=(-D "$variable"); done < <(sql -f "${2%/*}/variables.sql")
  fi
  exec pgbench -n -M prepared -f "$script" -D n=0 -D base="$(date +%s%6N)" -D data="$DATA" -D metadata="$METADATA" \
    -D event="[$EVENT]" -D events="$events" -D loaded="$loaded" "${variables[@]}" "${@:4}"
}

# appended SYSTEM: the last position that it has handed out.
appended() { sql -f "$systems/$1/appended.sql"; }

# The clients of all systems that are compared are there from the first round to the last, and stopped while it is not
# their turn: turns can be short then, and whatever else keeps the machine busy meets all alike. The server carries out
# what a stopped client has sent.
declare -A clients_of

# start_clients NAME SYSTEM COUNT COMMAND ...: so many clients, stopped once they are warm: sessions first fill their
# caches and compile functions, which those of a pool have behind them.
start_clients() {
  local before
  before=$(appended "$2")
  "${@:4}" >"$work/$1.log" 2>&1 &
  clients_of[$1]=$!
  while [ "$(appended "$2")" = "$before" ]; do
    check_clients "$1"
    sleep 0.02
  done
  sleep "$(awk -v count="$3" 'BEGIN { print 0.3 + 0.7 * count / 64 }')"
  kill -STOP "${clients_of[$1]}"
}

check_clients() { kill -0 "${clients_of[$1]}" 2>/dev/null || { cat "$work/$1.log" >&2; die "$1: no clients"; }; }

# append_rate NAME SYSTEM: events a second that come into the log in one turn of these clients, by the server's clock.
append_rate() {
  local rate
  kill -CONT "${clients_of[$1]}"
  rate=$(sql -v seconds="$seconds" -v count="($(sed 's/;$//' "$systems/$2/appended.sql"))" <<'SQL'
SELECT pg_sleep(0.1) AS slept \gset
SELECT :count AS before, clock_timestamp() AS since \gset
SELECT pg_sleep(:seconds) AS slept \gset
SELECT (:count - :before) / extract(epoch FROM clock_timestamp() - :'since');
SQL
  )
  kill -STOP "${clients_of[$1]}"
  check_clients "$1"
  echo "$rate"
}

end_clients() {
  [ ${#clients_of[@]} -gt 0 ] || return 0
  kill "${clients_of[@]}" 2>/dev/null || true
  kill -CONT "${clients_of[@]}" 2>/dev/null || true
  wait "${clients_of[@]}" 2>/dev/null || true
  clients_of=()
}

# warm DATABASE SYSTEM WORKLOAD SECONDS: appends until what the workload needs is in memory.
warm() {
  (PGDATABASE=$1 pgbench_with "$3" "$systems/$2/append.sql" 1 -T "$4" -c 4 >"$work/clients.log" 2>&1) ||
    { cat "$work/clients.log" >&2; die "$2 cannot append"; }
}

# read_rate SYSTEM WORKLOAD FILE: reads a second, by one client.
read_rate() {
  local said
  said=$(pgbench_with "$2" "$systems/$1/$3.sql" 1 -T 1 2>&1) || { echo "$said" >&2; die "$PGDATABASE: $2 failed"; }
  sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$said"
}

# loop SYSTEM COUNT: that many transactions of one append each, to new streams, within one backend; prints microseconds
# of its processor time and bytes of WAL for each.
loop() {
  local call=$work/loop.sql
  # As pgbench would send it, with variables of the procedure in place of parameters.
  {
    echo "CREATE OR REPLACE PROCEDURE append_in_loop(base bigint, count integer, data jsonb, metadata jsonb)
      LANGUAGE plpgsql AS \$\$ BEGIN FOR i IN 1 .. count LOOP"
    statement "$systems/$1/append.sql" | sed '1s/^SELECT/PERFORM/; s/:unique/(base + i)/g; s/:stream/(base + i)/g
      s/:category/(i % 20)/g; s/:data/data/g; s/:metadata/metadata/g'
    echo "COMMIT; END LOOP; END \$\$;"
  } >"$call"
  cat >>"$call" <<'SQL'
CHECKPOINT;
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1) AS nanoseconds, pg_current_wal_insert_lsn() AS lsn \gset
CALL append_in_loop(:base, :count, :'data', :'metadata');
SELECT (split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint - :nanoseconds) / 1000.0 / :count,
       (pg_current_wal_insert_lsn() - :'lsn') / :count;
SQL
  PGOPTIONS='-c synchronous_commit=off' sql -F ' ' -v base="$(date +%s%6N)" -v count="$2" -v data="$DATA" \
    -v metadata="$METADATA" -f "$call" | tail -n 1
}
