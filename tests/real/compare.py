"""What is different between two looks at a database, and was not meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.real.outside import Look, quote


@dataclass
class Meant:
    """What an operation is meant to change, by names before and after it.

    ``renamed_tables`` and ``renamed_columns`` are old to new; ``values``: columns whose values may
    be others; ``gone`` and ``come``: names of objects; ``gone_columns`` and ``come_columns`` of
    (table, column); ``tables``: tables whose shape changes; ``indexes``: whose indexes do.  ``is_respelled``: names
    in texts may be quoted otherwise.  ``texts``: tables whose text may be another of the same sense.
    """

    tables: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    values: set[tuple[str, str]] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    come: set[str] = field(default_factory=set)
    gone_columns: set[tuple[str, str]] = field(default_factory=set)
    come_columns: set[tuple[str, str]] = field(default_factory=set)
    renamed_tables: dict[str, str] = field(default_factory=dict)
    renamed_columns: dict[tuple[str, str], str] = field(default_factory=dict)
    is_respelled: bool = False
    texts: set[str] = field(default_factory=set)

    def touches(self, table: str) -> bool:
        """Whether some of its columns are to be others."""
        columns = self.values | self.gone_columns | set(self.renamed_columns) | self.come_columns
        return any(name == table for name, _ in columns)


def differences(before: Look, after: Look, meant: Meant) -> list[str]:
    """All that is otherwise, and was not meant; in words."""
    found: list[str] = []
    found += _objects_differ(before, after, meant)
    found += _shapes_differ(before, after, meant)
    found += _contents_differ("table", before.contents, after.contents, before, meant)
    found += _contents_differ("view", before.views, after.views, before, meant)
    for table, count in before.counts.items():
        name = _new_name(table, meant)
        if table not in meant.gone and after.counts.get(name) != count:
            found.append(f"rows of {table}: {count}, and then {after.counts.get(name)}")
    for table, mark in before.marks.items():
        if mark is None:
            continue  # as good as none
        if table not in meant.gone and after.marks.get(_new_name(table, meant)) != mark:
            found.append(f"id mark of {table}: {mark}, and then {after.marks}")
    found += [f"integrity: {line}" for line in after.integrity - before.integrity - {"ok"}]
    moved = Counter({_moved(row, meant): count for row, count in before.dangling.items()})
    if new := Counter(after.dangling) - moved:
        found.append(f"dangling: {list(new)[:3]}")
    found += _outcomes_differ("writing", before.fired, after.fired, meant)
    found += _outcomes_differ("index", before.used, after.used, meant)
    found += _outcomes_differ("search", before.searched, after.searched, meant)
    if before.settings != after.settings:
        found.append(f"settings: {before.settings}, and then {after.settings}")
    return found


def _new_name(table: str, meant: Meant) -> str:
    return meant.renamed_tables.get(table, table)


def _moved(row: Any, meant: Meant) -> Any:
    if isinstance(row, str):
        return row
    return _new_name(row[0], meant), row[1], _new_name(row[2], meant)


def _objects_differ(before: Look, after: Look, meant: Meant) -> list[str]:
    found = []
    renamed = {n.lower() for n in meant.renamed_tables}
    renamed |= {column.lower() for _, column in meant.renamed_columns}
    for (kind, name), sql in before.objects.items():
        new = _new_name(name, meant)
        if name in meant.gone or name.startswith("sqlite_autoindex_"):
            continue
        if (kind, new) not in after.objects:
            is_part = any(new.startswith(f"{n}_") for n in meant.renamed_tables) or any(
                name.startswith(f"{old}_") for old in meant.renamed_tables
            )
            if not is_part:
                found.append(f"{kind} {name} is gone")
            continue
        text = after.objects[kind, new]
        may = name in meant.tables | meant.texts | set(meant.renamed_tables) or any(
            word in (sql or "").lower() for word in renamed
        )
        if text != sql and not may and not (meant.is_respelled and _plain(text) == _plain(sql)):
            found.append(f"{kind} {name} reads {text!r} after {sql!r}")
        elif (
            may
            and kind == "table"
            and _comments(text) != _comments(sql)
            and not (renamed or meant.gone_columns or meant.come_columns)
        ):
            found.append(f"comments of {name}: {_comments(text)} after {_comments(sql)}")
    known = {_new_name(name, meant) for _, name in before.objects} | meant.come
    prefixes = tuple(f"{new}_" for new in meant.renamed_tables.values())
    found += [
        f"{kind} {name} has come"
        for kind, name in after.objects
        if name not in known
        and not name.startswith("sqlite_autoindex_")
        and not (prefixes and name.startswith(prefixes))
    ]
    return found


def _plain(sql: str | None) -> str:
    return re.sub(r'["`\'\[\]\s]', "", sql or "").lower()


def _comments(sql: str | None) -> list[str]:
    return re.findall(r"--[^\n]*|/\*.*?\*/", sql or "", re.S)


def _shapes_differ(before: Look, after: Look, meant: Meant) -> list[str]:
    found = []
    for table, shape in before.shapes.items():
        if table in meant.gone or table in meant.tables:
            continue
        other = after.shapes.get(_new_name(table, meant))
        if other is None:
            found.append(f"table {table} is gone")
            continue
        if meant.renamed_tables or meant.renamed_columns:
            parts = ("options",)  # names in it are others; SQLite's own rename is trusted with that
        else:
            parts = ("columns", "keys", "indexes", "options")
        for part in parts:
            is_meant = part == "indexes" and table in meant.indexes
            if shape[part] != other[part] and not is_meant:
                found.append(
                    f"{part} of {table}: {_short(other[part])}, before {_short(shape[part])}"
                )
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}…"


def _contents_differ(
    kind: str,
    old: Mapping[str, Mapping[str, str]],
    new: Mapping[str, Mapping[str, str]],
    before: Look,
    meant: Meant,
) -> list[str]:
    found = []
    for name, columns in old.items():
        if name in meant.gone:
            continue
        others = new.get(_new_name(name, meant))
        if others is None:
            if not any(name.startswith(f"{table}_") for table in meant.renamed_tables):
                found.append(f"{kind} {name} is gone")
            continue
        is_touched = (kind == "view" or name in before.virtual) and (
            meant.values or meant.gone_columns or meant.renamed_columns
        )
        for column, value in columns.items():
            target = meant.renamed_columns.get((name, column), column)
            if (name, column) in meant.gone_columns | meant.values:
                continue
            if column == " rows" and (kind == "view" or meant.touches(name)):
                continue
            if others.get(target) != value:
                if is_touched and " error" not in others:
                    continue
                if column == " error" and others.get(" error"):
                    continue  # broken before and after
                what = others.get(" error") or f"{kind} {name}: values of {column.strip()}"
                found.append(f"{kind} {name}: {what}")
    return list(dict.fromkeys(found))


def _outcomes_differ(
    kind: str, old: Mapping[Any, Any], new: Mapping[Any, Any], meant: Meant
) -> list[str]:
    found = []
    for key, value in old.items():
        if isinstance(key, tuple):
            table, event = key
            word, _, column = event.partition(" ")
            plain = column[1:-1].replace('""', '"')
            if table in meant.gone or (table, plain) in meant.gone_columns:
                continue
            column = quote(meant.renamed_columns.get((table, plain), plain)) if column else ""
            target: Any = (_new_name(table, meant), f"{word} {column}".strip())
        else:
            if key in meant.gone or (kind == "index" and meant.values):
                continue  # there may be more entries, or fewer
            target = _new_name(key, meant)
        now = new.get(target)
        if isinstance(value, str) and isinstance(now, bool):
            continue  # it was broken, and is not any more
        is_renamed = bool(meant.renamed_tables or meant.renamed_columns)
        is_worded = is_renamed or "mismatch" in str(value)
        if now == value or (isinstance(value, str) and isinstance(now, str) and is_worded):
            continue  # as it was, or as broken as it was
        if now is None and is_renamed and value is not True:
            continue  # a column of a view has the new name
        if now is not None and "malformed" in repr(value):
            continue  # an index of words that was damaged before
        if isinstance(now, bool) and isinstance(value, bool) and _is_meant(key, meant):
            continue
        found.append(f"{kind} {key}: {_short(now)}, before {_short(value)}")
    return found


def _is_meant(key: Any, meant: Meant) -> bool:
    """Whether the rules for rows of this table are what the operation changes."""
    is_changed = meant.tables or meant.gone or meant.come or meant.values
    return bool(is_changed) and isinstance(key, tuple)
