"""Rows on their way from one kind of database to another.

A value is sent as the target's column takes it, or counted as a misfit.  What was sent and what is
there afterwards are compared column by column, as the models read them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from guarded import copies
from guarded.backends.interface import Inspector, Load, Unfit
from guarded.dates import in_utc
from guarded.errors import UnusableFile, ValuesDoNotFit

if TYPE_CHECKING:
    from guarded.run import Runner
    from guarded.schema import Column, ForeignKey, Table

CHUNK = 1000  # rows that are converted and compared together
MOST = 1000  # misfits that are remembered
SHOWN = 40  # characters of a value in a sentence
# The words of a default in place of its value: an old fault of programs that quote too much.
WORDS = "CURRENT_TIMESTAMP"
PLAIN = {type(None), bool, int, float, str}
READABLE = {*PLAIN, bytes, datetime, date, time_of_day, timedelta, Decimal, uuid.UUID, list, dict}

Values = Sequence[Any]


class ColumnPair(NamedTuple):
    """A column in both databases; ``source`` is its name there.

    ``take`` makes a value for the target of one that is not None, or raises Unfit.  ``read`` gives
    what the models read.
    """

    source: str
    target: Column
    take: Callable[[Any], Any]
    read: Callable[[Any], Any] | None
    is_moment: bool
    is_json: bool

    def taken(self, values: Values, now: datetime) -> tuple[list[Any], dict[int, str]]:
        """Return the values for the target, and the reason for each that does not fit, by place."""
        if self.is_moment and WORDS in values:
            values = [now if value == WORDS else value for value in values]
        take = self.take
        if self.target.nullable or None not in values:
            with suppress(Unfit):
                return [None if value is None else take(value) for value in values], {}
        found: list[Any] = []
        misfits = {}
        for place, value in enumerate(values):
            try:
                if value is None and not self.target.nullable:
                    raise Unfit("is not allowed there")
                found.append(None if value is None else take(value))
            except Unfit as exc:
                found.append(None)
                misfits[place] = str(exc)
        return found, misfits

    def readings(self, values: Values) -> list[Any]:
        """Return the target's values as the models read them, in one spelling."""
        if self.is_json:
            return [None if v is None else _spelled(json.loads(v)) for v in values]
        read = self.read
        if read is not None:
            values = [_read(read, value) for value in values]
        if set(map(type, values)) <= PLAIN:
            return list(values)
        return [_spelled(value) for value in values]


def column_pair(
    source: str, target: Column, field: Any, load: Load, *, is_moment: bool
) -> ColumnPair:
    """``field`` is the model's, or None; ``is_moment``: its values are dates."""
    take = load.fitting(target)
    read = field.python_value if field is not None else None

    def take_reading(value: Any) -> Any:
        assert read is not None
        try:
            return take(read(value))
        except Unfit:
            raise
        except Exception as exc:  # whatever a field of the application raises
            raise Unfit(f"can't be read by the model: {exc}") from exc

    takes = take_reading if is_moment and read is not None else take
    return ColumnPair(source, target, takes, read, is_moment, load.is_json(target))


class Pair(NamedTuple):
    """A table in both databases, with the target's foreign keys and the number of rows."""

    source: Table
    target: Table
    columns: tuple[ColumnPair, ...]
    keys: tuple[ForeignKey, ...]
    rows: int

    def row_of(self, values: Values, number: int) -> dict[str, Any]:
        """Return the row's key; its number where the table has none."""
        key = {
            column.target.name: value
            for column, value in zip(self.columns, values)
            if column.target.primary_key
        }
        return key or {"row": number}


