"""A schema in one spelling, so that two can be compared: the live one, or what models declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from peewee import SqliteDatabase

from server.migrations.engine import history, introspection
from server.migrations.engine.introspection import Column, Execute, ForeignKey
from server.migrations.engine.sql.create_table import Constraint, UnreadableTable, parse
from server.migrations.engine.sql.names import fold, literal, quote
from server.migrations.engine.sql.tokens import Token, tokens


@dataclass(frozen=True)
class IndexShape:
    """``parts`` are what is indexed and how, ``where`` the rest: both in one spelling."""

    name: str
    unique: bool
    parts: tuple[str, ...]
    where: str
    sql: str | None

    def __str__(self) -> str:
        unique = "unique index" if self.unique else "index"
        where = f" where {self.where}" if self.where else ""
        return f"{unique} on ({', '.join(self.parts)}){where}"


class CheckShape(NamedTuple):
    """``text`` as it is written, without the parentheses around it."""

    text: str
    name: str | None


@dataclass(frozen=True)
class TableShape:
    """A table in one spelling, by which its checks are known.

    ``python_defaults`` are those that the model gives in Python.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    collations: Mapping[str, str]
    expressions: Mapping[str, str]
    indexes: tuple[IndexShape, ...]
    foreign_keys: tuple[ForeignKey, ...]
    checks: Mapping[str, CheckShape]
    is_numbered: bool  # by SQLite: the key is an alias of the rowid
    autoincrement: bool
    strict: bool
    without_rowid: bool
    python_defaults: Mapping[str, str]


Schema = Mapping[str, TableShape]


def live_schema(execute: Execute) -> Schema:
    """The ordinary tables of the database by folded name, without the history."""
    kinds = {row[1]: row[2] for row in execute("PRAGMA table_list")}
    return {
        fold(o.name): table_shape(execute, o.name, o.sql or "")
        for o in introspection.objects(execute)
        if o.kind == "table" and o.name != history.TABLE and kinds.get(o.name, "table") == "table"
    }


def declared_schema(models: Sequence[Any]) -> Schema:
    """What the models would create: they are created, on a database in memory, and looked at."""
    scratch = SqliteDatabase(":memory:")
    with scratch.bind_ctx(models), scratch.connection_context():
        scratch.create_tables(models)
        schema = dict(live_schema(scratch.connection().execute))
    for model in models:
        defaults = {
            fold(field.column_name): literal(field.db_value(field.default))
            for field in model._meta.sorted_fields
            if field.default is not None and not callable(field.default)
        }
        name = fold(model._meta.table_name)
        schema[name] = replace(schema[name], python_defaults=defaults)
    return schema


def table_shape(execute: Execute, name: str, sql: str) -> TableShape:
    try:
        text = parse(sql)
    except UnreadableTable:
        text = parse("CREATE TABLE t (c)")
    collations, expressions = {}, {}
    for column in text.columns:
        if collate := column.constraint("COLLATE"):
            collations[fold(column.name)] = fold(collate.tokens[-1].name or "")
        if generated := column.constraint("GENERATED"):
            expressions[fold(column.name)] = spelling(inside(generated.tokens))
    return TableShape(
        name,
        sql,
        introspection.columns(execute, name),
        collations,
        expressions,
        _indexes(execute, name),
        introspection.foreign_keys(execute, name),
        dict(_check(sql, c) for c in text.all_constraints if c.kind == "CHECK"),
        _is_numbered(execute, name),
        text.autoincrement,
        text.strict,
        text.without_rowid,
        {},
    )


def _is_numbered(execute: Execute, table: str) -> bool:
    """Only a key that is the rowid itself has no index of its own; ``INT`` or ``DESC`` has one,
    https://www.sqlite.org/lang_createtable.html#rowid."""
    has_key = any(c.primary_key for c in introspection.columns(execute, table))
    return has_key and all(i.origin != "pk" for i in introspection.indexes(execute, table))


def _check(sql: str, constraint: Constraint) -> tuple[str, CheckShape]:
    parts = inside(constraint.tokens)
    return spelling(parts), CheckShape(sql[parts[0].start : parts[-1].end], constraint.name)


def _indexes(execute: Execute, table: str) -> tuple[IndexShape, ...]:
    shapes = []
    for index in introspection.indexes(execute, table):
        if index.origin == "pk":
            continue
        rows = list(execute(f"PRAGMA index_xinfo({quote(index.name)})"))
        parts = []
        texts, where = _index_text(index.sql)
        for position, (_, _, name, descending, collation, in_key) in enumerate(rows):
            if in_key:
                part = fold(name) if name is not None else texts[position]
                part += "" if collation == "BINARY" else f" collate {fold(collation)}"
                parts.append(part + (" desc" if descending else ""))
        shapes.append(IndexShape(index.name, index.unique, tuple(parts), where, index.sql))
    return tuple(shapes)


def _index_text(sql: str | None) -> tuple[list[str], str]:
    """The indexed expressions and the condition of a CREATE INDEX, in one spelling."""
    parts: list[list[Token]] = [[]]
    depth, words = 0, tokens(sql or "")
    for position, word in enumerate(words):
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and parts[0]:
            rest = words[position + 1 :]
            return [spelling(part) for part in parts], spelling(rest[1:])
        if depth == 1 and word.text == ",":
            parts.append([])
        elif depth > 1 or (depth == 1 and word.text != "("):
            parts[-1].append(word)
    return [spelling(part) for part in parts], ""


def inside(parts: Sequence[Token]) -> list[Token]:
    """What stands in the outer parentheses."""
    opening = next(i for i, token in enumerate(parts) if token.text == "(")
    depth = 0
    for index in range(opening, len(parts)):
        depth += (parts[index].text == "(") - (parts[index].text == ")")
        if depth == 0:
            return list(parts[opening + 1 : index])
    return list(parts[opening + 1 :])


def spelling(parts: Sequence[Token]) -> str:
    """Tokens with one blank between them, names unquoted and in lower case, strings as they are."""
    return " ".join(
        fold(token.name or "") if token.kind in ("word", "quoted") else token.text
        for token in parts
    )
