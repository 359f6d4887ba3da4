# W1 to W5: events a second at rising numbers of clients, and what one append costs the server.
# shellcheck shell=bash disable=SC2154

# appends WORKLOAD SYNC CLIENTS ...
appends() {
  local workload=$1 sync=$2 clients participant events=1 file=append participants=("${appending[@]}") count
  case $workload in
    w3_*) events=${workload#w3_} file=append_many ;;
    w5) events=3 file=append_three participants=("${all[@]}") ;;
  esac
  start() {
    local system=${1%-driver} program
    export PGDATABASE=$1-work PGOPTIONS="-c synchronous_commit=$sync"
    # However long they would go on, they are ended when they have been measured.
    program=(pgbench_with "${workload%_*}" "$systems/$system/$file.sql" "$events" -T 3600 -c "$clients"
      -j $((clients < 2 ? 1 : 2)))
    [ "$1" = "$system" ] || program=(node "$PACKAGES/driver.mjs" "$workload" "$clients" 3600 "$DATA" "$METADATA")
    start_clients "$1" "$system" "$clients" "${program[@]}"
    unset PGOPTIONS
  }
  one() {
    export PGDATABASE=$1-work
    sample "$workload" "$sync" "$clients" "$1" "$(append_rate "$1" "${1%-driver}")"
  }
  for clients in "${@:3}"; do
    case $workload in w1 | w2) count=$turns ;; *) count=$few_turns ;; esac
    # One client that waits for the disk each time: nothing evens out how long that takes.
    [ "$clients" -gt 1 ] || count=$((2 * count))
    for participant in "${participants[@]}"; do start "$participant"; done
    checkpoint
    in_turn "$count" one "${participants[@]}"
    end_clients
  done
}

measure_appends() {
  local workload sync
  fresh
  if [ -n "$short" ]; then
    appends w1 off 1 16
    appends w1 on 8
    for workload in w2 w4; do appends $workload off 8; done
    appends w3_100 off 1
  else
    for workload in $workloads; do
      for sync in on off; do
        # shellcheck disable=SC2086
        appends $workload $sync $client_counts
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
  checkpoint
  in_turn "$rounds" one "${all[@]}"
}
