# W1 to W5: events a second at rising numbers of clients, and what one append costs the server.
# shellcheck shell=bash disable=SC2154

# appends WORKLOAD SYNC CLIENTS ...
appends() {
  local workload=$1 sync=$2 clients events=1 file=append participants=("${all[@]}")
  case $workload in
    w3_*) events=${workload#w3_} file=append_many ;;
    w5) events=3 file=append_three ;;
  esac
  one() {
    if [ "$1" = emmett-driver ]; then
      export PGDATABASE=emmett-work
      sample "$workload" "$sync" "$clients" "$1" "$(PGOPTIONS="-c synchronous_commit=$sync" \
        node "$PACKAGES/driver.mjs" "$workload" "$clients" "$seconds" "$DATA" "$METADATA" |
        awk -v n="$events" '{ print $1 * n }')"
    else
      export PGDATABASE=$1-work
      sample "$workload" "$sync" "$clients" "$1" \
        "$(append_rate "$1" "${workload%_*}" "$file" "$clients" "$sync" "$seconds" "$events")"
    fi
  }
  [ -n "$short" ] || [ "$workload" = w5 ] || participants+=(emmett-driver)
  for clients in "${@:3}"; do in_turn one "${participants[@]}"; done
}

measure_appends() {
  local workload sync
  fresh
  if [ -n "$short" ]; then
    appends w1 off 1 8 64
    appends w1 on 8
    for workload in w2 w4; do appends $workload off 8; done
    appends w3_100 off 1
  else
    for workload in w1 w2 w3_10 w3_100 w4 w5; do
      for sync in on off; do
        appends $workload $sync 1 4 8 16 64
        fresh
      done
    done
  fi
  one() {
    local microseconds bytes
    export PGDATABASE=$1-work
    read -r microseconds bytes < <(loop "$1" "$([ -n "$short" ] && echo 3000 || echo 20000)")
    sample cpu off 1 "$1" "$microseconds"
    sample wal off 1 "$1" "$bytes"
  }
  in_turn one "${all[@]}"
}
