"""A schema as text, as a diagram for Mermaid or Graphviz, as SQL, or as plain values."""

from __future__ import annotations

import re
from typing import Any

from guarded.backends.interface import Inspector
from guarded.schema import Column, Index, Schema, Table


def as_text(schema: Schema) -> str:
    blocks = []
    for table in schema.values():
        lines = [f"{table.name}{_options(table)}"]
        width = max((len(column.name) for column in table.columns), default=0)
        lines += [
            f"    {column.name:<{width}}  {_describe(table, column)}".rstrip()
            for column in table.columns
        ]
        for key in table.foreign_keys:
            parent = f"{key.parent}({', '.join(key.parent_columns)})"
            actions = "".join(
                f" {when} {action}"
                for when, action in (("on delete", key.on_delete), ("on update", key.on_update))
                if action != "NO ACTION"
            )
            lines.append(f"    foreign key ({', '.join(key.columns)}) to {parent}{actions}")
        lines += [f"    check {check.spelling}" for check in table.checks]
        lines += [f"    {index} {index.name}" for index in _indexes(table)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_mermaid(schema: Schema) -> str:
    """https://mermaid.js.org/syntax/entityRelationshipDiagram.html"""
    lines = ["erDiagram"]
    for table in schema.values():
        lines.append(f"    {_word(table.name)} {{")
        for column in table.columns:
            keys = ", ".join(_keys(table, column))
            type_ = _word(column.type.replace(" ", "")) or "ANY"
            comment = "" if column.nullable and not column.primary_key else ' "not null"'
            lines.append(f"        {type_} {_word(column.name)} {keys}".rstrip() + comment)
        lines.append("    }")
    for table in schema.values():
        for key in table.foreign_keys:
            columns = ", ".join(key.columns)
            lines.append(f'    {_word(key.parent)} ||--o{{ {_word(table.name)} : "{columns}"')
    return "\n".join(lines)


def as_dot(schema: Schema) -> str:
    """https://graphviz.org/doc/info/shapes.html#record"""
    lines = ["digraph schema {", "    node [shape=record, fontname=monospace];"]
    for table in schema.values():
        rows = "\\l".join(_escape(f"{c.name} {c.type}") for c in table.columns)
        lines.append(f'    "{_quoted(table.name)}" [label="{{{_escape(table.name)}|{rows}\\l}}"];')
    for table in schema.values():
        for key in table.foreign_keys:
            edge = f'"{_quoted(table.name)}" -> "{_quoted(key.parent)}"'
            lines.append(f'    {edge} [label="{_quoted(", ".join(key.columns))}"];')
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
                for index in _indexes(table)
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


FORMATS = {"text": as_text, "mermaid": as_mermaid, "dot": as_dot}


def draw(inspector: Inspector, form: str) -> str:
    """Draw the schema as text, mermaid, dot or sql.  The sql can be run on an empty database."""
    if form == "sql":
        return "\n".join(f"{statement};" for statement in inspector.script())
    return FORMATS[form](inspector.schema())


def _describe(table: Table, column: Column) -> str:
    words = [column.type]
    words += ["primary key"] if column.primary_key else []
    words += [] if column.nullable or column.primary_key else ["not null"]
    words += [f"default {column.default}"] if column.default is not None else []
    words += [f"generated as ({column.expression})"] if column.expression else []
    return " ".join(word for word in words if word)


def _options(table: Table) -> str:
    found = sorted(option.lower() for option in table.options - {"AUTOINCREMENT"})
    return f" ({', '.join(found)})" if found else ""


def _indexes(table: Table) -> list[Index]:
    """Return the indexes without that of the primary key."""
    return [index for index in table.indexes if index.origin != "pk"]


def _keys(table: Table, column: Column) -> list[str]:
    is_foreign = any(column.name in key.columns for key in table.foreign_keys)
    is_unique = any(
        i.unique and i.columns == (column.name,) and not i.where for i in _indexes(table)
    )
    marks = {"PK": bool(column.primary_key), "FK": is_foreign, "UK": is_unique}
    return [mark for mark, holds in marks.items() if holds]


def _word(text: str) -> str:
    """Replace what Mermaid would not accept in a word."""
    return re.sub(r"[^\w()\[\]-]", "_", text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _escape(text: str) -> str:
    return re.sub(r'([{}|<>"\\ ])', r"\\\1", text)
