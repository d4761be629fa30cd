"""A finding of an examination or a comparison."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from guarded.steps import Target


class Severity(Enum):
    """From the worst down, with the word for it.

    A comparison with the models uses BREAKS (the models can't work), DIFFERS, and EXTRA (no model
    declares it).  An examination uses PROBLEM, WARNING, NOTE and FINE.
    """

    BREAKS = "breaks"
    PROBLEM = "problem"
    DIFFERS = "differs"
    WARNING = "warning"
    EXTRA = "extra"
    NOTE = "note"
    FINE = "fine"


class Finding(NamedTuple):
    """``subject`` names the topic in a word or two; ``target`` is the object, if it is about one.
    Every WARNING and PROBLEM has a remedy."""

    severity: Severity
    subject: str
    sentence: str
    remedy: str = ""
    target: Target | None = None
