"""A schema as text, as a diagram for Mermaid or Graphviz, as SQL, or as plain values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from guarded.backends.interface import Inspector
from guarded.schema import Column, ForeignKey, Index, Schema, Table


class Relation(NamedTuple):
    """A foreign key as an edge of a diagram.  ``is_optional``: a row may have no parent;
    ``is_single``: a parent has one row at most."""

    child: str
    parent: str
    key: ForeignKey
    is_optional: bool
    is_single: bool


def relations(inspector: Inspector) -> list[Relation]:
    """Return every foreign key, with the parent's name as the parent has it."""
    found = []
    for table in inspector.schema().values():
        for key in table.foreign_keys:
            parent = inspector.table(key.parent)
            columns = [column for column in table.columns if column.name in key.columns]
            unique: list[set[str | None]] = [set(table.key)] if table.key else []
            unique += [set(i.columns) for i in table.indexes if i.unique and not i.partial]
            found.append(
                Relation(
                    table.name,
                    parent.name if parent else key.parent,
                    key,
                    any(column.nullable and not column.primary_key for column in columns),
                    any(names <= set(key.columns) for names in unique),
                )
            )
    return found


def as_text(schema: Schema) -> str:
    blocks = []
    for table in schema.values():
        lines = [f"{table.name}{_options(table)}"]
        width = max((len(column.name) for column in table.columns), default=0)
        lines += [
            f"    {column.name:<{width}}  {f'{column.type} {properties(column)}'.strip()}".rstrip()
            for column in table.columns
        ]
        for key in table.foreign_keys:
            parent = f"{key.parent}({', '.join(key.parent_columns)})"
            lines.append(f"    foreign key ({', '.join(key.columns)}) to {parent}{actions(key)}")
        lines += [f"    check {check.spelling}" for check in table.checks]
        lines += [f"    {index} {index.name}" for index in indexes_of(table)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_mermaid(schema: Schema, edges: Sequence[Relation]) -> str:
    """https://mermaid.js.org/syntax/entityRelationshipDiagram.html"""
    lines = ["erDiagram"]
    for table in schema.values():
        lines.append(f"    {_word(table.name)} {{")
        for column in table.columns:
            keys = ", ".join(keys_of(table, column))
            type_ = _word(column.type.replace(" ", "")) or "ANY"
            comment = "" if column.nullable and not column.primary_key else ' "not null"'
            lines.append(f"        {type_} {_word(column.name)} {keys}".rstrip() + comment)
        lines.append("    }")
    for edge in edges:
        feet = f"{'|o' if edge.is_optional else '||'}--{'o|' if edge.is_single else 'o{'}"
        columns = ", ".join(edge.key.columns).replace('"', "")
        lines.append(f'    {_word(edge.parent)} {feet} {_word(edge.child)} : "{columns}"')
    return "\n".join(lines)


def as_dot(schema: Schema, edges: Sequence[Relation]) -> str:
    """https://graphviz.org/doc/info/shapes.html#record, with crow's feet of
    https://graphviz.org/doc/info/arrows.html"""
    lines = ["digraph schema {", "    node [shape=record, fontname=monospace];"]
    lines.append("    edge [dir=both];")
    for table in schema.values():
        rows = "\\l".join(_escape(f"{c.name} {c.type}") for c in table.columns)
        lines.append(f'    "{_quoted(table.name)}" [label="{{{_escape(table.name)}|{rows}\\l}}"];')
    for edge in edges:
        ends = f'"{_quoted(edge.child)}" -> "{_quoted(edge.parent)}"'
        head = "teeodot" if edge.is_optional else "teetee"
        tail = "teeodot" if edge.is_single else "crowodot"
        label = _quoted(", ".join(edge.key.columns))
        lines.append(f'    {ends} [label="{label}", arrowhead={head}, arrowtail={tail}];')
    return "\n".join([*lines, "}"])


def as_values(schema: Schema) -> list[dict[str, Any]]:
    return [
        {
            "name": table.name,
            "columns": [
                {
                    "name": column.name,
                    "type": column.type,
                    "nullable": column.nullable,
                    "default": column.default,
                    "primary_key": column.primary_key,
                    "generated": column.generated or None,
                }
                for column in table.columns
            ],
            "indexes": [
                {
                    "name": index.name,
                    "unique": index.unique,
                    "columns": list(index.parts),
                    "where": index.where or None,
                }
                for index in indexes_of(table)
            ],
            "foreign_keys": [
                {
                    "columns": list(key.columns),
                    "parent": key.parent,
                    "parent_columns": list(key.parent_columns),
                    "on_delete": key.on_delete,
                    "on_update": key.on_update,
                }
                for key in table.foreign_keys
            ],
            "checks": [check.spelling for check in table.checks],
            "strict": "STRICT" in table.options,
            "without_rowid": "WITHOUT ROWID" in table.options,
        }
        for table in schema.values()
    ]


def draw(inspector: Inspector, form: str) -> str:
    """Draw the schema as text, mermaid, dot or sql.  The sql can be run on an empty database."""
    if form == "sql":
        return "\n".join(f"{statement};" for statement in inspector.script())
    schema = inspector.schema()
    if form == "text":
        return as_text(schema)
    return (as_mermaid if form == "mermaid" else as_dot)(schema, relations(inspector))


def keys_of(table: Table, column: Column) -> list[str]:
    """Return the marks of a column: PK, FK, UK."""
    is_foreign = any(column.name in key.columns for key in table.foreign_keys)
    is_unique = any(
        i.unique and i.columns == (column.name,) and not i.where for i in indexes_of(table)
    )
    marks = {"PK": bool(column.primary_key), "FK": is_foreign, "UK": is_unique}
    return [mark for mark, holds in marks.items() if holds]


def properties(column: Column) -> str:
    """Return in words all but the type."""
    words = ["primary key"] if column.primary_key else []
    words += [] if column.nullable or column.primary_key else ["not null"]
    words += [f"default {column.default}"] if column.default is not None else []
    words += [f"generated as ({column.expression})"] if column.expression else []
    return " ".join(words)


def actions(key: ForeignKey) -> str:
    """Return the actions of a key in words, with a blank before each."""
    return "".join(
        f" {when} {action}"
        for when, action in (("on delete", key.on_delete), ("on update", key.on_update))
        if action != "NO ACTION"
    )


def _options(table: Table) -> str:
    found = sorted(option.lower() for option in table.options - {"AUTOINCREMENT"})
    return f" ({', '.join(found)})" if found else ""


def indexes_of(table: Table) -> list[Index]:
    """Return the indexes without that of the primary key."""
    return [index for index in table.indexes if index.origin != "pk"]


def _word(text: str) -> str:
    """Replace what Mermaid would not accept in a word."""
    return re.sub(r"[^\w()\[\]-]", "_", text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _escape(text: str) -> str:
    return re.sub(r'([{}|<>"\\ ])', r"\\\1", text)
