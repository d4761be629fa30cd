"""Values that an ``up`` drops, in a file of their own, from which its ``down`` refills.

A file is one JSON value a line: first what was dropped and from where, then its rows, and so on.
Rows in which a dropped column has its constant default, or NULL where it has no default, are left
out: the column comes back with these.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from guarded import copies
from guarded.backends.interface import Inspector, Names
from guarded.changes import RawText
from guarded.errors import KeptFailed, Refused
from guarded.schema import Table
from guarded.steps import Kept, Kind, Target

CONSTANT = re.compile(r"[-+]?\d|'|[xX]'")
SAMPLE = 200  # rows whose length tells about how long a file gets
MARGIN = 1 << 20  # bytes that stay free beside the file
CHUNK = 1 << 20
SURROGATE = "\\ud"  # how JSON begins one; a text that is no UTF-8 has some
JSON = (str, int, float, type(None))


class Part(NamedTuple):
    """The values that one drop took: the ``columns`` of each row, by its ``key``.

    A whole table has no key, and may have a ``mark``: the highest id that it has given out.
    """

    target: Target
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int
    mark: int | None = None


class Keeper:
    """Writes the file of one migration, if there is something to keep."""

    def __init__(self, path: Path, owner_of: Path | None) -> None:
        """``owner_of``: the file is for the owner of that one, where this process may give it."""
        self.path, self._owner_of = path, owner_of
        self.rows = 0
        self.unkept: list[str] = []
        self._file: IO[str] | None = None

    def keep(self, inspector: Inspector, names: Names, table: Table, target: Target) -> int:
        """Write what a drop of the target will take; gives how many rows.

        Raises KeptFailed, where the disk has no room for example.
        """
        if table.kind != "table":
            self.unkept.append(f"table '{table.name}' is no ordinary table")
            return 0
        if target.kind is Kind.TABLE:
            key: tuple[str, ...] = ()
            columns = tuple(c.name for c in table.columns if not c.generated)
            condition = ""
        else:
            (column,) = [c for c in table.columns if c.name == target.name]
            key, columns = table.key, (column.name,)
            comes_back = column.meaning or "NULL"
            condition = names.differs(names.quote(column.name), comes_back)
            if column.meaning is not None and not CONSTANT.match(column.meaning):
                condition = ""  # nobody knows with which value a row comes back
            if column.generated:
                return 0
        try:
            rows = inspector.count(table.name, condition)
            if keyless := _keyless(names, table, key):
                condition = condition or "1 = 1"
                if untold := inspector.count(table.name, f"({condition}) AND ({keyless})"):
                    have = "1 row" if untold == 1 else f"{untold} rows"
                    self.unkept.append(f"{have} of table '{table.name}' with NULL in the key")
                condition, rows = f"({condition}) AND NOT ({keyless})", rows - untold
        except Refused as exc:
            self.unkept.append(str(exc))
            return 0
        if rows and target.kind is Kind.COLUMN and not key:
            self.unkept.append(f"table '{table.name}' has no primary key")
            return 0
        mark = inspector.id_mark(table.name) if target.kind is Kind.TABLE else None
        if rows or mark is not None:
            part = Part(target, key, columns, rows, mark)
            self._write(part, self._select(inspector, names, table, part, condition))
        return rows

    def close(self) -> Kept | None:
        """Make the file durable; None when there was nothing to keep."""
        if self._file is None:
            return Kept("", "", 0, tuple(self.unkept)) if self.unkept else None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            for folder in (self.path.parent, self.path.parent.parent):  # which may be new
                copies.sync(folder)
        except OSError as exc:
            raise KeptFailed(self.path, exc.strerror or str(exc)) from exc
        self._file = None
        return Kept(str(self.path), checksum(self.path), self.rows, tuple(self.unkept))

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        with suppress(OSError):  # there may be no such folder
            self.path.unlink(missing_ok=True)

    def _select(
        self, inspector: Inspector, names: Names, table: Table, part: Part, condition: str
    ) -> Generator[Sequence[Any], None, None]:
        found = {column.name: names.exact(column) for column in table.columns}
        columns = ", ".join(found[name] for name in (*part.key, *part.columns))
        where = f" WHERE {condition}" if condition else ""
        yield from inspector.execute(f"SELECT {columns} FROM {names.quote(table.name)}{where}")

    def _write(self, part: Part, rows: Generator[Sequence[Any], None, None]) -> None:
        target = part.target
        head = {
            "dropped": [target.kind.value, target.table, target.name],
            "key": part.key,
            "columns": part.columns,
            "rows": part.rows,
            **({"mark": part.mark} if part.mark is not None else {}),
        }
        try:
            file = self._open()
            print(json.dumps(head, ensure_ascii=False), file=file)
            begin = file.tell()
            with closing(rows):
                for number, row in enumerate(rows, 1):
                    print(_line(row), file=file)
                    if number == SAMPLE:
                        self._look_for_room(file.tell() - begin, part.rows)
        except OSError as exc:
            raise KeptFailed(self.path, exc.strerror or str(exc)) from exc
        self.rows += part.rows

    def _open(self) -> IO[str]:
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=CHUNK)
            if self._owner_of is not None and hasattr(os, "chown") and os.geteuid() == 0:
                status = self._owner_of.stat()
                for path in (self.path, self.path.parent):
                    os.chown(path, status.st_uid, status.st_gid)
        return self._file

    def _look_for_room(self, sample: int, rows: int) -> None:
        """``sample``: the bytes of the first rows, so many as SAMPLE says."""
        needed = sample * rows // SAMPLE + MARGIN
        free = shutil.disk_usage(self.path.parent).free
        if free < needed:
            why = f"about {needed / 1e6:.1f} MB are needed, and {free / 1e6:.1f} MB are free"
            raise KeptFailed(self.path, why)


def _keyless(names: Names, table: Table, key: Sequence[str]) -> str:
    """The condition for rows that their key does not tell from others, if there can be some."""
    nullable = (c.name for c in table.columns if c.name in key and c.nullable)
    return " OR ".join(f"{names.quote(name)} IS NULL" for name in nullable)


def parts(path: Path) -> Iterator[tuple[Part, Iterator[tuple[Any, ...]]]]:
    """Yield the content of the file, drop by drop; the caller reads the rows of each."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            head = json.loads(line)
            kind, table, name = head["dropped"]
            target = Target(Kind(kind), table, name)
            key, columns = tuple(head["key"]), tuple(head["columns"])
            part = Part(target, key, columns, head["rows"], head.get("mark"))
            yield part, _rows(file, part.rows)


