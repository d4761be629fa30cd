"""How long to wait for another process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Patience(NamedTuple):
    """``wait``: seconds for another process's lock; ``on_wait`` hears once who holds it."""

    wait: float = 60.0
    on_wait: Callable[[list[str]], None] = lambda holders: None
