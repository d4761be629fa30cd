"""Commands timed in turn, so that what slows the machine down slows all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Each tool may keep its compiled files, as it does where it is installed.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Timing:
    """``seconds`` of each run, ``peak`` the largest resident size of all, and ``written`` the most
    that a run gave to the disk, both in MB."""

    name: str
    seconds: tuple[float, ...]
    peak: float
    written: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        return f"{show(min(self.seconds))} to {show(max(self.seconds))}"


@dataclass(frozen=True)
class Candidate:
    """A command to time; ``prepare`` runs before each run and is not timed."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], object] = lambda: None


def time_in_turn(candidates: Sequence[Candidate], runs: int, warmup: int = 0) -> list[Timing]:
    """A, B, C, A, B, C …: ``runs`` of each.  Raises when a command fails."""
    seconds: dict[str, list[float]] = {c.name: [] for c in candidates}
    peaks: dict[str, float] = {c.name: 0.0 for c in candidates}
    written: dict[str, float] = {c.name: 0.0 for c in candidates}
    for number in range(-warmup, runs):
        for candidate in candidates:
            candidate.prepare()
            took, peak, blocks = _run(candidate)
            if number >= 0:
                seconds[candidate.name].append(took)
                peaks[candidate.name] = max(peaks[candidate.name], peak)
                written[candidate.name] = max(written[candidate.name], blocks * 512 / 1e6)
    return [
        Timing(c.name, tuple(seconds[c.name]), peaks[c.name], written[c.name]) for c in candidates
    ]


def show(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _run(candidate: Candidate) -> tuple[float, float, int]:
    """Seconds, MB at the peak, and blocks of 512 bytes written."""
    started = time.perf_counter()
    process = subprocess.Popen(
        candidate.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT
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
