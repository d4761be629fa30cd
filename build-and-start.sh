#!/usr/bin/env bash
# Build the image, start the server, migrate its database on the host, and wait until it is ready.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: build-and-start.sh [--postgres | --no-docker | --migrate-only | --down]

  (nothing)       build and start the container, migrate on the host, wait until it is ready
  --postgres      the same with a PostgreSQL container beside it, and migrate in the container
  --no-docker     the same with a local process in place of the container
  --migrate-only  set this machine up and migrate, and start nothing
  --down          stop what was started

PORT (3000) is where the server answers. The database is data/meetings.sqlite, or with --no-docker
and --migrate-only that of DATABASE_URL or DB_PATH. With --postgres it is in a volume of Docker's, its
password in data/postgres.password, and POSTGRES_IMAGE is the image. A running server is restarted
when its code or a setting is another one now.
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
  --postgres) mode=postgres ;;
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

here=$PWD # where a path of the user begins
self=${BASH_SOURCE[0]}
while [ -L "$self" ]; do # a link may lead here from anywhere
  cd "$(dirname "$self")"
  self=$(readlink "$(basename "$self")")
done
cd "$(dirname "$self")"
root=$PWD
export PORT="${PORT:-3000}"
pid_file=$root/data/server.pid
mark_file=$root/data/server.started # a checksum of its code and settings, and its port
password_file=data/postgres.password
python=python3 # until find_python has chosen one

# The database holds secrets, and the log may hold sign-in codes.
make_data() {
  mkdir -p data
  [ ! -O data ] || chmod 700 data
}

# What is needed.

# Find a Python and the database, which is one for both halves, or say what is wrong.  The database
# is empty where the environment names one on a PostgreSQL server.
find_needs() {
  # shellcheck disable=SC1091 # it is checked by itself
  . deploy/python.sh
  find_python build-and-start.sh || exit 2
  database=$(cd "$here" && "$python" - "$root" "$mode" <<'CODE'
import sys
sys.path[0] = sys.argv[1]
from guarded.backends.sqlite.connect import locate
from guarded.errors import UnusableDatabase
from server.settings import DEFAULT_DATABASE, BadSetting, settings
try:
    location = settings().database
    is_remote = location.partition(":")[0].lower() in ("postgres", "postgresql")
    path = "postgresql:…" if is_remote else locate(location).path.resolve()
except (BadSetting, UnusableDatabase) as exc:
    sys.exit(f"build-and-start.sh: {exc}")
mode, is_default = sys.argv[2], path == DEFAULT_DATABASE
if mode in ("docker", "postgres") and not is_default:
    place = f"'{DEFAULT_DATABASE}'" if mode == "docker" else "PostgreSQL in another container"
    sys.exit(f"build-and-start.sh: the container's database is {place}, and DATABASE_URL "
             f"or DB_PATH names '{path}'; unset it, or use --no-docker")
password = DEFAULT_DATABASE.with_name("postgres.password")
if mode != "postgres" and is_default and password.exists():
    sys.exit("build-and-start.sh: this installation is on PostgreSQL; use --postgres, or to go back to "
             f"the SQLite file, rename '{password}' first")
print("" if is_remote else path)
CODE
  ) || exit 2
  [ -n "$database" ] || return 0
  unset DATABASE_URL
  export DB_PATH="$database"
}

find_docker() {
  command -v docker >/dev/null || die "docker is missing; install it, or use --no-docker"
  docker info >/dev/null 2>&1 \
    || die "no Docker engine answers; start it, join the group docker, or use --no-docker"
  docker compose version >/dev/null 2>&1 || die "docker compose is missing; install Compose v2"
}

# Take the file for PostgreSQL, too.
with_postgres() {
  case :${COMPOSE_FILE:=docker-compose.yml}: in
    *:docker-compose.postgres.yml:*) ;;
    *) COMPOSE_FILE=$COMPOSE_FILE:docker-compose.postgres.yml ;;
  esac
  export COMPOSE_FILE
}

