"""The seam: the engine's interface to a kind of database, for what SQL does not do portably.

Code outside a backend works through these protocols alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from guarded.patience import Patience as Patience

if TYPE_CHECKING:
    from datetime import datetime

    from guarded.changes import Change, Fill
    from guarded.findings import Finding
    from guarded.project import Project
    from guarded.schema import Column, ForeignKey, Index, Schema, Table
    from guarded.steps import Action, Step, Target


class Waits(Enum):
    """Those who wait until COMMIT for a table that a run keeps locked; for READERS, writers too."""

    READERS = "readers"
    WRITERS = "writers"


Locks = Mapping[str, Waits]  # by table
Execute = Callable[..., Any]  # SQL and values in, an iterable of rows out
OnProgress = Callable[[int, int], None]  # parts done, parts in all
MayEnd = Callable[[Sequence[str]], bool]  # asked before these sessions of others are ended


class Names(Protocol):
    """Identifiers and values as this kind of database spells them."""

    @property
    def fields(self) -> Mapping[str, str]:
        """Peewee's fields for types that this kind of database alone has, by the type."""

    def fold(self, name: str) -> str:
        """The spelling that all spellings of one identifier share."""

    def quote(self, name: str) -> str: ...

    def literal(self, value: object) -> str:
        """A Python value as SQL."""

    def differs(self, one: str, two: str) -> str:
        """A condition: the values of two expressions are not the same; NULL is the same as NULL."""

    def exact(self, column: Column) -> str:
        """An expression for the column whose values the driver gives back to the database
        unchanged."""

    def spelling(self, sql: str) -> str:
        """One spelling for all spellings of a type or an expression."""

    def one_line(self, sql: str) -> str:
        """The statement without line ends and comments, and with its strings as they are."""

    def affinity(self, storage: str) -> str:
        """INTEGER, REAL, NUMERIC, TEXT, BLOB, BOOLEAN or DATETIME: values that a column of this
        ``storage`` takes."""

    def meaning(self, default: str, storage: str) -> str | None:
        """One spelling for all spellings of a default in a column, as in ``schema.Column``."""


class Inspector(Protocol):
    """Reads the schema and counts rows, over one connection.  Never writes."""

    @property
    def own_types(self) -> Mapping[str, str]:
        """The types of the columns ``id`` and ``at`` in the history: numbered, and dated in UTC."""

    def execute(self, sql: str, params: Sequence[Any] = ...) -> Any:
        """Run a statement, in which a question mark stands for a value; gives its rows."""

    def has_table(self, name: str) -> bool: ...

    def table(self, name: str) -> Table | None: ...

    def schema(self) -> Schema:
        """The tables that people made, with the parts of virtual ones left out, by folded name."""

    def relation(self, name: str) -> Target | None:
        """The table, view or index of this name, or whatever else none of these could share it
        with."""

    def is_empty(self) -> bool:
        """Return True if there is no object at all."""

    def script(self) -> list[str]:
        """The statements that make this schema of an empty database, without the history."""

    def objects(self) -> Mapping[Target, str | None]:
        """All that people made, with the SQL that makes it; None where there is none."""

    def count(self, table: str, condition: str = "") -> int:
        """The number of its rows, of those that meet the condition if one is given."""

    def id_mark(self, table: str) -> int | None:
        """The highest id that the table has given out; None where the database forgets it."""


class Session(NamedTuple):
    """One open connection, inside of a transaction; ``database`` is Peewee's."""

    database: Any
    inspector: Inspector


class Passed(NamedTuple):
    """How often a table was read from end to end, and the number of the file that its rows are in:
    another one once all were written anew."""

    reads: int
    file: int


class Ddl(Protocol):
    """Applies changes, each in the cheapest way that keeps all else."""

    def table(self, name: str) -> Table | None:
        """The table as it will be once what waits is done."""

    def children(self, table: str) -> Sequence[tuple[str, ForeignKey]]:
        """The foreign keys of other tables that refer to this one."""

    def index(self, table: str, sql: str) -> Index | None:
        """The index that a CREATE INDEX would make; None for what makes none."""

    def constraint(self, table: str, definition: str) -> str:
        """The text that the constraint would have in ``schema.Table.constraints``."""

    def default(self, table: str, column: Column, sql: str) -> str | None:
        """The ``meaning`` that this default would have in the column."""

    def column(self, table: str, definition: str) -> Column | None:
        """The column that an ADD COLUMN would make; None where that can't be told."""

    def refusal_of_type(self, table: Table, column: Column, type_: str) -> str | None:
        """Why the column can't get this type, or None."""

    def altered_by_type(self, table: Table, column: Column, type_: str) -> dict[str, str]:
        """Conditions for rows whose value would not stay, each with what would happen to them."""

    def resting(self, change: Fill) -> str:
        """The triggers that rest while the change is made, in words, or nothing."""

    def obstacles(self, change: Change) -> list[str]:
        """Return what is in the way of the change, each by kind and name."""

    def affected(self, change: Change) -> Iterable[Target]:
        """Other objects that the change alters or drops along."""

    def waits(self, change: Change) -> bool:
        """Return True if ``settle`` will do the change, together with others."""

    def must_settle(self, change: Change) -> bool:
        """Return True if the change, done together with what waits, would give other values."""

    def apply(self, change: Change) -> None:
        """Do it now, or remember it for ``settle``.  Raises Refused, and nothing is done then."""

    def waiting(self) -> Sequence[tuple[str, Action]]:
        """The tables that ``settle`` would change, and how."""

    def settle(self, table: str) -> int | None:
        """Do what waits for this table; gives how many rows were written anew, where some were."""

    def passed(self) -> Mapping[str, Passed]:
        """How far this transaction has gone over each table; empty where that makes nobody wait
        for a table."""

    @property
    def refilled(self) -> int:
        """The rows that the last ``Refill`` put back."""