class Misfits:
    """Values that the target can't hold.

    Remembers those that stop the move, and writes those that become NULL into a file.
    """

    def __init__(self, beside: Path, *, nulls: bool) -> None:
        self._nulls, self._beside = nulls, beside
        self._file: IO[str] | None = None
        self._stopping: list[str] = []
        self._count = self._needed = 0
        self.nulled = 0
        self.path: Path | None = None

    @contextmanager
    def kept_if(self, runner: Runner) -> Iterator[Misfits]:
        """Remove the file unless the runner has committed at the end of the block."""
        try:
            yield self
        finally:
            if self._file is not None:
                self._file.close()
            if self.path is not None and not runner.committed:
                self.path.unlink(missing_ok=True)

    def add(self, table: str, row: Mapping[str, Any], column: Column, value: Any, why: str) -> bool:
        """Return True if the value stops the move."""
        if self._nulls and column.nullable:
            self._write(
                {"table": table, "key": row, "column": column.name, "value": value, "why": why}
            )
            self.nulled += 1
            return False
        self._count += 1
        self._needed += not column.nullable
        if len(self._stopping) < MOST:
            key = " and ".join(f"{name} = {_shown(part)}" for name, part in row.items())
            sentence = f"{table}.{column.name} where {key}: {_shown(value)} {why}"
            self._stopping.append(sentence)
        return True

    def refuse(self) -> None:
        """Raise ValuesDoNotFit if a value stops the move."""
        if self._count:
            nullable = "correct them in the source, or let them become NULL"
            needed = "correct them in the source"
            remedy = needed if self._needed else nullable
            raise ValuesDoNotFit(self._stopping, self._count, remedy)

    def close(self) -> None:
        """Make the file durable."""
        if self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as exc:
                raise _unwritten(self._file.name, exc) from exc

    def _write(self, misfit: Mapping[str, Any]) -> None:
        path = self._beside.with_name(f"{self._beside.name}.unfit.{copies.stamp()}.jsonl")
        try:
            if self._file is None:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                self._file, self.path = os.fdopen(descriptor, "w"), path
                if hasattr(os, "chown") and os.geteuid() == 0:
                    owner = self._beside.stat()
                    os.chown(path, owner.st_uid, owner.st_gid)
            print(json.dumps(misfit, default=_hexadecimal), file=self._file)
        except OSError as exc:
            raise _unwritten(path, exc) from exc


class Transfer:
    """Copies tables, and compares what has arrived."""

    def __init__(
        self, source: Inspector, quote: Callable[[str], str], load: Load, now: datetime
    ) -> None:
        """``quote`` is the source's.  ``now`` takes the place of the text CURRENT_TIMESTAMP."""
        self._source, self._quote, self._load, self._now = source, quote, load, now
        self._sums: dict[str, list[str]] = {}
        self._sent: dict[str, int] = {}
        self.replaced: Counter[str] = Counter()

    def copy(
        self, pair: Pair, misfits: Misfits, done: Callable[[int], None], limit: int | None = None
    ) -> None:
        """Copy the rows of the table, or so many as ``limit`` says.

        A row with a value that stops the move is left out.
        """
        sums = _Sums(pair.columns)

        def rows() -> Iterator[Values]:
            dangling = [self._dangling(pair, key) for key in pair.keys]
            number = 0
            for chunk in _chunks(itertools.islice(self._rows(pair), limit)):
                values = self._taken(pair, chunk, number, misfits, dangling)
                sums.add(values)
                yield from zip(*values)
                number += len(chunk)
                done(number)

        self._load.copy(pair.target.name, [c.target.name for c in pair.columns], rows())
        self._sums[pair.target.name], self._sent[pair.target.name] = sums.digests(), sums.rows

    def compare(self, pair: Pair, done: Callable[[int], None] = lambda rows: None) -> list[str]:
        """Return a sentence for each column that does not read as it was sent."""
        name, sums = pair.target.name, _Sums(pair.columns)
        for chunk in _chunks(self._load.rows(name, [column.target for column in pair.columns])):
            sums.add([list(values) for values in zip(*chunk)])
            done(sums.rows)
        if sums.rows != self._sent[name]:
            return [f"table '{name}': {self._sent[name]} rows were sent, and {sums.rows} are there"]
        return [
            f"column '{name}.{column.target.name}' does not read as it did"
            for column, sent, found in zip(pair.columns, self._sums[name], sums.digests())
            if sent != found
        ]

    def try_out(self, pair: Pair, rows: int) -> None:
        """Copy and compare so many of its rows, and delete them."""
        trial = Transfer(self._source, self._quote, self._load, self._now)
        trial.copy(pair, _Unheard(Path(), nulls=True), lambda done: None, rows)
        trial.compare(pair)
        self._load.empty(pair.target.name)

    def _rows(self, pair: Pair) -> Iterator[Values]:
        columns = ", ".join(self._quote(column.source) for column in pair.columns)
        yield from self._source.execute(f"SELECT {columns} FROM {self._quote(pair.source.name)}")

    def _taken(
        self,
        pair: Pair,
        chunk: Sequence[Values],
        number: int,
        misfits: Misfits,
        dangling: Sequence[tuple[list[int], set[Values], str]],
    ) -> list[list[Any]]:
        """Return the values of the rows that are sent, column by column."""
        found: list[list[Any]] = []
        stopped: set[int] = set()

        def tell(column: ColumnPair, place: int, value: Any, why: str) -> None:
            row = pair.row_of(chunk[place], number + place + 1)
            if misfits.add(pair.target.name, row, column.target, value, why):
                stopped.add(place)

        for column, values in zip(pair.columns, zip(*chunk)):
            taken, unfit = column.taken(values, self._now)
            found.append(taken)
            if column.is_moment and (words := values.count(WORDS)):
                self.replaced[f"{pair.target.name}.{column.target.name}"] += words
            for place, why in unfit.items():
                tell(column, place, values[place], why)
        for places, lost, parent in dangling:
            for place, row in enumerate(chunk) if lost else ():
                if tuple(row[i] for i in places) in lost:
                    # Without one of its columns the key refers to nothing.
                    i = next((i for i in places if pair.columns[i].target.nullable), places[0])
                    tell(pair.columns[i], place, row[i], f"refers to no row of '{parent}'")
                    found[i][place] = None
        if stopped:
            return [[v for n, v in enumerate(values) if n not in stopped] for values in found]
        return found

    def _dangling(self, pair: Pair, key: ForeignKey) -> tuple[list[int], set[Values], str]:
        """The places of the key's columns, and its values that refer to no row."""
        names = [column.target.name for column in pair.columns]
        places = [names.index(name) for name in key.columns]
        child = [f"c.{self._quote(pair.columns[place].source)}" for place in places]
        parent = [f"p.{self._quote(name)}" for name in key.parent_columns]
        same = " AND ".join(f"{one} = {other}" for one, other in zip(parent, child))
        there = " AND ".join(f"{name} IS NOT NULL" for name in child)
        rows = self._source.execute(
            f"SELECT DISTINCT {', '.join(child)} FROM {self._quote(pair.source.name)} AS c "
            f"WHERE {there} AND NOT EXISTS "
            f"(SELECT 1 FROM {self._quote(key.parent)} AS p WHERE {same})"
        )
        return places, {tuple(row) for row in rows}, key.parent