# SQLite's locks and its shared memory don't cross from a virtual machine to its host.
docker_is_in_a_vm() {
  [ "$(uname -s)" != Linux ] || docker info --format '{{.OperatingSystem}}' | grep -q Desktop
}

# The steps.

set_up() { # $1: an extra of setup.cfg, or nothing
  local extras=${1:-}
  find_needs
  [ -n "$database" ] || extras=${extras:+$extras,}postgresql
  drop_stale .venv
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  say "setting up .venv"
  .venv/bin/pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}"
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

# The password, in a file for the database and in one of libpq's for the server.  It is never an
# argument, nor a setting that the engine would show.
make_password() {
  local volume
  [ -w data ] || die "this user may not write into '$root/data'; start it as its owner"
  umask 077
  if [ ! -s "$password_file" ]; then
    volume=$(docker compose config | sed -n 's/^name: //p')_postgres
    ! docker volume inspect "$volume" >/dev/null 2>&1 \
      || die "'$root/$password_file' is missing, and the volume $volume was made with it; put it back"
    head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$password_file.new"
    mv "$password_file.new" "$password_file"
  fi
  rm -f data/postgres.pgpass
  sed 's/[:\\]/\\&/g; s/^/postgres:*:*:meetings:/' "$password_file" >data/postgres.pgpass
  chmod 600 "$password_file"
  [ "$(id -u)" != 0 ] || chown "$SERVER_UID:$SERVER_GID" "$password_file" data/postgres.pgpass
}

start_postgres() {
  local words
  say "starting PostgreSQL"
  docker compose up -d --wait --wait-timeout 120 postgres && return
  docker compose stop postgres
  words=$(last_words postgres)
  die "PostgreSQL did not start: ${words:-see the lines above}"
}

# An installation that comes from SQLite would go on without its meetings.
refuse_to_start_empty() {
  local is_empty="SELECT to_regclass('schema_history') IS NULL"
  [ -s data/meetings.sqlite ] || return 0
  [ "$(docker compose exec -T postgres psql -U meetings -Atc "$is_empty")" = t ] || return 0
  die "data/meetings.sqlite is not in PostgreSQL yet; move it, and start again:
  docker compose exec server python migrations/migrate.py --database /data/meetings.sqlite \\
    move postgresql://meetings@postgres/meetings"
}

# For PostgreSQL in the container, which reaches it without a published port, and has its programs.
migrate() {
  say "migrating"
  if [ "$mode" = postgres ]; then
    docker compose exec -T server python migrations/migrate.py
  elif [ "$mode" = docker ] && docker_is_in_a_vm; then
    say "(in the container: SQLite's locks don't cross from Docker's virtual machine to this host)"
    docker compose exec -T server python migrations/migrate.py
  else
    .venv/bin/python server/migrations/migrate.py
  fi
}

wait_until_ready() { # $1: where its log is
  local url answer="" faults=0 status
  url=http://$(address)/readyz
  for _ in $(seq 1 120); do
    status=0
    answer=$(ask "$url") || status=$?
    if [ "$status" = 0 ]; then
      say "ready at http://$(address)"
      return
    fi
    ! has_ended || die "the server ended: $(last_words server)"
    if [ "$status" = 3 ]; then faults=$((faults + 1)); else faults=0; fi
    [ "$faults" -lt 6 ] || die "the server can't serve: $answer"
    sleep 0.5
  done
  die "the server is not ready: ${answer:-no answer}; see: $1"
}

# Where this machine reaches the server.
address() {
  local host=${HOST:-127.0.0.1}
  [ "$mode" = local ] || host=${BIND:-127.0.0.1}
  case $host in
    0.0.0.0 | '*') host=127.0.0.1 ;;
    ::) host='[::1]' ;;
    *:*) host="[$host]" ;;
  esac
  printf '%s:%s' "$host" "$PORT"
}

