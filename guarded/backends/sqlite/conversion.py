"""Find values that a change of type would alter for good, by the affinities
(https://www.sqlite.org/datatype3.html, section 3)."""

from __future__ import annotations

from guarded.backends.sqlite.describe import affinity
from guarded.backends.sqlite.text import quote
from guarded.schema import Column, Table


def altered(table: Table, column: Column, type_: str) -> str | None:
    """A condition for the rows whose value would not come back; None where there is none."""
    name = quote(column.name)
    number = f"CAST({name} AS NUMERIC)"
    # A text that looks like a number becomes one, and would come back in another spelling.
    as_number = (
        f"(typeof({name}) = 'text' AND +{name} = {number} AND CAST({number} AS TEXT) <> {name})"
    )
    as_real = f"(typeof({name}) = 'integer' AND CAST(CAST({name} AS REAL) AS INTEGER) <> {name})"
    as_text = f"(typeof({name}) = 'real' AND CAST(CAST({name} AS TEXT) AS REAL) <> {name})"
    storage = type_.upper() if "STRICT" in table.options else affinity(type_)
    found = {
        "INTEGER": as_number,
        "INT": as_number,
        "NUMERIC": as_number,
        "REAL": f"({as_number} OR {as_real})",
        "TEXT": as_text,
    }
    if column.storage in ("BLOB", "ANY"):  # they take each value as it comes
        found["TEXT"] = f"(typeof({name}) IN ('integer', 'real'))"
        found |= dict.fromkeys(
            ("INTEGER", "INT", "NUMERIC", "REAL"),
            f"(typeof({name}) = 'text' AND +{name} = {number})",
        )
    return None if storage == column.storage else found.get(storage)
