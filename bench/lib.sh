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
  local n text
  for ((n = 1; n <= $1; n++)); do
    text=${2//@n@/$n}
    printf '%s%s' "$text" "$([ "$n" = "$1" ] || echo ', ')"
  done
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

# run_pgbench WORKLOAD FILE CLIENTS SYNC SECONDS [EVENTS]: "transactions a second, transactions" of a system's statement
# in $PGDATABASE.
run_pgbench() {
  local script=$work/script.pgbench said variables=() variable events
  { cat "$top/bench/workloads/$1"; statement "$2" "${6:-1}"; } >"$script"
  events=[$(listed "${6:-1}" "$EVENT")]
  if [ -e "${2%/*}/variables.sql" ]; then
    while read -r variable; do variables+=(-D "$variable"); done < <(sql -f "${2%/*}/variables.sql")
  fi
  said=$(PGOPTIONS="-c synchronous_commit=$4" pgbench -n -M prepared -T "$5" -c "$3" -j "$(($3 < 2 ? 1 : 2))" \
    -f "$script" -D n=0 -D base="$(date +%s%6N)" -D data="$DATA" -D metadata="$METADATA" -D event="[$EVENT]" \
    -D events="$events" -D loaded="$loaded" "${variables[@]}" 2>&1) ||
    { echo "$said" >&2; die "$PGDATABASE: $1 failed"; }
  sed -n 's/^tps = \([0-9.]*\).*/\1/p; s/^number of transactions actually processed: \([0-9]*\).*/\1/p' <<<"$said" |
    paste -s -d ' ' | awk '{ print $2, $1 }'
}

# appended SYSTEM: how many events its log has been given positions for.
appended() { sql -f "$systems/$1/appended.sql"; }

# append_rate SYSTEM WORKLOAD FILE CLIENTS SYNC SECONDS [EVENTS]: events a second that are in the log afterwards,
# whatever the calls have answered.
append_rate() {
  local before after tps processed
  before=$(appended "$1")
  read -r tps processed < <(run_pgbench "$2" "$systems/$1/$3.sql" "$4" "$5" "$6" "${7:-1}")
  after=$(appended "$1")
  awk -v tps="$tps" -v processed="$processed" -v n="$((after - before))" \
    'BEGIN { if (processed > 0) print tps / processed * n }'
}

# read_rate SYSTEM WORKLOAD FILE SECONDS: reads a second.
read_rate() {
  run_pgbench "$2" "$systems/$1/$3.sql" "${5:-1}" on "$4" | cut -d' ' -f1
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
