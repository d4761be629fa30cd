"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass

FINE, NOTE, WARNING, PROBLEM = "fine", "note", "warning", "problem"


@dataclass(frozen=True)
class Finding:
    """``severity`` is FINE, NOTE, WARNING or PROBLEM; a remedy for each of the last two."""

    severity: str
    subject: str
    sentence: str
    remedy: str = ""
