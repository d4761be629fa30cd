"""Functions, collations and modules that only the application registers.

SQLite's "no such …" then means that this process can't look, and never that the file is damaged.
Stand-ins let it compile what names them; they give no value.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any

PATTERNS = {
    "function": re.compile(r"(?:no such|unknown) function: ([^\s()]+)"),
    "collation": re.compile(r"no such collation sequence: (\S+)"),
    "module": re.compile(r"no such module: (\S+)"),
}


# SQLite's words for a function in an index that was there and was removed: it does not name it.
REMOVED = "non-deterministic functions prohibited in index expressions"
# SQLite's words where the key of a table WITHOUT ROWID has a collation that is not known.
NO_WAY_IN = "no query solution"


def named_in(message: str) -> str | None:
    """The unknown thing that an error of SQLite names, as ``collation LOCALIZED``, or None.

    Of the engine's own statements, which never say INDEXED BY another index than the key.
    """
    if NO_WAY_IN in message:
        return "the collation of its key"
    for kind, pattern in PATTERNS.items():
        if found := pattern.search(message):
            return f"{kind} {found[1]}"
    return None


class StandIns:
    """Stand-ins on one connection, by the names that SQLite asked for."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._asked: set[str] = set()
        self._removed: set[str] = set()
        self._compared: set[str] = set()  # a collation can't raise an error by itself

    def run(self, statement: Callable[[], Any]) -> None:
        """Run it, again with a stand-in for each function and collation that turns out unknown.

        Raises sqlite3.OperationalError where it compared values by a stand-in.
        """
        self._compared.clear()
        while True:
            try:
                statement()
            except Exception as exc:  # the driver's errors, or Peewee's
                unnamed = REMOVED in str(exc) and self._bring_back()
                if not unnamed and not self._add(named_in(str(exc)) or ""):
                    raise
            else:
                break
        for name in self._compared:
            raise sqlite3.OperationalError(f"no such collation sequence: {name}")

    def execute(self, sql: str) -> None:
        self.run(lambda: self._connection.execute(sql))

    def remove(self) -> None:
        for thing in self._asked:
            kind, _, name = thing.partition(" ")
            if kind == "function":
                self._connection.create_function(name, -1, None)
            else:
                self._connection.create_collation(name, None)
        self._removed |= self._asked
        self._asked.clear()

    def _bring_back(self) -> bool:
        """Register removed functions again; return False when there is none."""
        gone = [thing for thing in self._removed if thing.startswith("function ")]
        self._removed.clear()
        added = [self._add(thing) for thing in gone]
        return any(added)

    def _add(self, thing: str) -> bool:
        """Register a stand-in; False when that can't help."""
        kind, _, name = thing.partition(" ")
        if thing in self._asked or kind not in ("function", "collation"):
            return False
        self._asked.add(thing)

        def stand_in(*values: Any) -> int:
            if kind == "function":
                raise RuntimeError(f"a stand-in for {thing} was asked for a value")
            self._compared.add(name)
            return 0

        if kind == "function":
            self._connection.create_function(name, -1, stand_in, deterministic=True)
        else:
            self._connection.create_collation(name, stand_in)
        return True