class RowCount(NamedTuple):
    """A table's rows before and after a migration; ``trigger`` wrote it, where one did."""

    table: str
    before: int
    after: int
    trigger: str | None


class Written(NamedTuple):
    """Rows that a migration added or removed without saying so, and tables that it wrote where the
    ledger could not see it.

    Rows that a statement adds to the table that it names are meant; rows that a trigger adds are
    not, and rows that vanish need a verb.
    """

    counts: list[RowCount]
    unseen: list[str]


class ChangedObject(NamedTuple):
    """``migration`` is the one that did it, where that is known."""

    target: Target
    is_gone: bool
    migration: str | None


class FallenMark(NamedTuple):
    """A table whose next id fell, with the mark before and now."""

    table: str
    before: int
    after: int


class Dangling(NamedTuple):
    """Rows whose foreign key points nowhere now, and did not before."""

    child: str
    parent: str
    rows: int
    migration: str | None


class Left(NamedTuple):
    """Changes of a whole run that no step announced."""

    changed: list[ChangedObject]
    fallen: list[FallenMark]
    dangling: list[Dangling]
    broken: list[tuple[Target, str]]  # by statements of its own, with the database's reason


class Effects(NamedTuple):
    """The effects of a statement: objects that it makes, values that it loses, columns that it
    sets, and tables and columns that it renames, each with its new name.  ``idle`` says why a
    CREATE or DROP does nothing."""

    makes: frozenset[Target] = frozenset()
    takes: tuple[Target, ...] = ()
    sets: tuple[Target, ...] = ()
    renames: tuple[tuple[Target, str], ...] = ()
    idle: str = ""


class Ledger(Protocol):
    """Sees every statement of a run before it is executed, and keeps what was there before.

    Facts only: ``guarded.promises`` has the sentences.
    """

    def migration(self, name: str) -> AbstractContextManager[None]:
        """While the block runs, deny what a migration must not do."""

    def before(self, sql: str, params: Sequence[Any], *, meant: bool, is_own: bool) -> Effects:
        """Look at a statement that is about to run: ``meant``, all that it says; ``is_own``, it is
        the engine's own.  Raises Refused for what is denied."""

    def advancing(
        self, sql: str, params: Sequence[Any], tell: Callable[[float], None]
    ) -> AbstractContextManager[None]:
        """While the block runs the statement, tell now and then about which share of it is done;
        never, where the database does not say."""

    def mean(self, *targets: Target) -> None:
        """Announce that these will change.  Raises InMemoryTable."""

    def refuse_in_memory(self, table: str) -> None:
        """Raise InMemoryTable or Refused for a table that no migration may touch."""

    def trusting(self) -> AbstractContextManager[None]:
        """While the block runs, the statements are the engine's own."""

    def suspect(self, change: Change) -> None:
        """Note the foreign keys that a change could leave without a parent."""

    def new_columns(self) -> set[Target]:
        """Columns that the migration that just ran added by statements of its own."""

    def written(self) -> Written:
        """Return the unannounced writes of the migration that just ran."""

    def left(self) -> Left:
        """Return the unannounced changes of the whole run."""


class Backup(NamedTuple):
    """A copy of the database; ``is_whole``: its check found nothing wrong."""

    path: Path
    is_whole: bool
    findings: tuple[Finding, ...]


class Origin(Enum):
    """The reason why a copy of a database was made."""

    RUN = "run"
    BY_HAND = "by hand"
    RESTORE = "restore"


class Copy(NamedTuple):
    """A file that ``restore`` can put in the place of the database.  ``at`` is UTC."""

    path: Path
    origin: Origin
    at: datetime
    size: int


class KeptFile(NamedTuple):
    """A file with the values that a migration dropped, see ``guarded.kept``.  ``at`` is UTC."""

    path: Path
    migration: str
    at: datetime
    size: int


