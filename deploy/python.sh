#!/bin/sh
# For make and build-and-start.sh: a Python that is new enough, and an environment that works.

# Set python, or say what is wrong; $1 is who says it.
find_python() {
  python=${PYTHON:-python3}
  if ! command -v "$python" >/dev/null; then
    echo "$1: $python is missing; install Python 3.10 or newer" >&2
    return 2
  fi
  # Any Python has to understand these lines, to say that it is too old.
  "$python" - "$1" "$(newer_python)" <<'CODE' || return 2
import sys
def fail(why):
    sys.exit("%s: %s" % (sys.argv[1], why))
if sys.version_info < (3, 10):
    has = "or set PYTHON=" + sys.argv[2] if sys.argv[2] else "and set PYTHON to it"
    fail("Python %s (%s) is too old; install 3.10 or newer, %s"
         % (sys.version.split()[0], sys.executable, has))
import sqlite3
if sqlite3.sqlite_version_info < (3, 37, 0):
    fail("SQLite %s of %s is too old; use a Python with SQLite 3.37 or newer"
         % (sqlite3.sqlite_version, sys.executable))
try:
    import ensurepip, venv
except ImportError:
    fail("Python's venv is missing; on Debian: apt install python3-venv")
CODE
}

# Print the newest Python of this machine that would do.
newer_python() {
  for name in python3.14 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$name" >/dev/null; then
      echo "$name"
      return
    fi
  done
}

# Remove the environment $1 where it can't be used, and say why.
drop_stale() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  if ! "$1/bin/python" -c '' 2>/dev/null; then
    why="its Python is gone"
  elif ! "$1/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    why="its Python is older than 3.10"
  elif ! "$1/bin/python" -c 'import pip' 2>/dev/null; then
    why="it has no pip: it is not complete, or of another Python"
  elif [ ! -x "$(sed -n '1s/^#!//p' "$1/bin/pip")" ]; then
    why="it was moved"
  else
    return 0
  fi
  echo "making $1 anew: $why" >&2
  rm -rf "$1"
}
