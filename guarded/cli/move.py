"""The command ``move``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

from guarded.cli import output
from guarded.cli.session import Session, locate, show_progress
from guarded.cli.status_line import StatusLine
from guarded.operate import move as moving
from guarded.operate.move import Left, Moved


def move(session: Session, url: str, *, nulls: bool) -> None:
    runner = session.open_existing()
    session.is_changing = True
    target = locate(session.project, url)
    shown = Shown(session)
    try:
        done = moving.move(
            runner,
            target,
            nulls=nulls,
            on_progress=functools.partial(show_progress, word="copy"),
            watch=shown,
        )
    finally:
        shown.close()
    session.show(_lines(session, done), moved=_document(done, str(target)))


class Shown(moving.Watch):
    """Prints each table when its rows are there; a line on a terminal says how far it is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._status = StatusLine() if sys.stderr is not None and sys.stderr.isatty() else None
        self._working = ("", "")

    def foretells(self, rows: Mapping[str, int], seconds: float | None) -> None:
        time = f", about {seconds:.0f} s" if seconds is not None else ""
        self._print(f"moving   {_rows_in(rows)}{time}; keep the server stopped until then")

    def works(self, word: str, table: str, done: int, rows: int) -> None:
        if self._status is None:
            return
        text = f"{word} {table}: {done} of {output.counted(rows, 'row')}"
        if (word, table) == self._working:
            self._status.change(text)
        else:
            self._working = word, table
            self._status.show(text)

    def copied(self, table: str, rows: int, seconds: float) -> None:
        time = f", {seconds:.1f} s" if seconds >= output.SLOW else ""
        self._print(f"{output.INDENT}copy    {table}, {output.counted(rows, 'row')}{time}")

    def close(self) -> None:
        if self._status is not None:
            self._status.close()

    def _print(self, line: str) -> None:
        if self._status is not None:
            self._status.wipe()
        output.echo([line], sys.stderr if self._session.json else self._session.stdout)


def _lines(session: Session, done: Moved) -> list[str]:
    lines = [f"compared {output.counted(done.columns, 'column')}, as the models read them"]
    for column, rows in done.replaced.items():
        was = f"the text CURRENT_TIMESTAMP, {output.counted(rows, 'row')}"
        lines.append(f"replaced {column}: {was}, by the time of the move")
    if done.file is not None:
        became = f"{output.counted(done.nulled, 'value')} became NULL"
        lines.append(f"unfit    {became}, and are in {session.near(done.file)}")
    lines += [f"left     {_left(left)}" for left in done.left]
    lines.append(f"committed {_rows_in(done.rows)} in {done.duration_ms / 1000:.2f} s")
    lines.append("next     set DATABASE_URL to the new database, and start the server")
    return lines


def _rows_in(rows: Mapping[str, int]) -> str:
    count = output.counted(sum(rows.values()), "row")
    return f"{count} in {output.counted(len(rows), 'table')}"


def _left(left: Left) -> str:
    rows = f", {output.counted(left.rows, 'row')}" if left.rows is not None else ""
    return f"{left.kind.value} {left.name}{rows}: no migration makes it"


def _document(done: Moved, to: str) -> dict[str, Any]:
    return {
        "to": to,
        "rows": dict(done.rows),
        "columns": done.columns,
        "replaced": [{"column": name, "values": count} for name, count in done.replaced.items()],
        "unfit": {"values": done.nulled, "file": str(done.file) if done.file else None},
        "left": [
            {"kind": left.kind.value, "name": left.name, "count": left.rows} for left in done.left
        ],
        "duration_ms": done.duration_ms,
    }
