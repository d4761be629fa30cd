"""A schema as PostgreSQL spells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.simulator import schema
from tests.simulator.schema import Style, quote, text

SERIAL = {"INTEGER": "SERIAL", "BIGINT": "BIGSERIAL", "SMALLINT": "SMALLSERIAL"}


@dataclass(frozen=True)
class Column(schema.Column):
    """``identity``: SERIAL, or what stands after GENERATED."""

    identity: str = ""


@dataclass(frozen=True)
class Index(schema.Index):
    method: str = ""


@dataclass(frozen=True)
class Trigger(schema.Trigger):
    """``body`` is what its function does, which has its name."""

    body: str = ""


@dataclass(frozen=True)
class Schema(schema.Schema):
    def _column(self, table: schema.Table, column: schema.Column, style: Style) -> str:
        identity = getattr(column, "identity", "")
        words = [
            quote(column.name),
            SERIAL.get(column.type, column.type) if identity == "SERIAL" else column.type,
        ]
        if column.collate:
            words.append(f"COLLATE {column.collate}")
        if identity and identity != "SERIAL":
            words.append(f"GENERATED {identity} AS IDENTITY")
        if column.default is not None:
            words.append(f"DEFAULT {column.default}")
        if column.generated is not None:
            words.append(f"GENERATED ALWAYS AS ({self.sql(column.generated)}) STORED")
        if column.not_null:
            words.append("NOT NULL")
        if table.key == (column.number,):
            words.append("PRIMARY KEY")
        if column.unique:
            words.append("UNIQUE")
        if column.check is not None:
            words.append(f"CHECK ({self.sql(column.check)})")
        if column.references is not None:
            parent = column.references
            words.append(
                f"REFERENCES {quote(self.names[parent.table])} "
                f"({quote(self.names[parent.column])}){parent.actions}"
            )
        return " ".join(words)

    def created_index(self, table: schema.Table, index: schema.Index) -> str:
        made = super().created_index(table, index)
        method = getattr(index, "method", "")
        on = f" ON {quote(table.name)} "
        return made.replace(on, f"{on}USING {method} ", 1) if method else made

    def created_function(self, trigger: Trigger) -> str:
        return (
            f"CREATE FUNCTION {quote(trigger.name)}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$body$BEGIN {self.sql(trigger.body)}; RETURN NULL; END$body$"
        )

    def created_trigger(self, trigger: schema.Trigger) -> str:
        call = f" FOR EACH ROW EXECUTE FUNCTION {quote(trigger.name)}()"
        return super().created_trigger(trigger) + call

    def comments(self, table: schema.Table) -> Iterator[str]:
        for column in table.columns:
            if column.comment:
                name = f"{quote(table.name)}.{quote(column.name)}"
                yield f"COMMENT ON COLUMN {name} IS {text(column.comment)}"

    def script_around(self) -> Iterator[str]:
        for table in self.tables:
            yield from (self.created_index(table, i) for i in table.indexes)
            yield from self.comments(table)
        yield from map(self.created_view, self.views)
        for trigger in self.triggers:
            if isinstance(trigger, Trigger):
                yield self.created_function(trigger)
            yield self.created_trigger(trigger)


def plain_type(column: schema.Column) -> str:
    """The type without its length."""
    return column.type.partition("(")[0].strip()


def without_key(table: schema.Table) -> Any:
    return replace(table, key=())
