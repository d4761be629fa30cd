"""A schema as text, as a diagram for Mermaid or Graphviz, as SQL, or as plain values."""

from __future__ import annotations

import re
from typing import Any

from server.migrations.engine import history, introspection, shape
from server.migrations.engine.introspection import Column, Execute
from server.migrations.engine.shape import Schema, TableShape
from server.migrations.engine.sql.names import fold


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
        lines += [f"    check {text}" for text in table.checks]
        lines += [f"    {index} {index.name}" for index in table.indexes]
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


def as_sql(execute: Execute) -> str:
    """The statements that make the schema, in the order in which it was made."""
    texts = [o.sql for o in introspection.objects(execute) if o.sql and o.table != history.TABLE]
    return "\n".join(f"{text};" for text in texts)


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
                for index in table.indexes
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
            "checks": list(table.checks),
            "strict": table.strict,
            "without_rowid": table.without_rowid,
        }
        for table in schema.values()
    ]


FORMATS = {"text": as_text, "mermaid": as_mermaid, "dot": as_dot}


def draw(execute: Execute, form: str) -> str:
    if form == "sql":
        return as_sql(execute)
    return FORMATS[form](shape.live_schema(execute))


def _describe(table: TableShape, column: Column) -> str:
    words = [column.type]
    words += ["primary key"] if column.primary_key else []
    words += [] if column.nullable or column.primary_key else ["not null"]
    words += [f"default {column.default}"] if column.default is not None else []
    expression = table.expressions.get(fold(column.name))
    words += [f"generated as ({expression})"] if expression else []
    return " ".join(word for word in words if word)


def _options(table: TableShape) -> str:
    names = {"strict": table.strict, "without rowid": table.without_rowid}
    found = [name for name, is_on in names.items() if is_on]
    return f" ({', '.join(found)})" if found else ""


def _keys(table: TableShape, column: Column) -> list[str]:
    name = fold(column.name)
    is_foreign = any(name in map(fold, key.columns) for key in table.foreign_keys)
    is_unique = any(i.unique and i.parts == (name,) and not i.where for i in table.indexes)
    marks = {"PK": bool(column.primary_key), "FK": is_foreign, "UK": is_unique}
    return [mark for mark, holds in marks.items() if holds]


def _word(text: str) -> str:
    """What Mermaid takes for one word."""
    return re.sub(r"[^\w()\[\]-]", "_", text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _escape(text: str) -> str:
    return re.sub(r'([{}|<>"\\ ])', r"\\\1", text)
