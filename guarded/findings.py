"""Something that an examination or a comparison found."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from guarded.steps import Target


class Severity(Enum):
    """From the worst down, with the word for it.

    A comparison with the models knows BREAKS (they can't work), DIFFERS, and EXTRA (nobody
    declared it); an examination PROBLEM, WARNING, NOTE and FINE.
    """

    BREAKS = "breaks"
    PROBLEM = "problem"
    DIFFERS = "differs"
    WARNING = "warning"
    EXTRA = "extra"
    NOTE = "note"
    FINE = "fine"


class Finding(NamedTuple):
    """``subject`` is what it is about in a word or name; ``target`` the object, where it is one.
    Every WARNING and PROBLEM has a remedy."""

    severity: Severity
    subject: str
    sentence: str
    remedy: str = ""
    target: Target | None = None
