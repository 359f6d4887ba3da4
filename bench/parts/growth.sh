# S1: what a growing log costs.
# shellcheck shell=bash disable=SC2034,SC2154

# The cost of an append and of a page in a log of so many thousand events, and in one of 100,000 at the same time. The
# first change to a page after a checkpoint puts the whole page into the WAL, and a new stream meets any page of the
# index by stream, of which a grown log has hundreds of thousands: what an append costs is measured right after a
# checkpoint, and once most of these pages have been changed.
measure_growth() {
  local system size streams upto name workload state
  append() {
    export PGDATABASE=$1
    sample "growth_$workload$state" "$1" "$size" "$system" "$(append_rate "$1" "$system")"
  }
  page() {
    local loaded=100000
    export PGDATABASE=$1
    [ "$1" = small ] || loaded=$((size * 1000))
    sample growth_r2 "$1" "$size" "$system" "$(read_rate "$system" r2 read_log)"
  }
  export PGOPTIONS='-c synchronous_commit=off'
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
      sql -d grown -v data="$DATA" -v metadata="$METADATA" <<<"CALL grow($streams, $upto - 1, :'data', :'metadata')"
      streams=$upto
      sql -d grown -c 'VACUUM ANALYZE'
      sync  # the disk is busy with what was loaded
      for workload in w1 w2; do
        for name in small grown; do
          export PGDATABASE=$name
          start_clients $name $system 1 pgbench_with $workload "$systems/$system/append.sql" 1 -T 3600
        done
        checkpoint
        state=_checkpoint
        in_turn "$turns" append small grown
        warm small $system $workload 2
        warm grown $system $workload $((2 + 2 * size / 1000))
        state=
        in_turn "$turns" append small grown
        end_clients
      done
      checkpoint
      in_turn "$rounds" page small grown
    done
    for name in small grown; do sql -d postgres -c "DROP DATABASE $name WITH (FORCE)"; done
  done
  unset PGOPTIONS
}
