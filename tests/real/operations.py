"""Every verb for a table, as migrations: what to write, what it is meant to change, and how SQLite
itself would do it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.real.compare import Meant
from tests.real.outside import kinds_of_tables, quote

Edit = Callable[[Any], Any]  # a CREATE TABLE in parts in, another out


@dataclass(frozen=True)
class Operation:
    """``up`` and ``down`` are calls of the migrator, in Python.  ``holds`` is a query whose first
    value is 1 once it is done.  ``own`` is SQLite's own way: statements, or an edit of the table's
    text for its procedure for other changes.  ``returns``: whether ``down`` brings all back."""

    name: str
    table: str
    up: str
    down: str
    meant: Meant
    holds: str
    own: tuple[str, ...] | Edit | None = None
    returns: bool = True

    @property
    def is_of_values(self) -> bool:
        """Whether it fails on what an expression gives, which no plan can know."""
        return self.name.startswith(("fill", "apply_default"))


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    nullable: bool
    default: str | None
    key: int
    generated: int
    kind: str


class Source:
    """One table, read by plain SQLite."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self.connection, self.table = connection, table
        self.sql = str(self._value("SELECT sql FROM sqlite_master WHERE name = ?", table))
        self.keys = self._keys()
        self.indexes = [str(r[0]) for r in self._rows(
            "SELECT name FROM sqlite_master WHERE tbl_name = ? AND type = 'index' AND sql IS NOT NULL",
            table)]  # fmt: skip
        self.columns = self._columns()

    def _value(self, sql: str, *values: Any) -> Any:
        row = self.connection.execute(sql, values).fetchone()
        return row[0] if row else None

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self.connection.execute(sql, values).fetchall()

    def _keys(self) -> dict[str, Any]:
        """By column, keys of one column: parent, its column, on update, on delete."""
        rows = self._rows(f"PRAGMA foreign_key_list({quote(self.table)})")
        single = [r for r in rows if sum(o[0] == r[0] for o in rows) == 1]
        return {str(r[3]): r for r in single}

    def _columns(self) -> list[Column]:
        unique, indexed = set(), set()
        for row in self._rows(f"PRAGMA index_list({quote(self.table)})"):
            names = [r[2] for r in self._rows(f"PRAGMA index_info({quote(row[1])})")]
            (unique if row[2] and len(names) == 1 else indexed).update(names)
        found = []
        for row in self._rows(f"PRAGMA table_xinfo({quote(self.table)})"):
            name = str(row[1])
            kind = (
                "generated" if row[6] in (2, 3)
                else "key" if row[5]
                else "reference" if name in self.keys
                else "unique" if name in unique
                else "indexed" if name in indexed
                else "plain"
            )  # fmt: skip
            if row[6] in (0, 2, 3):
                found.append(Column(name, str(row[2]), not row[3], row[4], row[5], row[6], kind))
        return found

    def some_columns(self, of_each: int) -> list[Column]:
        counts: dict[str, int] = {}
        some = []
        for column in self.columns:
            counts[column.kind] = counts.get(column.kind, 0) + 1
            if counts[column.kind] <= of_each:
                some.append(column)
        return some


def all_of(connection: sqlite3.Connection, of_each: int = 2) -> Iterator[Operation]:
    """For every table that people made; of its columns ``of_each`` of every kind."""
    kinds = kinds_of_tables(connection)
    parent = _parent(connection, kinds)
    for table, kind in kinds.items():
        if kind == "table":
            source = Source(connection, table)
            yield from _of_table(source)
            for column in source.some_columns(of_each):
                yield from _of_column(source, column, parent)
            yield from _of_indexes(source, of_each)
            yield from _of_constraints(source, of_each)
        elif kind == "virtual":
            yield from _of_virtual(Source(connection, table))


