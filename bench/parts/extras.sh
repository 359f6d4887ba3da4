# What else: what projections, the C++ client and subscriptions cost, each against what one would do by hand. Writes
# tables of its own, $work/extras.md.
# shellcheck shell=bash disable=SC2154

# milliseconds STATEMENT: how long it takes.
milliseconds() { sql -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
range() { sort -g | awk '{ v[NR] = $1 } END { printf "%g to %g", v[1], v[NR] }'; }

# compare TITLE UNIT OURS THEIRS: runs the two commands in turn and prints a row with both medians and their ratio.
compare() {
  local title=$1 unit=$2 round
  : >ours; : >theirs
  for ((round = 0; round < rounds; round++)); do
    eval "$3" >>ours
    eval "$4" >>theirs
  done
  awk -v title="$title" -v unit="$unit" -v a="$(median <ours)" -v b="$(median <theirs)" \
    -v ra="$(range <ours)" -v rb="$(range <theirs)" \
    'BEGIN { printf "| %s | %.4g %s (%s) | %.4g %s (%s) | %.2f |\n", title, a, unit, ra, b, unit, rb, a / b }'
}

# repeat UNIT COMMAND ...: the median and the range of the rounds.
repeat() {
  local unit=$1 round
  shift
  for ((round = 0; round < rounds; round++)); do "$@"; done >ours
  printf '%.4g %s (%s)' "$(median <ours)" "$unit" "$(range <ours)"
}

# table COLUMN ...: the head of a table.
table() {
  local column line='|' rule='|'
  for column; do line+=" $column |"; rule+=' --- |'; done
  printf '\n%s\n%s\n' "$line" "$rule"
}

# per_append PROCEDURE CATEGORY: microseconds for each append to new streams of the category.
per_append() {
  milliseconds "CALL $1('$2', (20000 * nextval('base'))::integer, 20000)" | awk '{ print $1 * 1000 / 20000 }'
}
per_call() { milliseconds "DO 'BEGIN FOR i IN 1 .. 100000 LOOP PERFORM $1; END LOOP; END'" | awk '{ print $1 / 100 }'; }
# sync_projection WANTED: whether there is one.
sync_projection() {
  local statement="SELECT es_drop_projection('counter')"
  ! "$1" || statement="SELECT es_create_projection('counter', 'count_event', 'counted', mode => 'sync')"
  sql -c "$statement" >/dev/null
}
# projected NAME: how many events a second.
projected() {
  sql -c "SELECT es_reset_subscription('$1', 0)" -c 'TRUNCATE revenue' >/dev/null
  milliseconds "CALL es_run_projection('$1')" | awk '{ print 400000 / $1 * 1000 }'
}
client() { "$top/build/bench/client_bench" "host=$work user=postgres dbname=$PGDATABASE" "$@"; }
subscriptions() { "$top/build/bench/subscriptions_bench" "host=$work user=postgres dbname=$PGDATABASE" "$@"; }

projections() {
  local i
  for i in {1..20}; do
    sql -c "BEGIN; SELECT es_append('flight-$i', 'X'); PREPARE TRANSACTION 'flight-$i'" >/dev/null
  done
  table what Tidemark 'plain SQL' ratio
  compare 'es_safe_position(), 20 in flight, against SELECT 1' us 'per_call "es_safe_position()"' 'per_call 1'
  for i in {1..20}; do sql -c "ROLLBACK PREPARED 'flight-$i'" >/dev/null; done

  sql -f "$top/bench/extras/projections.sql" >/dev/null
  table 'appending, a transaction each' with without ratio
  compare 'a sync projection for another category' us 'sync_projection true; per_append append_events uncounted' \
    'sync_projection false; per_append append_events uncounted'
  sync_projection true
  compare 'a sync projection of one UPDATE, against that by hand' us 'per_append append_events counted' \
    'per_append append_and_update byhand'
  table 'projecting 400,000 events' ''
  echo "| by a handler for one event | $(repeat events/s projected one_by_one) |"
  echo "| by a handler for batches | $(repeat events/s projected in_batches) |"
}

# The same calls by the client and by bare libpq, over the same socket.
client_calls() {
  table 'the C++ client, microseconds each' client 'the other' ratio
  compare 'append one event and wait, against bare libpq' us 'client append 10000' 'client append-libpq 10000'
  compare 'append one event, pipelined, against waiting for each' us 'client append-pipeline 20000' \
    'client append 10000'
  compare 'read an event, in pages, against bare libpq' us 'client read 200000' 'client read-libpq 200000'
}

subscribing() {
  local what events part rate rates=(10 1000 1000000) without
  table 'from the answer to COMMIT to the consumer having the event' ''
  echo "| one consumer waits | $(repeat us subscriptions latency 1 each) |"
  echo "| one of 50 that wait gets it, each waits for another category | $(repeat us subscriptions latency 50 one) |"
  echo "| one of 50 that wait gets it, they share one subscription | $(repeat us subscriptions latency 50 group) |"
  echo "| each of 50 that wait gets it | $(repeat us subscriptions latency 50 each) |"
  table appending with without ratio
  for what in category type; do
    compare "50 consumers that wait for another $what" appends/s "subscriptions appends 50 $what" \
      "subscriptions appends 0 $what"
  done

  events=$((${TIDEMARK_BENCH_EVENTS:-1000} * 1000))
  sql -c "CALL fill_sparse($events)" -c 'VACUUM ANALYZE es_events'
  table 'catching up, for each event' 'es_fetch and es_ack' SELECT ratio
  compare "$events events" us "subscriptions fetch $events ''" "subscriptions select $events ''"
  part=$((events / 20))
  compare 'one category of 20' us "subscriptions fetch $part sparse7" "subscriptions select $part sparse7"
  for rate in "${rates[@]}"; do
    repeat ms subscriptions sparse "OneIn$rate" >"sparse_$rate"
  done
  without=$(repeat us per_append append_events order)
  sql -c 'CREATE INDEX ON es_events (event_type, position)'
  table 'reading the whole log for one type' 'without an index' 'with one'
  for rate in "${rates[@]}"; do
    echo "| 1 in $rate | $(cat "sparse_$rate") | $(repeat ms subscriptions sparse "OneIn$rate") |"
  done
  echo "| one append | $without | $(repeat us per_append append_events order) |"
}

measure_extras() {
  cmake -S "$top" -B "$top/build/bench" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTIDEMARK_BUILD_BENCH=ON \
    -DTIDEMARK_BUILD_TESTS=OFF -DTIDEMARK_BUILD_EXAMPLES=OFF >/dev/null
  cmake --build "$top/build/bench" -j"$(nproc)" >/dev/null
  export PGDATABASE=extras PGOPTIONS='-c synchronous_commit=off'
  create_database extras
  sql -v data="$DATA" -v metadata="$METADATA" -f "$top/bench/extras/setup.sql"
  { projections; client_calls; subscribing; } >"$work/extras.md"
  unset PGOPTIONS
}
