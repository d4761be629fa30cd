"""Run cases from seeds, until one shows a fault or the time is over."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulator.shrink import as_test, finding_of, shrunk
from tests.simulator.trial import Counts, Finding, drawn


def attempt(seed: int, counts: Counts) -> Finding | None:
    """The finding of a seed, or None."""
    counts.seeds += 1
    case = drawn(seed)
    return finding_of(case, counts) if case.migrations else None


def search(
    first: int,
    step: int,
    last: int,
    seconds: float,
    *,
    on: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Counts, list[int]]:
    """Every ``step``-th seed from ``first``; those that show a fault: one, or with ``on`` all."""
    counts, found, end = Counts(), list[int](), clock() + seconds
    for seed in itertools.count(first, step):
        if clock() >= end or seed >= last or (found and not on):
            break
        if attempt(seed, counts) is not None:
            found.append(seed)
    return counts, found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--count", type=int, default=10**9, help="at most this many seeds")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--on", action="store_true", help="go on after a seed that shows a fault")
    options = parser.parse_args()
    started, last = time.monotonic(), options.seed + options.count
    with ProcessPoolExecutor(options.jobs) as pool:
        runs = [
            pool.submit(
                search, options.seed + job, options.jobs, last, options.seconds, on=options.on
            )
            for job in range(options.jobs)
        ]
        results = [run.result() for run in runs]
    total = Counts()
    for counts, _ in results:
        for name in ("seeds", "applied", "refused", "verbs", "faults"):
            setattr(total, name, getattr(total, name) + getattr(counts, name))
    found = sorted(seed for _, seeds in results for seed in seeds)
    for seed in found:
        report(seed)
    sys.stdout.write(
        f"{total.seeds} seeds from {options.seed}: {total.verbs} verbs, {total.applied} applied, "
        f"{total.refused} refused, {total.faults} with a fault of the disk\n"
    )
    took = (time.monotonic() - started) * options.jobs * 1000 / max(1, total.seeds)
    sys.stderr.write(f"{took:.0f} ms a seed\n")  # the clock is kept out of the output
    return int(bool(found))


def report(seed: int) -> None:
    """Print the finding, and write its test beside the others."""
    case, found = drawn(seed), attempt(seed, Counts())
    if found is None:
        sys.stdout.write(f"seed {seed}: shows nothing when it is run again\n")
        return
    case = shrunk(case, found.oracle)
    found = finding_of(case) or found
    path = Path(__file__).with_name(f"test_seed_{seed}.py")
    path.write_text(as_test(case, seed, found))
    sys.stdout.write(f"seed {seed}: {found}\nshrunk to tests/simulator/{path.name}\n")


if __name__ == "__main__":
    sys.exit(main())
