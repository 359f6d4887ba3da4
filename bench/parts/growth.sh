# S1: what a growing log costs.
# shellcheck shell=bash disable=SC2034,SC2154

# The cost of an append and of a page in a log of so many thousand events, and in one of 100,000 at the same time.
measure_growth() {
  local system size streams upto name workload loaded=100000
  one() {
    for name in small grown; do
      export PGDATABASE=$name PGOPTIONS='-c synchronous_commit=off'
      for workload in w1 w2; do
        sample growth_$workload $name "$size" "$1" \
          "$(append_rate "$1" 1 pgbench_with $workload "$systems/$1/append.sql" 1 -T 60)"
      done
      loaded=100000
      [ $name = small ] || loaded=$((size * 1000))
      sample growth_r2 $name "$size" "$1" "$(read_rate "$1" r2 read_log)"
      unset PGOPTIONS
    done
  }
  for system in reference tidemark; do
    for name in small grown; do
      create_database $name
      sql -d $name -f "$systems/$system/setup.sql"
      # With one long stream, the others have 10 events each.
      sql -d $name -v long=10000 -v data="$DATA" -v metadata="$METADATA" -f "$top/bench/load.sql" \
        -f "$systems/$system/load.sql" >/dev/null
      sql -d $name -c 'VACUUM ANALYZE'
    done
    sql -d grown -f "$systems/$system/grow.sql"
    streams=10000
    for size in $sizes; do
      upto=$((10000 + (size - 100) * 10))
      PGOPTIONS='-c synchronous_commit=off' sql -d grown -v data="$DATA" -v metadata="$METADATA" \
        <<<"CALL grow($streams, $upto - 1, :'data', :'metadata')"
      streams=$upto
      sql -d grown -c 'VACUUM ANALYZE'
      in_turn one $system
    done
    for name in small grown; do sql -d postgres -c "DROP DATABASE $name WITH (FORCE)"; done
  done
}
