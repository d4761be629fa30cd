#!/usr/bin/env bash
# Build the image, start the server, migrate its database on the host, and wait until it is ready.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: build-and-start.sh [--no-docker | --migrate-only | --down]

  (nothing)       build and start the container, migrate on the host, wait until it is ready
  --no-docker     the same with a local process in place of the container
  --migrate-only  set this machine up and migrate, and start nothing
  --down          stop what was started

PORT (3000) is where the server answers. The database is data/meetings.sqlite.
TEXT
}

say() { printf '%s\n' "$*"; }
die() {
  printf 'build-and-start.sh: %s\n' "$*" >&2
  exit 2
}

mode=docker
case "${1:-}" in
  '') ;;
  --no-docker) mode=local ;;
  --migrate-only) mode=migrate ;;
  --down) mode=down ;;
  -h | --help)
    usage
    exit 0
    ;;
  *) die "there is no $1; see --help" ;;
esac
[ $# -le 1 ] || die "one option at a time; see --help"

self=${BASH_SOURCE[0]}
while [ -L "$self" ]; do # a link may lead here from anywhere
  cd "$(dirname "$self")"
  self=$(readlink "$(basename "$self")")
done
cd "$(dirname "$self")"
root=$PWD
database=$root/data/meetings.sqlite
export PORT="${PORT:-3000}"
pid_file=$root/data/server.pid

# The database holds secrets, and the log may hold sign-in codes.
make_data() {
  mkdir -p data
  [ ! -O data ] || chmod 700 data
}

# What is needed.

find_python() {
  python=${PYTHON:-python3}
  command -v "$python" >/dev/null || die "$python is missing; install Python 3.10 or newer"
  "$python" - <<'CODE' || exit 2
import sqlite3, sys
if sys.version_info < (3, 10):
    sys.exit(f"build-and-start.sh: Python {sys.version.split()[0]} is too old; install 3.10 or newer")
if sqlite3.sqlite_version_info < (3, 37, 0):
    sys.exit(f"build-and-start.sh: its SQLite {sqlite3.sqlite_version} is too old; 3.37 is needed")
try:
    import ensurepip, venv
except ModuleNotFoundError:
    sys.exit("build-and-start.sh: Python's venv is missing; on Debian: apt install python3-venv")
CODE
}

find_docker() {
  command -v docker >/dev/null || die "docker is missing; install it, or use --no-docker"
  docker info >/dev/null 2>&1 \
    || die "no Docker engine answers; start it, join the group docker, or use --no-docker"
  docker compose version >/dev/null 2>&1 || die "docker compose is missing; install Compose v2"
}

# SQLite's locks and its shared memory don't cross from a virtual machine to its host.
docker_is_in_a_vm() {
  [ "$(uname -s)" != Linux ] || docker info --format '{{.OperatingSystem}}' | grep -q Desktop
}

# The steps.

set_up() { # $1: an extra of setup.cfg, or nothing
  find_python
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  say "setting up .venv"
  .venv/bin/pip install --quiet --disable-pip-version-check --editable ".${1:-}"
}

# The container writes as the owner of the data directory, and never as root.
find_owner() {
  make_data
  SERVER_UID=$(stat -c %u data 2>/dev/null || stat -f %u data)
  SERVER_GID=$(stat -c %g data 2>/dev/null || stat -f %g data)
  if [ "$SERVER_UID" = 0 ]; then
    SERVER_UID=1000 SERVER_GID=1000
    chown -R 1000:1000 data
  fi
  export SERVER_UID SERVER_GID
}

migrate() {
  say "migrating"
  if [ "$mode" = docker ] && docker_is_in_a_vm; then
    say "(in the container: SQLite's locks don't cross from Docker's virtual machine to this host)"
    docker compose exec -T server python migrations/migrate.py
  else
    (cd server && ../.venv/bin/python migrations/migrate.py --database "$database")
  fi
}

wait_until_ready() {
  local url="http://127.0.0.1:$PORT/readyz" answer=""
  for _ in $(seq 1 120); do
    [ "$mode" != local ] || is_running || die "the server ended: $(tail -n 1 data/server.log)"
    if answer=$(ask "$url"); then
      say "ready at http://127.0.0.1:$PORT"
      return
    fi
    sleep 0.5
  done
  die "the server is not ready: ${answer:-no answer}; see: $1"
}

ask() { # the body of the answer; fails unless it is 200
  "${python:-python3}" - "$1" <<'CODE'
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())
except urllib.error.HTTPError as exc:
    print(exc.read().decode())
    sys.exit(1)
except OSError as exc:
    print(exc)
    sys.exit(1)
CODE
}

# By now, the number in the file may be another process's.
is_running() {
  [ -s "$pid_file" ] && ps -p "$(cat "$pid_file")" -o args= | grep -q -- '-m server'
}

port_is_free() {
  "${python:-python3}" - "$PORT" <<'CODE'
import socket, sys
with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        sys.exit(1)
CODE
}

start_local() {
  if is_running; then
    say "the server runs already (process $(cat "$pid_file"))"
    return
  fi
  port_is_free || die "port $PORT is in use; stop what uses it, or set PORT to another"
  say "starting the server; its log is data/server.log"
  umask 077 # the log may hold sign-in codes
  DB_PATH=$database nohup .venv/bin/python -m server >>data/server.log 2>&1 </dev/null &
  echo $! >"$pid_file"
}

stop_local() {
  is_running || return 0
  kill "$(cat "$pid_file")"
  while is_running; do sleep 0.1; done
  rm -f "$pid_file"
  say "stopped the local process"
}

case $mode in
  migrate)
    set_up
    migrate
    ;;
  local)
    make_data
    set_up "[server]"
    start_local
    migrate
    wait_until_ready "data/server.log"
    ;;
  down)
    stop_local
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
      docker compose down
    fi
    ;;
  docker)
    find_docker
    find_owner
    if docker_is_in_a_vm; then find_python; else set_up; fi
    docker compose up -d --build
    migrate
    wait_until_ready "docker compose logs server"
    ;;
esac