has_ended() {
  case $mode in
    local) if is_running; then return 1; fi ;;
    *) [ "$(docker inspect -f '{{.State.Status}}' "$(docker compose ps -aq server)")" = exited ] ;;
  esac
}

last_words() { # $1: a service of Compose
  if [ "$mode" = local ]; then
    tail -n 1 data/server.log
  else
    docker compose logs --no-log-prefix --tail 1 "$1"
  fi
}

ask() { # print why it is not ready; 3: it waits for something else than migrations
  "$python" - "$1" <<'CODE'
import json, sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=2)
except urllib.error.HTTPError as exc:
    text = exc.read().decode()
    try:
        error = json.loads(text)["error"]
        print(error["message"])
        sys.exit(1 if error["code"] == "not_ready" else 3)
    except (ValueError, LookupError, TypeError):  # somebody else's answer
        print(text)
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
  "$python" - "${HOST:-127.0.0.1}" "$PORT" <<'CODE'
import errno, socket, sys
try:
    family, *_, place = socket.getaddrinfo(*sys.argv[1:], type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
except OSError as exc:  # of a bad host, the server says more
    sys.exit(exc.errno == errno.EADDRINUSE)
CODE
}

# One line for the code and the settings that a server would start with now.
mark() {
  .venv/bin/python - <<'CODE'
import hashlib
from pathlib import Path
from server.settings import settings
found = hashlib.sha256(repr(settings()).encode())
for file in sorted([Path("setup.cfg"), *Path("server").rglob("*.py"), *Path("guarded").rglob("*.py"), *Path("server/page").iterdir()]):
    found.update(file.read_bytes())
print(found.hexdigest())
CODE
}

start_container() {
  docker compose up -d --build
  # The image that this one replaces has no name any more.
  docker image prune --force --filter label=org.opencontainers.image.title=meeting-server >/dev/null
}

start_local() {
  local now port
  now=$(mark)
  if is_running; then
    port=$(sed -n 2p "$mark_file" 2>/dev/null || true)
    if [ "$(sed -n 1p "$mark_file" 2>/dev/null || true)" = "$now" ]; then
      say "the server runs already at port $port (process $(cat "$pid_file"))"
      return
    elif [ "${port:-$PORT}" != "$PORT" ]; then
      say "the server runs at port $port; it is started again at port $PORT"
    else
      say "the server runs with older code or other settings; it is started again"
    fi
    stop_local
  fi
  port_is_free || die "port $PORT is in use; stop what uses it, or set PORT to another"
  say "starting the server; its log is data/server.log"
  umask 077 # the log may hold sign-in codes
  nohup .venv/bin/python -m server >>data/server.log 2>&1 </dev/null &
  echo $! >"$pid_file"
  printf '%s\n%s\n' "$now" "$PORT" >"$mark_file"
}

stop_local() {
  is_running || return 0
  kill "$(cat "$pid_file")"
  for _ in $(seq 1 450); do # it lets requests end for up to 30 s
    is_running || break
    sleep 0.1
  done
  ! is_running || die "process $(cat "$pid_file") does not stop; end it by hand"
  rm -f "$pid_file" "$mark_file"
  say "stopped the local process"
}

case $mode in
  migrate)
    set_up
    migrate
    ;;
  local)
    make_data
    set_up server
    start_local
    migrate
    wait_until_ready "data/server.log"
    ;;
  down)
    stop_local
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
      [ ! -e "$password_file" ] || with_postgres
      docker compose down
    fi
    ;;
  docker)
    find_docker
    find_owner
    if docker_is_in_a_vm; then find_needs; else set_up; fi
    start_container
    migrate
    wait_until_ready "docker compose logs server"
    ;;
  postgres)
    find_docker
    with_postgres
    find_needs
    find_owner
    make_password
    start_postgres
    start_container
    refuse_to_start_empty
    migrate
    wait_until_ready "docker compose logs server"
    ;;
esac