class Backend(Protocol):
    """One database, which may not exist yet."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Names: ...

    @property
    def lets_others_write(self) -> bool:
        """Return True if others can write during a run, but for what ``lock_tables`` locks."""

    @property
    def version(self) -> str:
        """The version of the database program, for the history and for people."""

    def __str__(self) -> str:
        """Return where it is, without secrets."""

    @property
    def is_there(self) -> bool: ...

    def size(self) -> int:
        """Return its size in bytes; 0 if there is none."""

    def reading(self, patience: Patience) -> AbstractContextManager[Inspector | None]:
        """Read-only; None while there is no database.  Raises UnusableDatabase."""

    def transaction(
        self, patience: Patience, on_commit: Callable[[], None]
    ) -> AbstractContextManager[Session]:
        """Hold the lock of runners, and commit; on any exception leave all as it was.

        ``on_commit`` is called before a signal can come through.  Raises DatabaseLocked,
        UnforeseenLock and DatabaseFailed.
        """

    def clone(self, of: Inspector | None) -> AbstractContextManager[Session]:
        """The same schema without rows, to try things on; gone with the block."""

    def scratch(self) -> AbstractContextManager[Backend]:
        """An empty database of this kind, gone with the block."""

    def copy(
        self, patience: Patience, on_progress: OnProgress
    ) -> AbstractContextManager[Backend | None]:
        """A whole copy of this database, gone with the block; None while there is none."""

    def declared(self, models: Sequence[Any]) -> Schema:
        """Return the schema that these Peewee models would create."""

    def ledger(self, session: Session, in_memory: Mapping[str, str]) -> Ledger:
        """``in_memory``: tables that no migration may touch, with the model of each."""

    def locks(self, steps: Iterable[Step], schema: Schema) -> Locks:
        """Return the tables of this schema that these steps need locked until COMMIT, as far as
        the lock of runners does not do it yet."""

    def lock_tables(self, session: Session, locks: Locks, patience: Patience) -> None:
        """Lock those of the tables that are there, until COMMIT.  Raises DatabaseLocked."""

    def ddl(self, session: Session, playhouse: Any, ledger: Ledger) -> Ddl:
        """``playhouse`` is its SchemaMigrator for the session's database."""

    def only_copies(self, inspector: Inspector, tables: Iterable[str]) -> Iterator[Finding]:
        """Find tables whose only rows another tool left in a copy."""

    def back_up(
        self,
        patience: Patience,
        on_progress: OnProgress,
        *,
        deep: bool = False,
        by_hand: bool = False,
    ) -> Backup | None:
        """Take a backup; None while there is no database, or where this kind keeps none.

        ``deep``: look for damaged indexes, too.  ``by_hand``: ``prune_backups`` leaves it.  Raises
        BackupFailed.
        """

    def copies(self) -> list[Copy]:
        """Return the backups, and what ``restore`` kept; the oldest first."""

    def reading_copy(self, copy: Copy) -> AbstractContextManager[Inspector | None]:
        """Read-only; None where this kind can't look into a copy.  Raises UnusableDatabase."""

    def file_to_keep(self, migration: str) -> Path | None:
        """Return the place for the values that this migration drops, or None if there is none."""

    def kept_files(self) -> list[KeptFile]:
        """The files of dropped values, the oldest first."""

    def owner(self) -> Path | None:
        """A file whose owner the files beside it belong to."""

    def prune_backups(self, taken: Path) -> None:
        """Remove the backups of runs but the newest; the one just ``taken`` stays."""

    def restore(
        self,
        project: Project,
        file: Path,
        patience: Patience,
        on_progress: OnProgress,
        may_end: MayEnd | None = None,
    ) -> Path | str | None:
        """Put a backup in the place of the database; gives the file, or the database, that has what
        was there.

        Raises RestoreRefused and DatabaseLocked, and then nothing was touched.
        """

    def examine(self, project: Project, patience: Patience) -> Iterator[Finding]:
        """All that doctor asks of this kind of database, from the outside in."""


class Unfit(Exception):
    """A column does not take this value as it is; the message says why."""


class Load(Protocol):
    """Fills tables that a run has just made, inside of its transaction."""

    def fitting(self, column: Column) -> Callable[[Any], Any]:
        """Return what makes of another database's value, which is not None, one for the column.

        It raises Unfit.
        """

    def is_json(self, column: Column) -> bool:
        """Return True if ``rows`` gives JSON in a spelling of its own."""

    def empty(self, *tables: str) -> None:
        """Delete all rows of these tables."""

    def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Raises Refused for a row that breaks a constraint."""

    def rows(self, table: str, columns: Sequence[Column]) -> Iterator[Sequence[Any]]:
        """Yield the rows in the order in which they were copied."""


@runtime_checkable
class Leavable(Protocol):
    """A kind of database that a project can move away from."""

    def users(self) -> list[str]:
        """Return other processes that use it, as far as they can be seen."""

    def watched(self, patience: Patience) -> AbstractContextManager[Callable[[], bool]]:
        """Yield a question: has anybody written to it since the block began?"""


@runtime_checkable
class Fillable(Protocol):
    """A kind of database that a project can move to."""

    def loading(self, session: Session, marks: Mapping[str, int]) -> AbstractContextManager[Load]:
        """Empty the tables in ``marks``, and let the block fill them.

        ``marks``: the highest id that each has given out, or 0; the next is higher.  Raises Refused
        for rows that break a constraint.
        """
