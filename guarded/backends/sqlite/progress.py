"""How far a statement is, as an estimate.

SQLite says how many steps of its virtual machine it has taken
(https://www.sqlite.org/c3ref/progress_handler.html), and EXPLAIN has the steps of each loop over
rows (https://www.sqlite.org/opcode.html).  The number of rows is the span of the rowids, which
costs two lookups; where rows were deleted a statement is done sooner than told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite.lock import PROGRESS_STEPS, signal_came, watch_for_signals
from guarded.backends.sqlite.text import quote

NEXT = ("Next", "Prev", "SorterNext")
OPEN = ("OpenRead", "OpenWrite", "ReopenIdx")


@contextmanager
def told(
    connection: sqlite3.Connection, steps: int, tell: Callable[[float], None]
) -> Iterator[None]:
    """Tell the share of the steps that the statement of the block has taken, up to 1."""
    taken = 0

    def look() -> bool:
        nonlocal taken
        taken += PROGRESS_STEPS
        if taken <= steps:
            tell(taken / steps)
        return signal_came()

    connection.set_progress_handler(look, PROGRESS_STEPS)
    try:
        yield
    finally:
        watch_for_signals(connection)


def expected(execute: Execute, sql: str, params: Any) -> int:
    """Return about how many steps the statement will take; 0 where that can't be told."""
    loops: list[tuple[range, int]] = []  # the addresses, and the page of the table or index
    roots: dict[int, int] = {}  # a cursor to its page
    last = -1
    try:
        program = [*execute(f"EXPLAIN {sql}", params)]
    except sqlite3.Error:  # running it will say what is wrong with it
        return 0
    for address, operation, cursor, second, *_ in program:
        if address < last:  # from here on, what triggers do
            break
        last = address
        if operation in OPEN:
            roots[cursor] = second
        elif operation in NEXT:
            loops.append((range(second, address + 1), roots.get(cursor, 0)))
    starts = [loop.start for loop, _ in loops]
    if any(sum(start in loop for start in starts) > 1 for loop, _ in loops):
        return 0  # how often an inner loop runs is not known
    rows = {root: _rows(execute, root) for _, root in loops if root}
    most = max(rows.values(), default=0)  # what was gathered comes from one of them
    return sum(len(loop) * rows.get(root, most) for loop, root in loops)


def _rows(execute: Execute, root: int) -> int:
    found = [*execute("SELECT tbl_name FROM sqlite_master WHERE rootpage = ?", (root,))]
    try:
        ((first, last),) = execute(
            f"SELECT (SELECT min(rowid) FROM {quote(found[0][0])}), max(rowid) "
            f"FROM {quote(found[0][0])}"
        )
        return int(last) - int(first) + 1
    except (sqlite3.Error, IndexError, TypeError):  # without rowids; a table of SQLite's own; empty
        return 0
