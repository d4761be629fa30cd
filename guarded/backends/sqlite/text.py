"""SQLite's SQL as text: names and values, tokens, and CREATE TABLE in parts.

The rules are those of https://www.sqlite.org/lang_keywords.html, lang_comment.html and
lang_createtable.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guarded.schema import Column


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def unquote(text: str) -> str:
    mark = text[:1]
    if mark == "[":
        return text[1:-1]
    if mark in ('"', "`", "'"):
        return text[1:-1].replace(mark * 2, mark)
    return text


_LOWER = str.maketrans(
    {chr(code): chr(code + ord("a") - ord("A")) for code in range(ord("A"), ord("Z") + 1)}
)


def fold(name: str) -> str:
    """One spelling for all spellings of an identifier: SQLite folds ASCII letters only."""
    return name.translate(_LOWER)


def literal(value: object) -> str:
    """A Python value as an SQL literal, spelled as the driver would store it."""
    if value is None:
        return "NULL"
    if isinstance(value, float) and abs(value) == float("inf"):
        return "9e999" if value > 0 else "-9e999"  # SQL has no word for it
    if isinstance(value, int):  # also True, and a member of an IntEnum
        return int.__repr__(int(value))
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"X'{bytes(value).hex()}'"
    # A member of a str Enum is the string to the driver, and its name to str().
    text = str.__str__(value) if isinstance(value, str) else str(value)
    return "'" + text.replace("'", "''") + "'"


PATTERN = r"""
    (?P<blank>   \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<string>  '(?:[^']|'')*' )
  | (?P<quoted>  "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] )
  | (?P<blob>    [xX]'[0-9A-Fa-f]*' )
  | (?P<number>  0[xX][0-9A-Fa-f]+ | (?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)? )
  | (?P<word>    (?: [A-Za-z_] | [^\x00-\x7f] ) (?: [A-Za-z0-9_$] | [^\x00-\x7f] )* )
  | (?P<symbol>  [<>=!]= | <> | << | >> | \|\| | ->>? | . )
    """


# Keywords that name nothing unless they are quoted, https://www.sqlite.org/lang_keywords.html.
RESERVED = frozenset((
    "ADD", "ALL", "ALTER", "AND", "AS", "AUTOINCREMENT", "BETWEEN", "CASE", "CHECK", "COLLATE",
    "COMMIT", "CONSTRAINT", "CREATE", "DEFAULT", "DEFERRABLE", "DELETE", "DISTINCT", "DROP",
    "ELSE", "ESCAPE", "EXISTS", "FOREIGN", "FROM", "GROUP", "HAVING", "IN", "INDEX", "INSERT",
    "INTO", "IS", "ISNULL", "JOIN", "LIMIT", "NOT", "NOTHING", "NOTNULL", "NULL", "ON", "OR",
    "ORDER", "PRIMARY", "REFERENCES", "RETURNING", "SELECT", "SET", "TABLE", "THEN", "TO",
    "TRANSACTION", "UNION", "UNIQUE", "UPDATE", "USING", "VALUES", "WHEN", "WHERE",
))  # fmt: skip


class Token(NamedTuple):
    """A piece ``sql[start:end]`` that means something, so neither white space nor comment."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def keyword(self) -> str:
        """In capitals; empty when quoted, for a quoted word is never a keyword."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str | None:
        """The identifier that this token spells, or None; SQLite takes ``'a'`` for one too."""
        return unquote(self.text) if self.kind in ("word", "quoted", "string") else None


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(PATTERN, re.VERBOSE | re.DOTALL)  # when it is needed: a no-op does without


def tokens(sql: str) -> list[Token]:
    return [
        Token(str(match.lastgroup), match.group(), match.start(), match.end())
        for match in _pattern().finditer(sql)
        if match.lastgroup != "blank"
    ]


def mentions(sql: str | None, name: str) -> bool:
    """Return True if the text names this identifier anywhere, in any quoting and case."""
    return fold(name) in names_in(sql or "")


def mentions_any(sql: str | None, names: Iterable[str]) -> bool:
    return not names_in(sql or "").isdisjoint(map(fold, names))


@lru_cache(maxsize=4096)
def names_in(sql: str) -> frozenset[str]:
    """All that could be an identifier there, folded; SQLite takes ``'a'`` for one too."""
    return frozenset(fold(token.name) for token in tokens(sql) if token.name is not None)


def index_body(sql: str) -> str:
    """The text of a CREATE INDEX from its columns on."""
    bracket = next((token for token in tokens(sql) if token.text == "("), None)
    return sql[bracket.end :] if bracket else ""


def never_strings(sql: str) -> str:
    """The same text with each name in double quotes as one in back-ticks, which is no string even
    where there is no such name, https://www.sqlite.org/quirks.html."""
    pieces, last = [], 0
    for token in tokens(sql):
        if token.kind == "quoted" and token.text[0] == '"':
            pieces += [sql[last : token.start], "`", unquote(token.text).replace("`", "``"), "`"]
            last = token.end
    return "".join([*pieces, sql[last:]])


def identifiers(parts: Iterable[Token]) -> frozenset[str]:
    """The identifiers among these tokens, folded; no string is one, and no reserved word."""
    found = (t.name for t in parts if t.kind != "string" and t.keyword not in RESERVED)
    return frozenset(fold(name) for name in found if name is not None)


def inside(parts: Sequence[Token]) -> list[Token]:
    """The tokens in the outer parentheses."""
    opening = next(i for i, token in enumerate(parts) if token.text == "(")
    depth = 0
    for index in range(opening, len(parts)):
        depth += (parts[index].text == "(") - (parts[index].text == ")")
        if depth == 0:
            return list(parts[opening + 1 : index])
    return list(parts[opening + 1 :])


def spelling(parts: Sequence[Token], columns: frozenset[str] | None = None) -> str:
    """Tokens with one blank between them, names unquoted and in lower case, strings as they are.

    ``columns``: the folded names that double quotes may mean; any other is a string to SQLite.
    None: whatever is quoted is a name.
    """

    def spell(token: Token) -> str:
        if token.kind not in ("word", "quoted"):
            return token.text
        name = fold(unquote(token.text))
        is_string = token.text[0] == '"' and columns is not None and name not in columns
        return "'" + unquote(token.text).replace("'", "''") + "'" if is_string else name

    return " ".join(map(spell, parts))


TABLE_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
COLUMN_CONSTRAINTS = TABLE_CONSTRAINTS - {"FOREIGN"} | {
    *("NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"),
}


class Constraint(NamedTuple):
    """A constraint of a column or of the table.

    ``kind`` is its first keyword (PRIMARY, NOT, NULL, UNIQUE, CHECK, DEFAULT, COLLATE, REFERENCES,
    FOREIGN, GENERATED); ``name`` what CONSTRAINT calls it.
    """

    kind: str
    name: str | None
    tokens: tuple[Token, ...]

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end

    @property
    def columns(self) -> tuple[str, ...]:
        """The names in the first parentheses: the columns of a key."""
        names, depth = [], 0
        for before, token in zip(self.tokens, self.tokens[1:]):
            depth += (before.text == "(") - (before.text == ")")
            if depth == 1 and before.text in "(," and token.name is not None:
                names.append(token.name)
            if before.text == ")" and depth == 0:
                break
        return tuple(names)

    @property
    def definition(self) -> tuple[Token, ...]:
        """The tokens after CONSTRAINT and the name."""
        return self.tokens[2:] if self.name is not None else self.tokens

    @property
    def names(self) -> frozenset[str]:
        """Every identifier in it, folded, whatever it means there; its own name is none."""
        return identifiers(self.definition)


class ColumnDefinition(NamedTuple):
    name: str
    type: str
    tokens: tuple[Token, ...]
    type_tokens: tuple[Token, ...]
    constraints: tuple[Constraint, ...]

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end

    def constraint(self, kind: str) -> Constraint | None:
        return next((c for c in self.constraints if c.kind == kind), None)


class UnreadableTable(ValueError):
    """The text is not a CREATE TABLE with a column list."""


@lru_cache(maxsize=256)
def parse(sql: str) -> CreateTable:
    """The statement in parts; the same text is taken apart once.  Raises UnreadableTable."""
    return CreateTable(sql)


class CreateTable:
    """The statement in parts; never changed once it is made.

    Names are compared as SQLite does, without regard to ASCII case.  Raises UnreadableTable, and
    KeyError for a column that is not there.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.tokens = tokens(sql)
        if [token.keyword for token in self.tokens[:2]] != ["CREATE", "TABLE"]:
            raise UnreadableTable(sql)
        opening = next((i for i, t in enumerate(self.tokens) if t.text == "("), 0)
        if not opening:
            raise UnreadableTable(sql)
        self.name_token = self.tokens[opening - 1]
        parts, closing = _split(self.tokens, opening)
        self.options = tuple(self.tokens[closing + 1 :])
        first_constraint = next(
            (i for i, part in enumerate(parts) if i and part[0].keyword in TABLE_CONSTRAINTS),
            len(parts),
        )
        self.columns = tuple(_column(part) for part in parts[:first_constraint])
        # SQLite lets the comma between two table constraints be left out.
        self.constraints = tuple(
            constraint
            for part in parts[first_constraint:]
            for constraint in _constraints(part, TABLE_CONSTRAINTS)
        )

    @property
    def names(self) -> frozenset[str]:
        """Its columns, folded."""
        return frozenset(fold(column.name) for column in self.columns)

    def column(self, name: str) -> ColumnDefinition:
        for column in self.columns:
            if fold(column.name) == fold(name):
                return column
        raise KeyError(name)

    @property
    def without_rowid(self) -> bool:
        return any(token.keyword == "WITHOUT" for token in self.options)

    @property
    def strict(self) -> bool:
        return any(token.keyword == "STRICT" for token in self.options)

    @property
    def autoincrement(self) -> bool:
        return any(
            token.keyword == "AUTOINCREMENT"
            for constraint in self.all_constraints
            for token in constraint.tokens
        )

    @property
    def all_constraints(self) -> tuple[Constraint, ...]:
        return (*self.constraints, *(c for column in self.columns for c in column.constraints))

    def names_of_constraints(self) -> dict[str, Constraint]:
        """Each constraint by its name; without one, a UNIQUE goes by uniq_a_b, a foreign key by
        what ``add_foreign_key_constraint`` calls it, and a CHECK by its text in one spelling."""
        named = {}
        for column in self.columns:
            for constraint in column.constraints:
                if constraint.kind == "UNIQUE":
                    named[f"uniq_{column.name}"] = constraint
                elif constraint.kind == "REFERENCES":
                    named[self._key_name([column.name], constraint)] = constraint
                elif constraint.kind == "CHECK":
                    named[spelling(constraint.definition)] = constraint
        for constraint in self.constraints:
            if constraint.kind == "UNIQUE":
                named[f"uniq_{'_'.join(constraint.columns)}"] = constraint
            elif constraint.kind == "FOREIGN":
                named[self._key_name(constraint.columns, constraint)] = constraint
            elif constraint.kind == "CHECK":
                named[spelling(constraint.definition)] = constraint
        return named | {c.name: c for c in self.all_constraints if c.name is not None}

    def _key_name(self, columns: Sequence[str], constraint: Constraint) -> str:
        words = [token.keyword for token in constraint.tokens]
        parent = constraint.tokens[words.index("REFERENCES") + 1].name
        return f"fk_{self.name_token.name}_{'_'.join(columns)}_refs_{parent}"

    def constraint(self, name: str) -> Constraint:
        """By its name, as ``names_of_constraints`` has it.  Raises KeyError."""
        return {fold(key): c for key, c in self.names_of_constraints().items()}[fold(name)]

    def subjects(self, constraint: Constraint) -> frozenset[str]:
        """The columns of this table, folded, that a constraint of the table is about."""
        if constraint.kind == "CHECK":
            return frozenset(fold(column.name) for column in self.columns) & constraint.names
        return frozenset(fold(name) for name in constraint.columns)

    def obstacles(self, name: str) -> list[str]:
        """Name all in this table that needs the column, beside itself."""
        folded, found = fold(name), []
        for constraint in self.constraints:
            subjects = self.subjects(constraint)
            if constraint.kind == "PRIMARY" and folded in subjects:
                found.append("the primary key")
            elif folded in subjects and subjects != {folded}:
                found.append(f"the constraint {self.text(constraint)}")
        for column in self.columns:
            for constraint in column.constraints:
                is_own = fold(column.name) == folded
                if is_own and constraint.kind == "PRIMARY":
                    found.append("the primary key")
                uses = constraint.kind in ("CHECK", "GENERATED") and folded in constraint.names
                if uses and not is_own:
                    found.append(f"column '{column.name}' with {self.text(constraint)}")
        return found

    def text(self, constraint: Constraint) -> str:
        return self.sql[constraint.start : constraint.end]


def _split(all_tokens: Sequence[Token], opening: int) -> tuple[list[list[Token]], int]:
    """The tokens between the outer parentheses, split at their commas, and where they close."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for index in range(opening, len(all_tokens)):
        token = all_tokens[index]
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            return [part for part in parts if part], index
        if token.text == "," and depth == 1:
            parts.append([])
        elif index != opening:
            parts[-1].append(token)
    raise UnreadableTable("the parentheses don't close")


def _column(part: Sequence[Token]) -> ColumnDefinition:
    depth, rest = 0, len(part)
    for index, token in enumerate(part[1:], start=1):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.keyword in COLUMN_CONSTRAINTS:
            rest = index
            break
    type_tokens = tuple(part[1:rest])
    return ColumnDefinition(
        name=part[0].text if part[0].name is None else part[0].name,  # it may be empty
        type=" ".join(token.text for token in type_tokens),
        tokens=tuple(part),
        type_tokens=type_tokens,
        constraints=tuple(_constraints(part[rest:], COLUMN_CONSTRAINTS)),
    )


def _constraints(part: Sequence[Token], keywords: frozenset[str]) -> list[Constraint]:
    """Cut at every keyword that begins a constraint where one may begin."""
    starts, depth = [], 0
    for index, token in enumerate(part):
        if depth == 0 and token.keyword in keywords and _begins(part, index):
            starts.append(index)
        depth += (token.text == "(") - (token.text == ")")
    bounds = zip(starts, [*starts[1:], len(part)])
    return [_constraint(part[start:end]) for start, end in bounds]


def _begins(part: Sequence[Token], index: int) -> bool:
    word = part[index].keyword
    before = [token.keyword for token in part[:index]]
    last_but_one, last = ["", "", *before][-2:]
    if last_but_one == "CONSTRAINT":  # CONSTRAINT name CHECK …
        return False
    if last in ("CONSTRAINT", "DEFAULT", "COLLATE", "REFERENCES"):  # what follows is a value
        return False
    if word == "NULL":  # NOT NULL · ON DELETE SET NULL
        return last not in ("NOT", "SET")
    if word == "DEFAULT":  # ON DELETE SET DEFAULT
        return last != "SET"
    if word == "AS":  # GENERATED ALWAYS AS
        return last != "ALWAYS"
    if word == "NOT":  # NOT DEFERRABLE belongs to REFERENCES
        return index + 1 >= len(part) or part[index + 1].keyword != "DEFERRABLE"
    return True


def _constraint(part: Sequence[Token]) -> Constraint:
    name, first = None, 0
    if part[0].keyword == "CONSTRAINT" and len(part) > 2:
        name, first = part[1].name, 2
    kind = part[first].keyword
    return Constraint("GENERATED" if kind == "AS" else kind, name, tuple(part))


class SqliteNames:
    """See ``guarded.backends.interface.Names``."""

    fields: Mapping[str, str] = {}
    fold = staticmethod(fold)
    quote = staticmethod(quote)
    literal = staticmethod(literal)

    def spelling(self, sql: str) -> str:
        return spelling(tokens(sql))

    def one_line(self, sql: str) -> str:
        parts, end = [], 0
        for token in tokens(sql):
            parts += [" " if end and token.start > end else "", token.text]
            end = token.end
        return "".join(parts)

    def affinity(self, storage: str) -> str:
        return storage

    def differs(self, one: str, two: str) -> str:
        return f"(typeof({one}) <> typeof({two}) OR {one} IS NOT {two} COLLATE BINARY)"

    def exact(self, column: Column) -> str:
        return quote(column.name)

    def meaning(self, default: str, storage: str) -> str | None:
        from guarded.backends.sqlite.describe import meaning

        return meaning(default, storage)
