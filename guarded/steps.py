"""The steps of a run as values: what was done, and to what.

No module has to parse a text to learn this.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Direction(Enum):
    """The direction of a run, as the history stores it."""

    UP = "up"
    DOWN = "down"
    FAKE = "fake"


class Action(Enum):
    CREATE = "create"
    ADD = "add"
    DROP = "drop"
    RENAME = "rename"
    ALTER = "alter"
    EDIT = "edit"
    REBUILD = "rebuild"
    FILL = "fill"
    REFILL = "refill"
    RUN = "run"
    SKIP = "skip"


class Kind(Enum):
    TABLE = "table"
    COLUMN = "column"
    INDEX = "index"
    TRIGGER = "trigger"
    VIEW = "view"
    CONSTRAINT = "constraint"
    FOREIGN_KEY = "foreign key"
    RULE = "rule"
    POLICY = "policy"
    FUNCTION = "function"
    TYPE = "type"
    SEQUENCE = "sequence"
    ID_MARK = "id mark"  # the highest id that a table has given out
    ROWS = "rows"
    STATEMENT = "statement"


class Target(NamedTuple):
    """An object in a database.  ``name`` is None for a table or view itself; ``table`` is empty for
    a statement, and for an index or trigger of an unknown table."""

    kind: Kind
    table: str
    name: str | None = None

    def __str__(self) -> str:
        if self.name is None:
            return self.table
        if self.kind is Kind.FOREIGN_KEY:
            return f"foreign key on {self.table}.{self.name}"
        if self.kind in (Kind.COLUMN, Kind.CONSTRAINT):
            return f"{self.table}.{self.name}"
        return self.name

    @property
    def described(self) -> str:
        """The name with its kind, and its table if it has one: ``index 'a' of table 'b'``."""
        if self.name is None or not self.table:
            return f"{self.kind.value} '{self}'"
        if self.name == "*":  # each of its kind
            return f"a {self.kind.value} of table '{self.table}'"
        return f"{self.kind.value} '{self.name}' of table '{self.table}'"

    def moved(self, old: str, new: str) -> Target:
        """Return the target as it is after its table was renamed."""
        return self._replace(table=new) if self.table == old else self


def table(name: str) -> Target:
    return Target(Kind.TABLE, name)


def column(table: str, name: str) -> Target:
    return Target(Kind.COLUMN, table, name)


def index(table: str, name: str) -> Target:
    return Target(Kind.INDEX, table, name)


def statement(sql: str, width: int = 60) -> Target:
    """Return a target for a statement, named by its first characters."""
    line = " ".join(sql.split())
    return Target(Kind.STATEMENT, "", line if len(line) <= width else line[: width - 1] + "…")


class Pass(NamedTuple):
    """One way of a step over all rows of a table: read, or written anew.

    ``waits`` says who waits for that table until COMMIT, readers or writers; empty for nobody.
    """

    table: str
    rewrites: bool = False
    rows: int = 0
    waits: str = ""


class Step(NamedTuple):
    """One thing that a migration did, or skipped for the reason in ``note``.

    ``renamed_to`` is the new name of a table or column.  ``rows`` is how many rows the step
    changed, None for a step that is not about rows.  ``statements`` is its SQL, without the values
    bound to it.  ``takes`` are the tables, columns and rows whose values are lost; ``sets`` are the
    columns that get other values.  ``passes`` are known of a step that was weighed.  ``renames``
    are those of a statement of the migration's own, each with the new name.
    """

    action: Action
    target: Target
    note: str = ""
    renamed_to: str | None = None
    rows: int | None = None
    statements: tuple[str, ...] = ()
    takes: tuple[Target, ...] = ()
    sets: tuple[Target, ...] = ()
    passes: tuple[Pass, ...] = ()
    renames: tuple[tuple[Target, str], ...] = ()


class Found(NamedTuple):
    """The effect of a verb, there already.  ``value`` is the default, the type or the name, where
    the verb sets one."""

    verb: str
    table: str
    name: str
    value: str | None = None


def found(verb: str, target: Target) -> Found:
    """Return the fact about the target, without its value."""
    return Found(verb, target.table, target.name or "")


class Kept(NamedTuple):
    """A file with values that were dropped, see ``guarded.kept``; ``unkept`` says which others were
    not kept, and why."""

    path: str
    sha256: str
    rows: int
    unkept: tuple[str, ...] = ()


class Made(NamedTuple):
    """The result of an ``up`` in this database.  Its ``down`` may drop only ``targets``, which it
    created, keeps ``found``, which its verbs found done already, and refills from ``kept``, the
    values that it dropped.  ``gone`` and ``gone_found`` are the same of tables and columns that it
    dropped, by their names of then."""

    targets: frozenset[Target] = frozenset()
    found: frozenset[Found] = frozenset()
    kept: Kept | None = None
    gone: frozenset[Target] = frozenset()
    gone_found: frozenset[Found] = frozenset()


class Outcome(NamedTuple):
    """The result of one migration."""

    name: str
    direction: Direction
    checksum: str
    duration_ms: int
    steps: tuple[Step, ...]
    made: Made


class Watcher:
    """Hears of a run as it goes on.  This one does nothing with it.

    What it hears is not committed.  It never raises: that would end the run.  ``follows``: it wants
    to hear how far a statement is, which costs a look at each before it runs.
    """

    follows = False

    def begins(self, name: str, direction: Direction) -> None:
        """A migration begins."""

    def works(self, step: Step) -> None:
        """A step begins; its rows and statements are not known yet."""

    def advances(self, sql: str, share: float) -> None:
        """About this share of the statement that runs is done, from 0 to 1."""

    def ended(self, step: Step, seconds: float) -> None:
        """A step is done or skipped."""

    def starts_over(self, why: str) -> None:
        """All was rolled back, and the run begins again."""


def takes(steps: Iterable[Step]) -> list[Target]:
    """Return the targets whose values these steps lose, under their names before the steps."""
    names: dict[str, str] = {}  # a table's name now to its name before
    columns: dict[tuple[str, str], str] = {}  # the same for a column, by its table's name before
    found: list[Target] = []

    def before(target: Target) -> Target:
        table = names.get(target.table, target.table)
        name = target.name
        if target.kind is Kind.COLUMN and name is not None:
            name = columns.get((table, name), name)
        return Target(target.kind, table, name)

    for step in steps:
        found += [before(target) for target in step.takes]
        renames = list(step.renames)
        if step.action is Action.RENAME and step.renamed_to is not None:
            renames.append((step.target, step.renamed_to))
        for target, new_name in renames:
            old = before(target)
            if old.kind is Kind.TABLE:
                names[new_name] = old.table
                names.pop(target.table, None)
            elif old.name is not None:
                columns[old.table, new_name] = old.name
    return list(dict.fromkeys(found))
