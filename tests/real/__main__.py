"""``make real DIR=folder``: every verb on every table of the databases there, on copies."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

from tests.real import operations
from tests.real.trial import Subject, Trial, Verdict

SUFFIXES = (".sqlite", ".sqlite3", ".db")


def main() -> int:
    options = _options()
    if options.folder is None:
        _say("give a folder of SQLite databases: make real DIR=folder (they are copied)")
        return 2
    files = sorted(p for p in Path(options.folder).iterdir() if p.suffix in SUFFIXES)
    files = [p for p in files if not options.only or p.stem in options.only]
    parts = [
        (file, options.of_each, part, options.parts, options.verb)
        for file in files
        for part in range(options.parts)
    ]
    counts: dict[str, Counter[Verdict]] = {}
    slowest: dict[str, int] = {}
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with ProcessPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(_sweep, part) for part in parts]):
            for trial in done.result():
                counts.setdefault(trial.database, Counter())[trial.verdict] += 1
                slowest[trial.database] = max(slowest.get(trial.database, 0), trial.plan_ms)
                _print(trial, with_refusals=options.refusals)
    return _print_figures(counts, slowest)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make real", description=__doc__)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--of-each", type=int, default=2, help="columns of each kind")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--parts", type=int, default=6, help="a database in as many parts")
    parser.add_argument("--only", nargs="*", help="these databases")
    parser.add_argument("--verb", help="operations whose name begins so")
    parser.add_argument("--refusals", action="store_true", help="print these, too")
    return parser.parse_args()


def _sweep(part: tuple[Path, int, int, int, str | None]) -> list[Trial]:
    return list(sweep(*part))


def sweep(
    file: Path, of_each: int = 2, part: int = 0, parts: int = 1, verb: str | None = None
) -> Iterator[Trial]:
    """Try everything on one database.  Where it needs what only its application registers, the
    tool has it every second time."""
    with tempfile.TemporaryDirectory(prefix="sweep-") as name:
        subject = Subject(file, Path(name))
        with closing(subject.open(file)) as connection:
            wanted = list(operations.all_of(connection, of_each))
        for number, operation in enumerate(wanted):
            if number % parts == part and operation.name.startswith(verb or ""):
                knows = bool(subject.unknown) and number // parts % 2 == 0
                yield subject.attempt(operation, knows=knows)


def _print(trial: Trial, *, with_refusals: bool) -> None:
    shown = {Verdict.WRONG, Verdict.NEEDLESS, *([Verdict.REFUSED] if with_refusals else [])}
    if trial.verdict in shown:
        source = trial.source.strip().replace("\n", " ")
        _say(f"{trial.verdict.value:8} {trial.database}: {trial.operation}: {source}")
        _say(f"         {trial.words}")


def _print_figures(counts: dict[str, Counter[Verdict]], slowest: dict[str, int]) -> int:
    total = sum(counts.values(), Counter[Verdict]())
    rows = [*sorted(counts.items()), ("all", total)]
    plans = slowest | {"all": max(slowest.values(), default=0)}
    _say("| database | " + " | ".join(v.value for v in Verdict) + " | slowest plan |")
    _say("|---|" + "---|" * (len(Verdict) + 1))
    for name, found in rows:
        figures = " | ".join(f"{found[v]:,}" for v in Verdict)
        _say(f"| {name} | {figures} | {plans[name]} ms |")
    return 1 if total[Verdict.WRONG] or total[Verdict.NEEDLESS] else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
