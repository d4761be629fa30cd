"""One CREATE TABLE statement as SQLite stores it, in parts that know where they stand.

The grammar is that of https://www.sqlite.org/lang_createtable.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from server.migrations.engine.sql.names import fold
from server.migrations.engine.sql.tokens import Token, tokens

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
    def names(self) -> frozenset[str]:
        """Every identifier in it, folded, whatever it means there."""
        return frozenset(fold(t.name) for t in self.tokens if t.kind != "string" and t.name)


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

    def named_constraint(self, name: str) -> Constraint | None:
        for constraint in self.all_constraints:
            if constraint.name is not None and fold(constraint.name) == fold(name):
                return constraint
        return None

    def subjects(self, constraint: Constraint) -> frozenset[str]:
        """The columns of this table, folded, that a constraint of the table is about."""
        if constraint.kind == "CHECK":
            return frozenset(fold(column.name) for column in self.columns) & constraint.names
        return frozenset(fold(name) for name in constraint.columns)

    def obstacles(self, name: str) -> list[str]:
        """What in this table needs the column beside itself, in words."""
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
        name=part[0].name or part[0].text,
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
