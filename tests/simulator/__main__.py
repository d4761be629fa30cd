"""Run cases from seeds, until one shows a fault or the time is over."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.simulator.shrink import as_test, finding_of, shrunk
from tests.simulator.trial import Case, Counts, Finding, drawn

WHERE = {"sqlite": "disk", "postgresql": "wire"}


class Subject(NamedTuple):
    """A kind of database: how its cases are drawn, run, and written as tests."""

    drawn: Callable[[int], Case] = drawn
    finding_of: Callable[..., Finding | None] = finding_of
    as_test: Callable[[Case, int, Finding], str] = as_test
    folder: str = "."


@contextmanager
def subject(on: str, binaries: Path | None) -> Iterator[Subject]:
    """Of PostgreSQL, a server runs in the block."""
    if on == "sqlite":
        yield Subject()
        return
    from tests import postgres
    from tests.simulator.postgresql import cases, trial

    with postgres.running(binaries) as server, closing(trial.Bench(server)) as bench:
        yield Subject(cases.drawn, bench.finding_of, trial.as_test, "postgresql")


def attempt(seed: int, counts: Counts, subject: Subject = Subject()) -> Finding | None:  # noqa: B008
    """The finding of a seed, or None."""
    counts.seeds += 1
    case = subject.drawn(seed)
    return subject.finding_of(case, counts) if case.migrations else None


def search(
    first: int,
    step: int,
    last: int,
    seconds: float,
    *,
    on: bool = False,
    clock: Callable[[], float] = time.monotonic,
    database: tuple[str, Path | None] = ("sqlite", None),
) -> tuple[Counts, list[int]]:
    """Every ``step``-th seed from ``first``; those that show a fault: one, or with ``on`` all."""
    counts, found, end = Counts(), list[int](), clock() + seconds
    with subject(*database) as tried:
        for seed in itertools.count(first, step):
            if clock() >= end or seed >= last or (found and not on):
                break
            if attempt(seed, counts, tried) is not None:
                found.append(seed)
    return counts, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--count", type=int, default=10**9, help="at most this many seeds")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--on", action="store_true", help="go on after a seed that shows a fault")
    kinds = ("sqlite", "postgresql")
    parser.add_argument("--database", choices=kinds, default="sqlite", help="its kind")
    parser.add_argument("--postgres", type=Path, metavar="BIN", help="PostgreSQL's programs")
    options = parser.parse_args()
    database = options.database, options.postgres
    started, last = time.monotonic(), options.seed + options.count
    with ProcessPoolExecutor(options.jobs) as pool:
        runs = [
            pool.submit(
                search,
                options.seed + job,
                options.jobs,
                last,
                options.seconds,
                on=options.on,
                database=database,
            )
            for job in range(options.jobs)
        ]
        results = [run.result() for run in runs]
    total = Counts()
    for counts, _ in results:
        for name in ("seeds", "applied", "refused", "verbs", "faults"):
            setattr(total, name, getattr(total, name) + getattr(counts, name))
    found = sorted(seed for _, seeds in results for seed in seeds)
    if found:
        with subject(*database) as tried:
            for seed in found:
                report(seed, tried)
    sys.stdout.write(
        f"{total.seeds} seeds from {options.seed}: {total.verbs} verbs, {total.applied} applied, "
        f"{total.refused} refused, {total.faults} with a fault of the {WHERE[options.database]}\n"
    )
    took = (time.monotonic() - started) * options.jobs * 1000 / max(1, total.seeds)
    sys.stderr.write(f"{took:.0f} ms a seed\n")  # the clock is kept out of the output
    return int(bool(found))


def report(seed: int, subject: Subject) -> None:
    """Print the finding, and write its test beside the others."""
    case, found = subject.drawn(seed), attempt(seed, Counts(), subject)
    if found is None:
        sys.stdout.write(f"seed {seed}: shows nothing when it is run again\n")
        return
    case = shrunk(case, found.oracle, subject.finding_of)
    found = subject.finding_of(case) or found
    folder = Path(__file__).parent
    path = folder / subject.folder / f"test_seed_{seed}.py"
    path.write_text(subject.as_test(case, seed, found))
    sys.stdout.write(
        f"seed {seed}: {found}\nshrunk to tests/simulator/{path.relative_to(folder)}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