def _parent(connection: sqlite3.Connection, kinds: dict[str, str]) -> tuple[str, str] | None:
    """A table that a foreign key may refer to."""
    for table, kind in kinds.items():
        if kind == "table":
            keys = [r for r in connection.execute(f"PRAGMA table_xinfo({quote(table)})") if r[5]]
            if len(keys) == 1:
                return table, str(keys[0][1])
    return None


def _call(verb: str, *arguments: Any, raw: str = "") -> str:
    inner = ", ".join([*(repr(str(a)) for a in arguments), *([raw] if raw else [])])
    return f"migrator.migrate(migrator.{verb}({inner}))"


def _has_column(table: str, column: str, condition: str = "1") -> str:
    return (
        f"SELECT count(*) FROM pragma_table_xinfo({_text(table)}) "
        f"WHERE name = {_text(column)} AND {condition}"
    )


def _has_object(name: str) -> str:
    return f"SELECT count(*) FROM sqlite_master WHERE name = {_text(name)}"


def _is_gone(name: str) -> str:
    return f"SELECT NOT count(*) FROM sqlite_master WHERE name = {_text(name)}"


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _of_table(source: Source) -> Iterator[Operation]:
    t, q = source.table, quote(source.table)
    new = f"{t}_renamed"
    yield Operation(
        "rename_table", t, _call("rename_table", t, new), _call("rename_table", new, t),
        Meant(renamed_tables={t: new}), _has_object(new),
        (f"ALTER TABLE {q} RENAME TO {quote(new)}",),
    )  # fmt: skip
    yield Operation(
        "drop_table", t, _call("drop_table", t), "pass",
        Meant(gone={t, *_dependents(source)}), _is_gone(t), (f"DROP TABLE {q}",), returns=False,
    )  # fmt: skip
    for name, fields, definition in (
        ("add_column", "TextField(null=True)", "TEXT"),
        ("add_column not null", "IntegerField(default=7)", "INTEGER NOT NULL DEFAULT 7"),
        ("add_column unique", "UUIDField(default=uuid.uuid4, unique=True)", ""),
        ("add_column indexed", "CharField(null=True, index=True)", ""),
    ):
        meant = Meant(
            tables={t},
            come_columns={(t, "come")},
            come={f"{t}_come", f"{t}_come".replace(" ", "_")},
        )
        own = (f"ALTER TABLE {q} ADD COLUMN come {definition}",) if definition else None
        yield Operation(
            name, t, _call("add_column", t, "come", raw=fields), _call("drop_column", t, "come"),
            meant, _has_column(t, "come"), own,
        )  # fmt: skip
    model = f"type('M', (Model,), {{'come': TextField(null=True), 'Meta': type('Meta', (), {{'table_name': {t!r}, 'primary_key': False}})}})"
    yield Operation(
        "complete_table", t, _call("complete_table", raw=model), _call("drop_column", t, "come"),
        Meant(tables={t}, come_columns={(t, "come")}), _has_column(t, "come"),
        (f"ALTER TABLE {q} ADD COLUMN come TEXT",),
    )  # fmt: skip
    child = f"{t}_child"
    model = f"type('M', (Model,), {{'n': IntegerField(index=True), 'Meta': type('Meta', (), {{'table_name': {child!r}}})}})"
    yield Operation(
        "create_table", t, _call("create_table", raw=model), _call("drop_table", child),
        Meant(come={child, "m_n"}), _has_object(child),
        (f"CREATE TABLE {quote(child)} (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",),
    )  # fmt: skip
    yield from _several(source)


def _several(source: Source) -> Iterator[Operation]:
    """A column that is added, renamed with its table, indexed and dropped, in one migration."""
    t = source.table
    new = f"{t}_moved"
    up = f"""
m = migrator
m.migrate(m.add_column({t!r}, 'come', IntegerField(default=1)), m.rename_table({t!r}, {new!r}))
m.migrate(m.rename_column({new!r}, 'come', 'arrived'), m.add_index({new!r}, ('arrived',), name='ix_come'))
m.migrate(m.fill({new!r}, 'arrived', '2'), m.drop_not_null({new!r}, 'arrived'))
m.migrate(m.rename_table({new!r}, {t!r}))"""
    down = f"""
m = migrator
m.migrate(m.drop_index({t!r}, 'ix_come'), m.drop_column({t!r}, 'arrived'))"""
    yield Operation(
        "several", t, up, down,
        Meant(tables={t}, come={"ix_come"}, come_columns={(t, "arrived")}, is_respelled=True), _has_column(t, "arrived"),
    )  # fmt: skip