class _Unheard(Misfits):
    """Forgets what it hears: the rows are a trial."""

    def add(self, table: str, row: Mapping[str, Any], column: Column, value: Any, why: str) -> bool:
        return True


class _Sums:
    """A checksum of each column, over what the models read, in the order of the rows."""

    def __init__(self, columns: Sequence[ColumnPair]) -> None:
        self._columns = columns
        self._sums = [hashlib.sha256() for _ in columns]
        self.rows = 0

    def add(self, values: Sequence[list[Any]]) -> None:
        self.rows += len(values[0])
        for column, sum_, each in zip(self._columns, self._sums, values):
            sum_.update(repr(column.readings(each)).encode("utf-8", "backslashreplace"))

    def digests(self) -> list[str]:
        return [sum_.hexdigest() for sum_ in self._sums]


def _chunks(rows: Iterable[Values]) -> Iterator[list[Values]]:
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def _read(read: Callable[[Any], Any], value: Any) -> Any:
    """Return the model's reading, or the value itself where that can't be compared."""
    try:
        reading = read(value)
    except Exception:  # it could not read it in the source either
        return value
    return reading if type(reading) in READABLE else value


def _spelled(value: Any) -> Any:
    """Return one spelling for all values that mean the same."""
    if isinstance(value, datetime):
        return in_utc(value).isoformat()
    if isinstance(value, Decimal):
        return value.as_integer_ratio()
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True, default=str)
    return value


def _shown(value: Any) -> str:
    text = "NULL" if value is None else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _unwritten(path: Path | str, exc: OSError) -> UnusableFile:
    why = f"can't be written: {exc.strerror or exc}"
    return UnusableFile(Path(path), why, "free some space, or check the owner of its folder")


def _hexadecimal(value: Any) -> Any:
    return {"bytes": value.hex()} if isinstance(value, bytes) else str(value)
