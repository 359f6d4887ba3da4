# S1: what a growing log costs.
# shellcheck shell=bash disable=SC2034,SC2154

# The cost of an append and of a page in a log of so many thousand events, and in one of 100,000 at the same time.
measure_growth() {
  local system size streams=10000 upto measure name database loaded=100000
  one() {
    for database in small grown; do
      export PGDATABASE=$database
      loaded=100000
      for measure in w1 w2; do
        sample "growth_$measure" $database "$size" "$1" "$(append_rate "$1" $measure append 1 off "$seconds")"
      done
      [ $database = small ] || loaded=$((size * 1000))
      sample growth_r2 $database "$size" "$1" "$(read_rate "$1" r2 read_log "$seconds")"
    done
  }
  for system in reference tidemark; do
    export PGDATABASE=grown
    for name in grown small; do
      create_database $name
      sql -d $name -f "$systems/$system/setup.sql"
      sql -d $name -v long=1000000 -v data="$DATA" -v metadata="$METADATA" -f "$top/bench/load.sql" \
        -f "$systems/$system/load.sql" >/dev/null
      sql -d $name -c 'VACUUM ANALYZE'
    done
    sql -f "$systems/$system/grow.sql"
    for size in $sizes; do
      upto=$((10000 + (size - 100) * 10))
      PGOPTIONS='-c synchronous_commit=off' sql -v data="$DATA" -v metadata="$METADATA" \
        <<<"CALL grow($streams, $upto - 1, :'data', :'metadata')"
      streams=$upto
      sql -c 'VACUUM ANALYZE'
      in_turn one "$system"
    done
    streams=10000
    for name in grown small; do sql -d postgres -c "DROP DATABASE $name WITH (FORCE)"; done
  done
}
