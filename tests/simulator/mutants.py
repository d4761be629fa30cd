"""``make mutants``: break the engine by hand, and ask whether seeds find it within a minute."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REBUILD = "guarded/backends/sqlite/rebuild.py"
# A fault, and the text that makes it: its file, what stands there, what stands there instead.
MUTATIONS = {
    "indexes and triggers are not recreated": (
        REBUILD, "    for dependent in dependents:\n", "    for dependent in ():\n",
    ),
    "the copy leaves the rowids out": (
        REBUILD, "if not new.without_rowid and describe", "if False and describe",
    ),
    "the copy takes no row": (
        REBUILD, "FROM {quote(aside)}\"\n    )", "FROM {quote(aside)} WHERE 0\"\n    )",
    ),
    "the id mark is lost": (REBUILD, "    if marks and new.autoincrement:", "    if False:"),
}  # fmt: skip
SEARCH = "from tests.simulator.__main__ import search; print(search(1, 1, 10**9, 60)[1])"


def caught_by(path: str, old: str, new: str) -> str:
    """The first seed that shows the fault, or None as text."""
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
    missed = 0
    for name, mutation in MUTATIONS.items():
        seed = caught_by(*mutation)
        missed += seed == "None"
        sys.stdout.write(f"{name}: {'missed' if seed == 'None' else f'seed {seed}'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} caught\n")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