def _dependents(source: Source) -> set[str]:
    rows = source.connection.execute(
        "SELECT name FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE", (source.table,)
    )
    return {str(row[0]) for row in rows}


def _of_column(
    source: Source, column: Column, parent: tuple[str, str] | None
) -> Iterator[Operation]:
    t, c, q = source.table, column.name, quote(column.name)
    tq, about = quote(t), f" {column.kind}"
    old = f"Of({column.type!r}"
    own_indexes = {name for name in source.indexes if _columns(source, name) == [c]}

    def of(name: str, up: str, down: str, holds: str, own: Any, **more: Any) -> Operation:
        meant = more.pop("meant", None) or Meant(tables={t})
        return Operation(name + about, t, up, down, meant, holds, own, **more)

    yield of(
        "rename_column", _call("rename_column", t, c, f"{c}_renamed"),
        _call("rename_column", t, f"{c}_renamed", c), _has_column(t, f"{c}_renamed"),
        (f"ALTER TABLE {tq} RENAME COLUMN {q} TO {quote(c + '_renamed')}",),
        meant=Meant(tables={t}, renamed_columns={(t, c): f"{c}_renamed"}),
    )  # fmt: skip
    # SQLite's own DROP COLUMN wants the indexes dropped first, as its page says.
    drops = [f"DROP INDEX {quote(name)}" for name in sorted(own_indexes)]
    yield of(
        "drop_column", _call("drop_column", t, c),
        _call("add_column", t, c, raw=f"{old}, null=True)"), f"SELECT NOT ({_has_column(t, c)})",
        (*drops, f"ALTER TABLE {tq} DROP COLUMN {q}"),
        meant=Meant(tables={t}, gone_columns={(t, c)}, gone=own_indexes), returns=False,
    )  # fmt: skip
    yield from _properties(source, column, of, old)
    yield of(
        "fill", _call("fill", t, c, q), "pass", "SELECT 1",
        None if column.generated else (f"UPDATE {tq} SET {q} = {q}",), meant=Meant(),
    )  # fmt: skip
    yield of(
        "apply_default", _call("apply_default", t, c, raw="IntegerField(default=1)"), "pass",
        "SELECT 1", None, meant=Meant(values={(t, c)}), returns=False,
    )  # fmt: skip
    yield from _indexing(source, column, of)
    if c in source.keys:
        yield from _dropping_key(source, column, of)
    elif parent is not None:
        yield from _adding_key(source, column, parent, of)


Of = Callable[..., Operation]


