"""Running a migration: each deed of a verb is settled, announced, recorded and executed here.

A verb is a generator: it looks, and yields a Skip for what is so already and a Deed for what is to
be done.  It changes nothing itself.  Used on the database and on its clone alike: a forecast is the
run itself, without rows.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from peewee import SQL, Database, Field, ForeignKeyField, IntegrityError, OperationalError

from guarded.backends.interface import Backend, Ddl, Effects, Inspector, Ledger, Names, Session
from guarded.changes import Change
from guarded.errors import MigrationError, MigrationFailed, Refused, nearest
from guarded.project import Project
from guarded.schema import Column, Table
from guarded.scripts import Script
from guarded.steps import Action, Direction, Kind, Outcome, Step, Target, statement
from guarded.steps import column as column_of

READS = re.compile(r"\s*(SELECT|PRAGMA|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK)\b", re.IGNORECASE)


class Skip(NamedTuple):
    """Nothing to do, and why."""

    target: Target
    why: str


class Deed(NamedTuple):
    """A change to be made, and the step that it is.

    ``makes``: the target was not there before.  ``loses``: its values go with it.  ``counts``: the
    step is a skip when no row was changed.  ``is_raw``: a statement of the migration's own.
    """

    action: Action
    target: Target
    change: Change
    note: str = ""
    renamed_to: str | None = None
    makes: bool = False
    loses: bool = False
    counts: bool = False
    is_raw: bool = False


Deeds = Iterator[Skip | Deed]


def run_script(
    project: Project,
    backend: Backend,
    session: Session,
    script: Script,
    direction: Direction,
    ledger: Ledger,
    made: Collection[Target] | None,
    *,
    has_rows: bool = True,
) -> Outcome:
    """Run one direction of one migration; ``has_rows=False`` on a clone of the schema alone.

    ``made`` limits what a ``down`` may drop.  Raises MigrationFailed with the statement, and what
    the verbs refuse.  Neither commits nor rolls back, and leaves it to the caller to ask the
    ledger what was lost.
    """
    from guarded.verbs.migrator import GuardedMigrator

    function = script.function(direction)
    playhouse = project.migrator(session.database)
    ddl = backend.ddl(session, playhouse, ledger)
    look = Look(session.inspector, ddl, ledger, backend.names, playhouse, made)
    performer = Performer(look, has_rows)
    migrator = GuardedMigrator(performer)
    started = time.perf_counter()
    with ledger.migration(script.name):
        ledger.mean(*(made or ()))
        try:
            with performer.listening(session.database):
                result = function(migrator, session.database)
                if inspect.iscoroutine(result) or inspect.isgenerator(result):  # nothing ran
                    result.close()
                    raise Refused(
                        f"{direction.value} of '{script.name}' has to be a plain function"
                    )
                performer.settle()
                migrator.check_all_ran()
        except MigrationError:
            raise
        except OperationalError as exc:
            if str(exc) == "interrupted":  # a signal came while the database was at work
                raise KeyboardInterrupt from exc
            raise _failed(script, direction, performer, exc) from exc
        except (Exception, SystemExit) as exc:
            raise _failed(script, direction, performer, exc) from exc
    performer.claim_statements()
    performer.made |= ledger.new_columns()
    return Outcome(
        script.name,
        direction,
        script.checksum or "",
        round((time.perf_counter() - started) * 1000),
        tuple(performer.steps),
        frozenset(performer.made if direction is Direction.UP else ()),
    )


class Performer:
    """The steps of one migration so far, and how the next one is done."""

    def __init__(self, look: Look, has_rows: bool) -> None:
        """``has_rows=False``: where no row to change means nothing."""
        self.look, self.ledger = look, look.ledger
        self.steps: list[Step] = []
        self.made: set[Target] = set()
        self.last_statement = ""
        self._has_rows = has_rows
        self._means_all = False
        self._changed_rows: int | None = None
        self._unclaimed: list[tuple[str, Effects]] = []

    def perform(self, verb: Callable[..., Deeds], arguments: tuple[Any, ...]) -> None:
        """Do all that the verb describes.  Raises Refused."""
        for item in verb(self.look, *arguments):
            if isinstance(item, Skip):
                self._note(Step(Action.SKIP, item.target, item.why))
            else:
                self._do(item)

    def settle(self) -> None:
        """Do what waits."""
        for table in self.look.ddl.waiting():
            with self._step(Step(Action.REBUILD, Target(Kind.TABLE, table))):
                self.look.ddl.settle(table)

    def _do(self, deed: Deed) -> None:
        change, ddl = deed.change, self.look.ddl
        step = Step(deed.action, deed.target, deed.note, deed.renamed_to)
        if deed.loses:
            step = step._replace(takes=(deed.target,))
        if deed.action is Action.FILL:
            step = step._replace(sets=(deed.target,))
        waits = ddl.waits(change)
        if not waits:
            self.settle()
        if not deed.is_raw:
            self.ledger.mean(deed.target, *ddl.affected(change))
            if table := getattr(change, "table", None):
                self.ledger.mean(Target(Kind.TABLE, table))
            self.ledger.suspect(change)
        if waits:
            ddl.apply(change)
            self._note(step)
        else:
            with self._step(step, is_raw=deed.is_raw, counts=deed.counts):
                ddl.apply(change)
        if deed.makes:
            self.made.add(deed.target)
        if deed.renamed_to is not None:
            self._follow(deed.target, deed.renamed_to)

    def _follow(self, target: Target, new_name: str) -> None:
        """A thing that this migration made is known by its new name from here on."""
        if target.kind is Kind.TABLE:
            self.made = {made.moved(target.table, new_name) for made in self.made}
        elif target in self.made:
            self.made.remove(target)
            self.made.add(target._replace(name=new_name))

    # The record.

    @contextmanager
    def listening(self, database: Database) -> Iterator[None]:
        """Let the ledger see each statement of ``database`` first, and note it."""
        execute_sql: Callable[..., Any] = database.execute_sql

        def noting(sql: str, params: Any = None) -> Any:
            if READS.match(sql):
                return execute_sql(sql, params)
            effects = self.ledger.before(sql, params or (), meant=self._means_all)
            self.made |= effects.makes
            self.last_statement = sql
            cursor = execute_sql(sql, params)
            if cursor.rowcount >= 0:
                self._changed_rows = cursor.rowcount
            self._unclaimed.append((sql, effects))
            return cursor

        # Peewee sends everything through this one method, and looks it up on the instance.
        database.execute_sql = noting  # type: ignore[method-assign]
        try:
            yield
        finally:
            del database.execute_sql

    @contextmanager
    def _step(self, step: Step, *, is_raw: bool = False, counts: bool = False) -> Iterator[None]:
        """One step that takes the statements sent inside of the block.

        ``is_raw``: they are the migration's own, and all that they say is meant.
        """
        self.claim_statements()
        self._changed_rows = None
        self._means_all = is_raw
        try:
            yield
        finally:
            self._means_all = False
        rows = self._changed_rows if counts and self._has_rows else None
        if rows == 0:
            step = step._replace(action=Action.SKIP, note="no row to change")
        if is_raw:
            step = step._replace(
                takes=tuple(target for _, effects in self._unclaimed for target in effects.takes),
                sets=tuple(target for _, effects in self._unclaimed for target in effects.sets),
            )
        statements = tuple(sql for sql, _ in self._unclaimed)
        self.steps.append(step._replace(rows=rows, statements=statements))
        self._unclaimed.clear()

    def _note(self, step: Step) -> None:
        """A step that takes no statement, or takes it later."""
        self.claim_statements()
        self.steps.append(step)

    def claim_statements(self) -> None:
        """A step for each statement that the migration sent past the migrator."""
        for sql, effects in self._unclaimed:
            step = Step(Action.RUN, statement(sql), statements=(sql,))
            self.steps.append(step._replace(takes=effects.takes, sets=effects.sets))
        self._unclaimed.clear()


def _failed(
    script: Script, direction: Direction, performer: Performer, exc: BaseException
) -> MigrationFailed:
    import traceback

    lines = [
        frame.lineno
        for frame in traceback.extract_tb(exc.__traceback__)
        if Path(frame.filename) == script.path
    ]
    where = f" (line {lines[-1]} of {script.path.name})" if lines else ""
    if performer.last_statement:
        last = statement(performer.last_statement, 200)
        where += f"; the last statement was: {last}"
    cause = str(exc) if isinstance(exc, OperationalError) else f"{type(exc).__name__}: {exc}"
    if isinstance(exc, IntegrityError):
        cause = f"{exc}: there are rows that don't fit; change those first"
    return MigrationFailed(script.name, direction.value, cause, where)


class Look:
    """The database as verbs see it: with all that was described before, done or waiting."""

    def __init__(
        self,
        inspector: Inspector,
        ddl: Ddl,
        ledger: Ledger,
        names: Names,
        playhouse: Any,
        made: Collection[Target] | None,
    ) -> None:
        """``made``: on the way down, all that the ``up`` of this migration created in this
        database.  Only that is dropped: what is older stays, with its rows."""
        self.inspector, self.ddl, self.ledger = inspector, ddl, ledger
        self.names, self.playhouse = names, playhouse
        self._made = None if made is None else {self._key(target) for target in made}

    def kept(self, target: Target) -> str | None:
        """Why a drop is not to be done, or None."""
        if self._made is None or self._key(target) in self._made:
            return None
        return "kept: it is older than this migration"

    def _key(self, target: Target) -> tuple[Kind, str, str]:
        # An index or trigger is known by its name alone.
        is_named = target.kind in (Kind.INDEX, Kind.TRIGGER)
        table = "" if is_named else self.names.fold(target.table)
        return target.kind, table, self.names.fold(target.name or "")

    def table(self, name: str) -> Table | None:
        """Raises InMemoryTable for a table that no migration can reach."""
        self.ledger.refuse_in_memory(name)
        return self.ddl.table(name)

    def existing(self, name: str) -> Table:
        """Raises Refused when there is no such table."""
        found = self.table(name)
        if found is None:
            known = [table.name for table in self.inspector.schema().values()]
            raise Refused(f"there is no table '{name}'{nearest(name, known)}")
        return found

    def column(self, table: Table, name: str) -> Column | None:
        wanted = self.names.fold(name)
        return next((c for c in table.columns if self.names.fold(c.name) == wanted), None)

    def existing_column(self, table: str, name: str) -> tuple[Table, Column, Target]:
        """The table, its column, and that as a target.  Raises Refused when there is none."""
        found = self.existing(table)
        column = self.column(found, name)
        if column is None:
            known = [c.name for c in found.columns]
            raise Refused(f"table '{found.name}' has no column '{name}'{nearest(name, known)}")
        return found, column, column_of(found.name, column.name)

    def count(self, table: Table, condition: str) -> int:
        """The rows that are there now and meet the condition, which is SQL."""
        return self.inspector.count(table.name, condition)

    def has_rows(self, table: Table) -> bool:
        quoted = self.names.quote(table.name)
        return any(True for _ in self.inspector.execute(f"SELECT 1 FROM {quoted} LIMIT 1"))

    def is_same(self, one: str, two: str) -> bool:
        """Whether two names are one to the database."""
        return self.names.fold(one) == self.names.fold(two)

    # Peewee's fields as SQL.

    def sql_of(self, node: Any) -> str:
        """A node of Peewee's as SQL with its values in it."""
        sql, params = self.playhouse.make_context().sql(node).query()
        assert not params, "what becomes part of a schema has no parameters"
        return str(sql)

    def column_definition(self, field: Field) -> str:
        context = self.playhouse.make_context()
        context.sql(field.ddl(context))
        if isinstance(field, ForeignKeyField):
            self.playhouse.add_inline_fk_sql(context, field)
            if field.deferrable:  # playhouse leaves it out
                context.literal(f" DEFERRABLE {field.deferrable}")
        sql, params = context.query()
        assert not params, "a column definition has no parameters"
        return str(sql)

    def type_of(self, field: Field) -> str:
        context = self.playhouse.make_context()
        sql, _ = context.sql(field.ddl_datatype(context)).query()
        return str(sql)

    def value_of(self, field: Field, value: Any) -> str:
        """As SQL.  A BlobField knows how to store bytes only once it has a model."""
        stored = value if isinstance(value, bytes) else field.db_value(value)
        return self.names.literal(stored)


def declared_default(field: Field) -> str | None:
    """The SQL after DEFAULT among the field's constraints."""
    for constraint in field.constraints or ():
        text = getattr(constraint, "sql", "")
        if isinstance(text, str) and text.strip().upper().startswith("DEFAULT"):
            return text.strip()[len("DEFAULT") :].strip()
    return None


def default_sql(look: Look, default: Any) -> str:
    """A default as playhouse takes it: a value, ``SQL('…')``, or text that is SQL already."""
    if default is None:
        raise Refused("a default must not be None; use drop_column_default")
    if callable(default) and not isinstance(default, SQL):
        default = default()
    if isinstance(default, SQL):
        return str(default.sql)
    if isinstance(default, str) and default.endswith((")", "'")):
        return default if default[0] in "'(" else f"({default})"
    return look.names.literal(default)
