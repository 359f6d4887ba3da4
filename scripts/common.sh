# Shared by the scripts of this folder: the packages, the unprivileged user, throw-away clusters. Source it; needs bash.
# shellcheck shell=bash

PG_MAJOR=${PG_MAJOR:-15}
PG_BIN=/usr/lib/postgresql/$PG_MAJOR/bin

# What building and running the extension takes, the C++ client, and the tests on top. The scripts that source this use
# them.
# shellcheck disable=SC2034
BUILD_PACKAGES=(g++ make "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR")
# shellcheck disable=SC2034
CLIENT_PACKAGES=(cmake pkgconf libpq-dev nlohmann-json3-dev)
# shellcheck disable=SC2034
TEST_PACKAGES=("${CLIENT_PACKAGES[@]}" clang-format shellcheck perl libipc-run-perl libssl-dev pgbouncer
  catch2 python3-psycopg)

note() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# as_root COMMAND ...: as it is for root, through sudo for anybody else.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "needs root, or sudo, for: $*"
  fi
}

# install_packages NAME ...: installs those that are missing, quietly, and without starting anything.
install_packages() {
  local missing=() name log status=0
  for name in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  note "installing: ${missing[*]}"
  log=$(mktemp)
  (
    # postgresql-common would create and start a cluster with each new server, and pgbouncer a pooler; nobody asked for
    # one. Where a machine has a policy of its own on what may start, it stays.
    no_cluster=/etc/postgresql-common/createcluster.d/tidemark.conf
    policy=/usr/sbin/policy-rc.d
    [ ! -e $policy ] || grep -q tidemark $policy || policy=
    trap 'as_root rm -f $no_cluster $policy' EXIT
    as_root mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | as_root tee $no_cluster >/dev/null
    if [ -n "$policy" ]; then
      printf '#!/bin/sh\n# of tidemark\nexit 101\n' | as_root tee $policy >/dev/null
      as_root chmod +x $policy
    fi
    # A stale index of some other repository is no reason to stop; what matters is whether the packages install.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
  ) >"$log" 2>&1 </dev/null || status=$?
  [ $status -eq 0 ] || { tail -n 20 "$log" >&2; rm -f "$log"; die "could not install ${missing[*]}"; }
  rm -f "$log"
}

# build_and_install [MAKE ARGUMENT ...]: builds in the checkout and installs into PostgreSQL $PG_MAJOR.
build_and_install() {
  make -s -j"$(nproc)" PG_CONFIG="$PG_BIN/pg_config" "$@" || die "the build failed"
  as_root make -s install PG_CONFIG="$PG_BIN/pg_config" >/dev/null || die "the installation failed"
}

# The user who runs servers: PostgreSQL refuses root, so root steps down to postgres.
server_user() { if [ "$(id -u)" -eq 0 ]; then echo postgres; else id -un; fi; }
as_server_user() {
  if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# make_work_dir: prints a new directory of the server user's. Always in /tmp: the path of a socket has to be short.
make_work_dir() { as_server_user mktemp -d -p /tmp --suffix=.tidemark; }

# start_test_server DIR [SETTING ...]: a cluster with its data, socket and server.log in DIR, which is the server
# user's; superuser postgres, no TCP, no fsync. Call it from a directory that the server user can enter.
# Text sorts as in a dictionary there, as it does in most databases: what relies on the order of bytes has to say so.
start_test_server() {
  local dir=$1
  shift
  as_server_user "$PG_BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
    --locale-provider=icu --icu-locale=en-US --no-sync >"$dir/initdb.log" 2>&1 ||
    { cat "$dir/initdb.log" >&2; return 1; }
  printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$dir'" "fsync = off" "$@" |
    as_server_user tee -a "$dir/data/postgresql.conf" >/dev/null
  as_server_user "$PG_BIN/pg_ctl" -D "$dir/data" -l "$dir/server.log" -s -w start ||
    { tail -n 20 "$dir/server.log" >&2; return 1; }
}

# stop_test_servers DIR: stops at once the servers that have their data below DIR.
stop_test_servers() {
  local pid_file
  find "$1" -name postmaster.pid 2>/dev/null | while read -r pid_file; do
    as_server_user "$PG_BIN/pg_ctl" -D "${pid_file%/*}" -s -m immediate stop >/dev/null 2>&1
  done
}