def _properties(source: Source, column: Column, of: Of, old: str) -> Iterator[Operation]:
    from guarded.backends.sqlite import edits

    t, c = source.table, column.name
    not_null, null = _has_column(t, c, '"notnull" = 1'), _has_column(t, c, '"notnull" = 0')
    yield of(
        "add_not_null", _call("add_not_null", t, c), _call("drop_not_null", t, c), not_null,
        lambda table: edits.with_not_null(table, c),
    )  # fmt: skip
    yield of(
        "drop_not_null", _call("drop_not_null", t, c), _call("add_not_null", t, c), null,
        lambda table: edits.without_not_null(table, c),
    )  # fmt: skip
    value = "1" if column.type.upper().startswith(("INT", "BIGINT", "REAL", "NUM")) else "'open'"
    back = (
        _call("drop_column_default", t, c)
        if column.default is None
        else _call("add_column_default", t, c, raw=f"SQL({_default(column.default)!r})")
    )
    yield of(
        "add_column_default", _call("add_column_default", t, c, raw=f"SQL({value!r})"), back,
        _has_column(t, c, f"dflt_value = {_text(value)}"),
        lambda table: edits.with_default(table, c, value),
    )  # fmt: skip
    yield of(
        "drop_column_default", _call("drop_column_default", t, c),
        back if column.default is not None else "pass", _has_column(t, c, "dflt_value IS NULL"),
        lambda table: edits.without_default(table, c),
    )  # fmt: skip
    for type_ in ("TEXT", "BIGINT", "VARCHAR(80)"):
        field = f"Of({type_!r})"
        yield of(
            f"alter_column_type {type_}", _call("alter_column_type", t, c, raw=field),
            _call("alter_column_type", t, c, raw=f"{old})") if column.type else "pass",
            _has_column(t, c, f"type = {_text(type_)}"),
            # SQLite's way would end the numbering of rows.
            None if column.key and column.type.upper() == "INTEGER" else _retype(c, type_),
            returns=bool(column.type),
            meant=Meant(tables={t}, values={(t, c)}),
        )  # fmt: skip


def _default(text: str) -> str:
    """As SQL after DEFAULT: SQLite tells an expression without its parentheses."""
    return f"({text})" if "(" in text or " " in text.strip("'") else text


def _retype(column: str, type_: str) -> Edit:
    from guarded.backends.sqlite import edits

    return lambda table: edits.with_type(table, column, type_)


def _indexing(source: Source, column: Column, of: Of) -> Iterator[Operation]:
    from guarded.backends.sqlite import edits

    t, c, q, tq = source.table, column.name, quote(column.name), quote(source.table)
    for name, options, unique, where in (
        ("add_index", "", "", ""),
        ("add_index unique", ", True", "UNIQUE ", ""),
        (
            "add_index partial",
            f", where=SQL({f'{q} IS NOT NULL'!r})",
            "",
            f" WHERE {q} IS NOT NULL",
        ),
    ):
        yield of(
            name, _call("add_index", t, raw=f"({c!r},){options}, name='ix_come'"),
            _call("drop_index", t, "ix_come"), "SELECT 1",
            (f"CREATE {unique}INDEX ix_come ON {tq} ({q}){where}",), meant=Meant(come={"ix_come"}, indexes={t}),
        )  # fmt: skip
    yield of(
        "add_constraint", _call("add_constraint", t, "ck_come", raw=f"Check({f'{q} IS NULL OR 1'!r})"),
        _call("drop_constraint", t, "ck_come"),
        f"SELECT instr(sql, 'ck_come') > 0 FROM sqlite_master WHERE name = {_text(t)}",
        lambda table: edits.with_constraint(table, f"CONSTRAINT ck_come CHECK ({q} IS NULL OR 1)"),
    )  # fmt: skip
    yield of(
        "add_unique", _call("add_unique", t, c), _call("drop_constraint", t, f"uniq_{c}"),
        f"SELECT count(*) FROM pragma_index_list({_text(t)}) WHERE origin <> 'c' AND \"unique\"",
        lambda table: edits.with_constraint(table, f"CONSTRAINT {quote(f'uniq_{c}')} UNIQUE ({q})"),
    )  # fmt: skip


def _dropping_key(source: Source, column: Column, of: Of) -> Iterator[Operation]:
    from guarded.backends.sqlite.edits import foreign_key, without_constraint

    t, c = source.table, column.name
    _, _, parent, _, to, on_update, on_delete = source.keys[c][:7]
    to = to or "rowid"
    yield of(
        "drop_foreign_key", _call("drop_foreign_key_constraint", t, c),
        _call("add_foreign_key_constraint", t, c, parent, to, on_delete, on_update),
        f"SELECT NOT count(*) FROM pragma_foreign_key_list({_text(t)}) WHERE \"from\" = {_text(c)}",
        lambda table: without_constraint(table, foreign_key(table, c)), returns=False,
    )  # fmt: skip


