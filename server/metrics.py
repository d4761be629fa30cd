"""Counts for Prometheus, in its text format."""

from __future__ import annotations

from collections import Counter

from server.db.model import ExternalSession


class Metrics:
    """Counted in the event loop alone."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()
        self._seconds = 0.0

    def count(self, method: str, status: int, seconds: float) -> None:
        known = method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        self._answers[method if known else "other", status] += 1
        self._seconds += seconds

    def text(self, *, is_ready: bool, guests: int) -> str:
        lines = ["# TYPE meeting_requests_total counter"]
        for (method, status), count in sorted(self._answers.items()):
            lines.append(f'meeting_requests_total{{method="{method}",status="{status}"}} {count}')
        lines += [
            "# TYPE meeting_request_seconds_total counter",
            f"meeting_request_seconds_total {self._seconds:.6f}",
            "# TYPE meeting_ready gauge",
            f"meeting_ready {int(is_ready)}",
            "# TYPE meeting_guests gauge",
            f"meeting_guests {guests}",
        ]
        return "\n".join(lines) + "\n"


def guests() -> int:
    return int(ExternalSession.select().count())
