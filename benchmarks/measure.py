"""Commands timed in turn, so that what slows the machine down slows all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Each tool may keep its compiled files, as it does where it is installed.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Timing:
    """``seconds`` of each run, ``peak`` the largest resident size of all, and ``written`` the most
    that a run gave to the disk, both in MB.  ``stall`` is the longest that a write of another
    process waited, in seconds; None where that was not measured."""

    name: str
    seconds: tuple[float, ...]
    peak: float = 0.0
    written: float = 0.0
    stall: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        return f"{show(min(self.seconds))} to {show(max(self.seconds))}"


@dataclass(frozen=True)
class Candidate:
    """A command to time; ``prepare`` runs before each run and is not timed.  With ``beside``,
    another process writes to that database all the while."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], object] = lambda: None
    beside: Path | None = None
    setting: str = ""  # for migrate.py, see ours.py


def time_in_turn(candidates: Sequence[Candidate], runs: int, warmup: int = 0) -> list[Timing]:
    """A, B, C, A, B, C …: ``runs`` of each.  Raises when a command fails."""
    seconds: dict[str, list[float]] = {c.name: [] for c in candidates}
    peaks: dict[str, float] = {c.name: 0.0 for c in candidates}
    written: dict[str, float] = {c.name: 0.0 for c in candidates}
    stalls: dict[str, float | None] = {c.name: None for c in candidates}
    for number in range(-warmup, runs):
        for candidate in candidates:
            candidate.prepare()
            with _writer(candidate.beside) as longest:
                took, peak, blocks = _run(candidate)
            if number >= 0:
                if longest:
                    stalls[candidate.name] = max(stalls[candidate.name] or 0.0, longest[0])
                seconds[candidate.name].append(took)
                peaks[candidate.name] = max(peaks[candidate.name], peak)
                written[candidate.name] = max(written[candidate.name], blocks * 512 / 1e6)
    return [
        Timing(c.name, tuple(seconds[c.name]), peaks[c.name], written[c.name], stalls[c.name])
        for c in candidates
    ]


def show(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


@contextmanager
def _writer(database: Path | None) -> Iterator[list[float]]:
    """A bystander during the block; the list has its longest wait afterwards."""
    longest: list[float] = []
    if database is None:
        yield longest
        return
    command = [sys.executable, str(Path(__file__).parent / "writer.py"), str(database)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        yield longest
        writer.stdin.close()
        longest.append(float(writer.stdout.read()))


def _run(candidate: Candidate) -> tuple[float, float, int]:
    """Seconds, MB at the peak, and blocks of 512 bytes written."""
    environment = ENVIRONMENT | {"BENCH_SETTING": candidate.setting}
    started = time.perf_counter()
    process = subprocess.Popen(
        candidate.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise RuntimeError(f"{candidate.name}: {output.decode()[-2000:]}")
    return took, usage.ru_maxrss / 1000, usage.ru_oublock
