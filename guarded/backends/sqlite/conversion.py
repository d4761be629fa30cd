"""Find values that a change of type would alter for good, by the affinities
(https://www.sqlite.org/datatype3.html, section 3)."""

from __future__ import annotations

from guarded.backends.sqlite.describe import affinity
from guarded.backends.sqlite.text import fold, quote, tokens, unquote
from guarded.schema import Check, Column, Table

# https://www.sqlite.org/stricttables.html
STRICT_TYPES = ("INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY")
# Values that a column of a STRICT table does not store.
UNFIT = {
    "INTEGER": "a TEXT value that is no number, a fraction or a BLOB value",
    "INT": "a TEXT value that is no number, a fraction or a BLOB value",
    "REAL": "a TEXT value that is no number, or a BLOB value",
    "TEXT": "a BLOB value",
    "BLOB": "a value that is no BLOB",
}
# The kinds of values that it stores, but for NULL.
FITS = {
    "INTEGER": ("integer",),
    "INT": ("integer",),
    "REAL": ("real",),
    "TEXT": ("text",),
    "BLOB": ("blob",),
}

# Values that a column of this affinity turns into another kind.
IS_NUMBER = "typeof({0}) = 'text' AND +{0} = CAST({0} AS NUMERIC)"
BECOMES = {
    "TEXT": "typeof({0}) IN ('integer', 'real')",
    "INTEGER": IS_NUMBER,
    "INT": IS_NUMBER,
    "NUMERIC": IS_NUMBER,
    "REAL": f"{IS_NUMBER} OR typeof({{0}}) = 'integer'",
}


def altered(table: Table, column: Column, type_: str) -> dict[str, str]:
    """Conditions for the rows whose value would not stay, each with what would happen to them."""
    is_strict = "STRICT" in table.options
    storage = type_.upper() if is_strict else affinity(type_)
    found = {}
    if storage != column.storage and (changed := _changed(column, storage)):
        found[changed] = "would get another value, which can't be changed back"
    if storage != column.storage and is_strict and storage in UNFIT:
        found[_unfit(column, storage)] = (
            f"would be refused by the STRICT table, for {UNFIT[storage]}"
        )
    if storage != column.storage:
        for check in table.checks:
            if broken := _broken(check, column, storage):
                found[broken] = f"would break CHECK ({' '.join(check.text.split())})"
    if type_.upper() == "INTEGER" and table.key == (column.name,) and not table.is_numbered:
        found[f"{quote(column.name)} IS NULL"] = "would get an id"
    return found


def _changed(column: Column, storage: str) -> str | None:
    name = quote(column.name)
    number, real = f"CAST({name} AS NUMERIC)", f"CAST({name} AS REAL)"
    # A text that looks like a number becomes one, and would come back in another spelling.
    is_number = f"typeof({name}) = 'text' AND +{name} = {number}"
    as_number = f"({is_number} AND CAST({number} AS TEXT) <> {name})"
    # The least integer is a real without loss, but no affinity takes that real for an integer.
    is_least = f"{name} = -9223372036854775808"
    differs = f"(CAST({real} AS INTEGER) <> {name} OR {is_least})"
    as_real = f"(typeof({name}) = 'integer' AND {differs})"
    as_text = f"(typeof({name}) = 'real' AND CAST(CAST({name} AS TEXT) AS REAL) <> {name})"
    found = {
        "INTEGER": as_number,
        "INT": as_number,
        "NUMERIC": as_number,
        "REAL": f"({is_number} AND CAST({real} AS TEXT) <> {name} OR {as_real})",
        "TEXT": as_text,
    }
    if column.storage in ("BLOB", "ANY"):  # they take each value as it comes
        found["TEXT"] = f"(typeof({name}) IN ('integer', 'real'))"
        found["REAL"] = f"({is_number} OR typeof({name}) = 'integer')"
        is_whole = f"typeof({name}) = 'real' AND CAST({name} AS INTEGER) = {name}"
        found |= dict.fromkeys(("INTEGER", "INT", "NUMERIC"), f"({is_number} OR {is_whole})")
    return found.get(storage)


def _broken(check: Check, column: Column, storage: str) -> str | None:
    """A condition for rows whose value becomes another kind of value, and then fails the CHECK."""
    if fold(column.name) not in check.columns or storage not in BECOMES:
        return None
    name, parts, end = quote(column.name), [], 0
    collation = f" COLLATE {column.collation}" if column.collation else ""
    found = tokens(check.text)
    for token, before in zip(found, [None, *found]):
        if token.kind in ("word", "quoted") and fold(unquote(token.text)) == fold(column.name):
            if before is not None and before.text == ".":
                return None
            parts += [check.text[end : token.start], f"CAST({name} AS {storage}){collation}"]
            end = token.end
    changed = "".join([*parts, check.text[end:]])
    return f"({BECOMES[storage].format(name)}) AND NOT ({changed})"


def _unfit(column: Column, storage: str) -> str:
    """The rows that have one of UNFIT."""
    name = quote(column.name)
    number = f"CAST({name} AS NUMERIC)"
    is_none = f"typeof({name}) = 'blob' OR typeof({name}) = 'text' AND +{name} <> {number}"
    is_broken = f"typeof({name}) IN ('text', 'real') AND {number} <> CAST({number} AS INTEGER)"
    return {
        "INTEGER": f"({is_none} OR {is_broken})",
        "INT": f"({is_none} OR {is_broken})",
        "REAL": f"({is_none})",
        "TEXT": f"(typeof({name}) = 'blob')",
        "BLOB": f"(typeof({name}) NOT IN ('blob', 'null'))",
    }[storage]
