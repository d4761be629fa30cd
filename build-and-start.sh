#!/usr/bin/env bash
# Set up this machine and bring the database to the current schema.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v "${PYTHON:=python3}" >/dev/null || {
  echo "build-and-start.sh: $PYTHON is missing; install Python 3.10 or newer" >&2
  exit 2
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --editable .
cd server && exec ../.venv/bin/python migrations/migrate.py "$@"
