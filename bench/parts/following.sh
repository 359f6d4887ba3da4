# R5 to R7: readers beside writers, by bench/following.cpp.
# shellcheck shell=bash disable=SC2154

# How often a reader asks that finds nothing, in milliseconds: Emmett's and Eventide's default; Tidemark's readers wait.
declare -A pause=([tidemark]=0 [message-db]=100 [emmett]=50 [plain]=100)

# follow SYSTEM READ WHAT ...: reads by the system's statement of that name.
follow() {
  numbered "$systems/$1/append.sql" >append.sql
  numbered "$systems/$1/$2.sql" >read.sql
  local transaction=0
  export PGDATABASE=$1-work
  [ ! -e "$systems/$1/variables.sql" ] || transaction=$(sql -f "$systems/$1/variables.sql" | sed 's/.*=//')
  ./following "dbname=$PGDATABASE" append.sql read.sql "$(appended "$1")" "$transaction" "${@:3}"
}

measure_following() {
  local system case
  # way SYSTEM: how it reads what has happened; not every one can read the whole log.
  way() { if [ -e "$systems/$1/read_log.sql" ]; then echo read_log; else echo read_category; fi; }
  fresh
  for system in reference "${stores[@]}"; do
    sample r5 - - "$system" "$(follow "$system" "$(way "$system")" stall)"
    for case in position transaction; do
      sample r6_$case - - "$system" "$(follow "$system" "$(way "$system")" late $case)"
    done
  done
  one() {
    local waiting events=10
    [ -z "$short" ] || events=5
    waiting=$(way "$1")
    sample r7_polling - - "$1" "$(follow "$1" "$waiting" latency 0 $events)"
    [ ! -e "$systems/$1/wait.sql" ] || waiting="wait"
    sample r7 - - "$1" "$(follow "$1" "$waiting" latency "${pause[$1]}" $events)"
  }
  checkpoint
  in_turn "$rounds" one "${stores[@]}"
}
