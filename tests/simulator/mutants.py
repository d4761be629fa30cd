"""``make mutants``: break the engine by hand, and ask whether seeds find it within a minute each."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.simulator.__main__ import attempt
from tests.simulator.trial import Counts

ROOT = Path(__file__).resolve().parents[2]
SQLITE = "guarded/backends/sqlite"
REBUILD, DDL, REFILL = f"{SQLITE}/rebuild.py", f"{SQLITE}/ddl.py", f"{SQLITE}/refill.py"
RUN, LOCK, COLUMNS = "guarded/run.py", f"{SQLITE}/lock.py", "guarded/verbs/columns.py"
# A fault, and the text that makes it: its file, what stands there, what stands there instead.
MUTATIONS = {
    "a rebuild does not recreate indexes and triggers": (
        REBUILD, "    for dependent in dependents:\n", "    for dependent in ():\n",
    ),
    "a rebuild leaves the rowids out": (
        REBUILD, "if not new.without_rowid and describe", "if False and describe",
    ),
    "a rebuild takes no row": (
        REBUILD, "FROM {quote(aside)}\"\n    )", "FROM {quote(aside)} WHERE 0\"\n    )",
    ),
    "a rebuild loses the id mark": (
        REBUILD, "    if marks and new.autoincrement:", "    if False:",
    ),
    "rows older than a column take the new default": (
        f"{SQLITE}/catalogue.py", "        if isinstance(change, (SetDefault, DropDefault)):\n            _write", "        if False:\n            _write",
    ),
    "add_not_null does not look at the rows": (
        COLUMNS, "    if empty:\n", "    if False:\n",
    ),
    "add_constraint does not look at the rows": (
        "guarded/verbs/constraints.py", "    if condition and (rows :=", "    if False and (rows :=",
    ),
    "a type may change values for good": (
        COLUMNS, "if cast is None else {}\n", "if False else {}\n",
    ),
    "triggers do not rest": (
        DDL, "        triggers = self._resting(table)\n", "        triggers = []\n",
    ),
    "triggers that rested do not come back": (
        DDL, "            self._execute(trigger.sql)\n", "            pass\n",
    ),
    "what a drop takes is not kept": (
        "guarded/kept.py", "        if rows or mark is not None:\n", "        if False:\n",
    ),
    "kept values are not on the disk at COMMIT": (
        "guarded/kept.py", "            os.fsync(self._file.fileno())\n", "            pass\n",
    ),
    "down forgets what was so before": (
        "guarded/verbs/undo.py", "        return [f for f in self._found if", "        return [f for f in () if",
    ),
    "the history is written outside of the transaction": (
        RUN, "            self._record(session, outcome)\n            outcomes.append(outcome)\n",
        "            session.inspector.execute('COMMIT')\n"
        "            session.inspector.execute('BEGIN IMMEDIATE')\n"
        "            self._record(session, outcome)\n            outcomes.append(outcome)\n",
    ),
    "the history is not read again under the lock": (
        RUN, "state = before.read_again(session.inspector)", "state = before",
    ),
    "a run that fails is committed": (
        LOCK, 'connection.execute("ROLLBACK")', 'connection.execute("COMMIT")',
    ),
    "a run takes no lock before it writes": (
        LOCK, 'connection.execute("BEGIN IMMEDIATE")', 'connection.execute("BEGIN")',
    ),
    "a run that fails leaves its backup": (
        RUN, "self._taken.unlink(missing_ok=True)", "pass",
    ),
    "a backup has its name before it is on the disk": (
        "guarded/copies.py", "    sync(partial)\n    partial.rename", "    partial.rename",
    ),
    "what is pruned is the backup just taken": (
        "guarded/copies.py", "if c.path != taken]", "]",
    ),
}  # fmt: skip
# Of processor time, so that others on the machine don't count.
SEARCH = """import time
from tests.simulator.__main__ import search
print(*search(1, 1, 10**9, 60, clock=time.process_time)[1])
"""


def caught_by(mutation: tuple[str, str, str]) -> str:
    """The first seed that shows the fault, or nothing."""
    path, old, new = mutation
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in ("guarded", "server", "tests"):
            shutil.copytree(ROOT / name, Path(folder, name))
        file = Path(folder, path)
        source = file.read_text()
        if source.count(old) != 1:
            raise SystemExit(f"{path} has {old!r} {source.count(old)} times; mend the mutation")
        file.write_text(source.replace(old, new))
        command = (sys.executable, "-c", SEARCH)
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return run.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    missed = 0
    with ThreadPoolExecutor(parser.parse_args().jobs) as pool:
        for name, seed in zip(MUTATIONS, pool.map(caught_by, MUTATIONS.values())):
            if seed and attempt(int(seed), Counts()) is not None:
                raise SystemExit(f"seed {seed} shows a fault without it; mend that first")
            missed += not seed
            sys.stdout.write(f"{name}: {f'seed {seed}' if seed else 'missed'}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} caught\n")
    return int(missed > len(MUTATIONS) // 20)


if __name__ == "__main__":
    sys.exit(main())
