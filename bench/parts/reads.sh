# R1 to R4: reads a second of one client.
# shellcheck shell=bash disable=SC2154

measure_reads() {
  local workload file participants system
  one() {
    export PGDATABASE=${1%-driver}
    if [ "$1" = emmett-driver ]; then
      sample "$workload" - 1 "$1" "$(node "$PACKAGES/driver.mjs" "$workload" 1 1 "$DATA" "$METADATA")"
    else
      sample "$workload" - 1 "$1" "$(read_rate "$1" "$workload" "$file")"
    fi
  }
  for workload in r1 r2 r3 r4; do
    case $workload in r1) file=read_stream ;; r3) file=read_category ;; *) file=read_log ;; esac
    participants=()
    for system in "${all[@]}"; do [ ! -e "$systems/$system/$file.sql" ] || participants+=("$system"); done
    [ $workload != r1 ] || [ -n "$short" ] || participants+=(emmett-driver)
    checkpoint
    in_turn "$rounds" one "${participants[@]}"
  done
}
