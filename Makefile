# Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for other processes.
PARALLEL := -n 4 --dist worksteal

# An environment whose Python is gone, or that was moved, is made anew.
$(shell . deploy/python.sh && drop_stale $(VENV))

.PHONY: migrate rehearse test check coverage faults edits simulate simulate-long mutants real recordings \
  test-postgres test-cluster test-api test-load test-browser test-containers \
  load-containers lock audit bench bench-postgres clean

migrate: $(VENV)/.server
	$(BIN)/python server/migrations/migrate.py

rehearse: $(VENV)/.server
	$(BIN)/python server/migrations/migrate.py rehearse

test: $(VENV)/.check
	$(BIN)/python -m pytest $(PARALLEL)

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL)

# The same tests with the lines and branches that they reach; takes half as long again.
coverage: $(VENV)/.check
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

faults: $(VENV)/.check
	FAULTS=full $(BIN)/python -m pytest -q tests/test_faults.py tests/test_crash.py

# Random edits of 1,000 random tables, each against a rebuild
edits: $(VENV)/.check
	EDITS=full $(BIN)/python -m pytest -q tests/guarded/backends/sqlite/test_catalogue.py

# Cases from seeds, until one shows a fault: make simulate SEED=1 SECONDS=60 JOBS=1 ON=postgresql
ON ?= sqlite
SEED ?= 1
SECONDS ?= 60
JOBS ?= 1
simulate: $(VENV)/.check
	$(BIN)/python -m tests.simulator --database $(ON) --seed $(SEED) --seconds $(SECONDS) --jobs $(JOBS)

# For a night; what shows a fault becomes a test beside the others.
simulate-long: $(VENV)/.check
	$(BIN)/python -m tests.simulator --database $(ON) --seed $(SEED) --seconds 28800 --jobs $(JOBS) --on

# The engine broken in twenty ways, each given a minute to show: make mutants JOBS=1
mutants: $(VENV)/.check
	$(BIN)/python -m tests.simulator.mutants --jobs $(JOBS)

# Every verb on every table of the databases in a folder, on copies: make real DIR=folder
real: $(VENV)/.check
	$(BIN)/python -m tests.real $(DIR)

# All faults on both ends of what is supported; POSTGRES_15 is where Debian puts it.
POSTGRES_15 ?= /usr/lib/postgresql/15/bin
ON_POSTGRES = $(BIN)/python -m pytest $(PARALLEL) tests/guarded/backends/postgresql tests/simulator/postgresql tests/server \
	--served postgresql
test-postgres: $(VENV)/.check
	FAULTS=full $(ON_POSTGRES)
	FAULTS=full $(ON_POSTGRES) --postgres $(POSTGRES_15)

# Three nodes of Patroni, whose primary is lost; on Debian: apt install etcd-server patroni postgresql-15
test-cluster: $(VENV)/.check
	$(BIN)/python -m pytest -rP tests/cluster --postgres $(POSTGRES_15)

# What a person sees at a terminal, into docs/recordings.md; needs tmux
recordings: $(VENV)/.check
	$(BIN)/python -m tests.recordings

test-api: $(VENV)/.api
	$(BIN)/python -m tests.server.api_check
	$(BIN)/python -m tests.server.api_check postgresql

test-load: $(VENV)/.check
	$(BIN)/python -m tests.server.load

# Needs a browser and its driver; on Debian: apt install chromium chromium-driver graphviz npm
test-browser: $(VENV)/.browser
	$(BIN)/python -m pytest -q tests/browser

# Where no registry can be reached: make test-containers BASE=an-image-that-is-here
test-containers: $(VENV)/.check
	$(BIN)/python -m pytest -q tests/containers

load-containers: $(VENV)/.check
	$(BIN)/python -m tests.containers.load

# Pin what the image installs, with hashes: make lock; make lock UPGRADE=--upgrade takes newer ones.
lock: $(VENV)/.lock
	$(BIN)/uv pip compile setup.cfg --extra server --extra postgresql --universal \
	  --python-version 3.10 --quiet --generate-hashes --no-annotate \
	  --custom-compile-command 'make lock' $(UPGRADE) -o server.lock

# Known faults in what the image installs; fails, too, when they can't be looked up.
audit: $(VENV)/.lock
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r server.lock

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks --write docs/figures.md

bench-postgres: $(VENV)/.bench
	$(BIN)/python -m benchmarks.postgres --write docs/figures.md

clean:
	rm -rf $(VENV) build *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@PYTHON='$(PYTHON)' && . deploy/python.sh && find_python make
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.server: $(VENV)/.python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.bench: $(VENV)/.python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@ $(VENV)/.server

$(VENV)/.api: $(VENV)/.check
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,check,api]'
	touch $@

$(VENV)/.browser: $(VENV)/.check
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,check,browser]'
	npm install --silent --no-save --prefix $(VENV)/axe axe-core@4
	touch $@

$(VENV)/.lock: $(VENV)/.python
	$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.5' 'pip-audit>=2.7'
	touch $@

$(VENV)/.check: $(VENV)/.python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	touch $@ $(VENV)/.server
