"""SQL as PostgreSQL spells it: names, values, types and defaults.

Peewee quotes every name, and PostgreSQL folds none that is quoted, so that names are compared as
they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guarded.schema import Column

TOKEN = re.compile(
    r"""(?P<space>(?:\s|--[^\n]*|/\*.*?\*/)+)|(?P<string>[eE]?'(?:[^']|'')*')"""
    r"""|(?P<name>"(?:[^"]|"")*")|(?P<body>\$(\w*)\$.*?\$\5\$)|(?P<word>\w+)|(?P<other>.)""",
    re.DOTALL,
)
TYPES = {
    "varchar": "character varying",
    "char": "character",
    "bool": "boolean",
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "int2": "smallint",
    "float8": "double precision",
    "float4": "real",
    "decimal": "numeric",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "timetz": "time with time zone",
    "time": "time without time zone",
    "serial": "integer",
    "bigserial": "bigint",
    "smallserial": "smallint",
}
# As Peewee writes them, for people and for migrations that are written.
SHORT = {
    "character varying": "VARCHAR",
    "character": "CHAR",
    "timestamp with time zone": "TIMESTAMPTZ",
    "timestamp without time zone": "TIMESTAMP",
    "time without time zone": "TIME",
}
AFFINITIES = {
    "smallint": "INTEGER",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "real": "REAL",
    "double precision": "REAL",
    "numeric": "REAL",
    "boolean": "BOOLEAN",
    "bytea": "BLOB",
    "date": "DATETIME",
    "timestamp with time zone": "DATETIME",
    "timestamp without time zone": "DATETIME",
}
FIELDS = {
    "BOOLEAN": "BooleanField",
    "BYTEA": "BlobField",
    "DOUBLE PRECISION": "DoubleField",
    "TIMESTAMPTZ": "DateTimeField",
    "UUID": "UUIDField",
}
CAST = re.compile(r"^(.*?)::(\"?[a-z_][\w ]*\"?)(\(\d+(,\d+)?\))?(\[\])*$", re.DOTALL)
PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def fold(name: str) -> str:
    return name


def quote(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(value: object) -> str:
    """A Python value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f"'{value}'"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"'\\x{bytes(value).hex()}'"
    doubled = str(value).replace("'", "''")
    return f"'{doubled}'"


def name_of(text: str) -> str:
    """The name that is written so, in quotes or not."""
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def names_in(sql: str, *, bodies: bool = True) -> set[str]:
    """The names that stand in a statement, as PostgreSQL understands them; ``bodies``: also those
    in strings in dollar quotes, such as a function's body."""
    found = set()
    for token in TOKEN.finditer(sql):
        if token["name"]:
            found.add(name_of(token["name"]))
        elif token["word"]:
            found.add(token["word"].lower())
        elif token["body"] and bodies:
            found |= names_in(token["body"].strip("$"))
    return found


def pieces(sql: str) -> list[str]:
    """The statements of a text.  A function's body in SQL is a part of its CREATE."""
    if ";" not in sql or re.match(r"\s*CREATE\b.*\bATOMIC\b", sql, re.IGNORECASE | re.DOTALL):
        return [sql]
    found = [""]
    for token in TOKEN.finditer(sql):
        if token.group() == ";":
            found.append("")
        elif token["space"] is None or found[-1]:
            found[-1] += token.group()
    return [piece for piece in found if piece]


class PostgresqlNames:
    """See ``guarded.backends.interface.Names``."""

    fields = FIELDS
    fold = staticmethod(fold)
    quote = staticmethod(quote)
    literal = staticmethod(literal)

    def differs(self, one: str, two: str) -> str:
        # As text, because json has no equality.
        return f"({one})::text IS DISTINCT FROM ({two})::text"

    def exact(self, column: Column) -> str:
        name = quote(column.name)
        return name if column.storage.partition("(")[0] in EXACT else f"{name}::text"

    def spelling(self, sql: str) -> str:
        """In lower case, without quotes around a name that needs none; a type by its full name."""
        words = []
        for token in TOKEN.finditer(sql):
            text = token.group()
            if token["name"] and PLAIN.fullmatch(text[1:-1]):
                text = text[1:-1]
            if token["space"]:
                text = " "
            words.append(text.lower() if token["word"] else text)
        text = re.sub(r"\s*([(),])\s*", r"\1", "".join(words).strip())
        name, bracket, rest = text.partition("(")
        return TYPES.get(name, name) + bracket + rest

    def one_line(self, sql: str) -> str:
        return "".join(" " if t["space"] else t.group() for t in TOKEN.finditer(sql)).strip()

    def affinity(self, storage: str) -> str:
        return AFFINITIES.get(storage.partition("(")[0], "TEXT")

    def meaning(self, default: str, storage: str) -> str | None:
        return meaning(default, storage)


def meaning(default: str | None, storage: str) -> str | None:
    """One spelling for all spellings of a default in a column of this type; None for NULL."""
    if default is None:
        return None
    text = default.strip()
    while text.startswith("(") and text.endswith(")") and _is_one(text):
        text = text[1:-1].strip()
    while (cast := CAST.match(text)) and not cast[1].rstrip().endswith(":"):
        text = cast[1].strip()
    if text.upper() == "NULL":
        return None
    if storage == "boolean":
        word = text.strip("'").lower()
        return {"0": "false", "1": "true", "f": "false", "t": "true"}.get(word, word)
    if re.fullmatch(r"'-?\d+(\.\d+)?'", text) and storage in NUMBERS:
        text = text[1:-1]
    if text.upper() in ("CURRENT_TIMESTAMP", "NOW()", "TRANSACTION_TIMESTAMP()"):
        return "CURRENT_TIMESTAMP"
    return text if "'" in text else PostgresqlNames().spelling(text)


# Types whose every value Python has, too; no time has infinity, and no list knows its bounds.
EXACT = {
    "smallint", "integer", "bigint", "boolean", "double precision", "text", "character varying",
    "character", "bytea",
}  # fmt: skip
NUMBERS = {"integer", "bigint", "smallint", "numeric", "double precision", "real"}


def portable(definition: str) -> str:
    """A column's definition that was written for SQLite: AUTOINCREMENT is what SERIAL does, and a
    BOOLEAN has no default 0 or 1."""
    text = re.sub(r"\s+AUTOINCREMENT\b", "", definition, flags=re.IGNORECASE)
    if re.match(r'\s*("(?:[^"]|"")*"|\w+)\s+BOOL', text, re.IGNORECASE):
        words = {"0": "FALSE", "1": "TRUE"}
        return re.sub(
            r"\bDEFAULT\s+(?:\(([01])\)|([01]))(?=\s+[A-Z]|\s*$)",
            lambda found: f"DEFAULT {words[found[1] or found[2]]}",
            text,
            flags=re.IGNORECASE,
        )
    return text


def _is_one(text: str) -> bool:
    """Return True if the first parenthesis is closed by the last character."""
    depth = 0
    for token in TOKEN.finditer(text):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end() == len(text)
    return False