def _adding_key(
    source: Source, column: Column, parent: tuple[str, str], of: Of
) -> Iterator[Operation]:
    from guarded.backends.sqlite import edits

    t, c = source.table, column.name
    text = f"FOREIGN KEY ({quote(c)}) REFERENCES {quote(parent[0])} ({quote(parent[1])})"
    yield of(
        "add_foreign_key", _call("add_foreign_key_constraint", t, c, *parent),
        _call("drop_foreign_key_constraint", t, c),
        f"SELECT count(*) FROM pragma_foreign_key_list({_text(t)}) WHERE \"from\" = {_text(c)}",
        lambda table: edits.with_constraint(table, text),
    )  # fmt: skip


def _columns(source: Source, index: str) -> list[Any]:
    return [row[0] for row in source.connection.execute(
        f"SELECT name FROM pragma_index_info({_text(index)})")]  # fmt: skip


def _of_indexes(source: Source, count: int) -> Iterator[Operation]:
    t = source.table
    for name in source.indexes[: 2 * count]:
        sql = source._value("SELECT sql FROM sqlite_master WHERE name = ?", name)
        yield Operation(
            "drop_index", t, _call("drop_index", t, name), _call("sql", sql),
            Meant(gone={name}, indexes={t}), _is_gone(name), (f"DROP INDEX {quote(name)}",),
        )  # fmt: skip


def _of_constraints(source: Source, count: int) -> Iterator[Operation]:
    from guarded.backends.sqlite.text import parse

    t = source.table
    names = re.findall(
        r'(CONSTRAINT\s+["`\[]?(\w+)["`\]]?\s+)(?:CHECK|UNIQUE|FOREIGN)',
        re.sub(r"--[^\n]*|/\*.*?\*/", "", source.sql, flags=re.DOTALL),
        re.IGNORECASE,
    )
    for words, name in names[:count]:
        yield Operation(
            "drop_constraint", t, _call("drop_constraint", t, name), "pass", Meant(tables={t}),
            f"SELECT instr(sql, {_text(words)}) = 0 FROM sqlite_master WHERE name = {_text(t)}",
            _unconstrain(name), returns=False,
        )  # fmt: skip
    for index in source._rows(f"PRAGMA index_list({quote(t)})"):
        if index[3] == "u":
            columns = [str(c) for c in _columns(source, str(index[1]))]
            name = f"uniq_{'_'.join(columns)}"
            if name not in parse(source.sql).names_of_constraints():
                continue
            down = _call("add_unique", t, *columns)
            yield Operation(
                "drop_constraint unique", t, _call("drop_constraint", t, name), down,
                Meant(tables={t}),
                f"SELECT count(*) < {len(source._rows(f'PRAGMA index_list({quote(t)})'))} FROM pragma_index_list({_text(t)})",
                _unconstrain(name),
            )  # fmt: skip


def _unconstrain(name: str) -> Edit:
    from guarded.backends.sqlite import edits

    return lambda table: edits.without_constraint(table, table.constraint(name))


def _of_virtual(source: Source) -> Iterator[Operation]:
    t, new = source.table, f"{source.table}_renamed"
    yield Operation(
        "rename_table virtual", t, _call("rename_table", t, new), _call("rename_table", new, t),
        Meant(renamed_tables={t: new}), _has_object(new),
        (f"ALTER TABLE {quote(t)} RENAME TO {quote(new)}",),
    )  # fmt: skip
    shadows = {
        name for name, kind in kinds_of_tables(source.connection).items()
        if kind == "shadow" and name.startswith(f"{t}_")
    }  # fmt: skip
    yield Operation(
        "drop_table virtual", t, _call("drop_table", t), "pass", Meant(gone={t, *shadows}),
        _is_gone(t), (f"DROP TABLE {quote(t)}",), returns=False,
    )  # fmt: skip
    first = source.columns[0].name
    yield Operation(
        "fill virtual", t, _call("fill", t, first, quote(first)), "pass", Meant(), "SELECT 1", None,
    )  # fmt: skip