def missing(kept: Kept) -> str | None:
    """Why the file can't be used, or None."""
    path = Path(kept.path)
    if not path.is_file():
        return f"'{path}' with {kept.rows} dropped values is missing"
    if checksum(path) != kept.sha256:
        return f"'{path}' with {kept.rows} dropped values was changed"
    return None


def checksum(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _rows(lines: Iterable[str], count: int) -> Iterator[tuple[Any, ...]]:
    for _, line in zip(range(count), lines):
        yield tuple(_decoded(value) for value in json.loads(line))


def _line(row: Sequence[Any]) -> str:
    """The row as JSON.  Values that JSON has no word for are rare, so they are looked for last."""
    try:
        line = PLAIN.encode(row)
    except ValueError:  # a number that is not finite
        line = SURROGATE
    return PLAIN.encode([_encoded(value) for value in row]) if SURROGATE in line else line


def _encoded(value: Any) -> Any:
    """Put a value that JSON has no word for into an object of one item."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, str) and not _is_valid(value):
        return {"text": base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    # A time, a number without rounding, a UUID: PostgreSQL takes its text for it.
    return value if isinstance(value, JSON) else str(value)


PLAIN = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_encoded)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        ((kind, text),) = value.items()
        if kind == "float":
            return float(text)
        raw = base64.b64decode(text)
        return RawText(raw) if kind == "text" else raw
    return value


def _is_valid(text: str) -> bool:
    """Old damage comes from the database with a surrogate for each byte that is no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
