"""Run a migration: settle, announce, execute and record each deed of its verbs.

A verb is a generator: it looks, and yields a Skip for what is done already and a Deed for what is
to be done.  It changes nothing itself.  The database and its clone use the same code: a forecast is
the run itself, without rows.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from peewee import Database, OperationalError

from guarded.backends.interface import Backend, Ddl, Effects, Inspector, Ledger, Passed, Session
from guarded.changes import (
    AddColumn,
    Change,
    DropTable,
    Fill,
    FillEach,
    RenameColumn,
    RenameTable,
    Statement,
)
from guarded.errors import MigrationError, Refused, RowsDoNotFit, nearest
from guarded.kept import Keeper
from guarded.project import Project
from guarded.schema import Column, Table
from guarded.scripts import Script
from guarded.steps import (
    Action,
    Direction,
    Found,
    Kept,
    Kind,
    Made,
    Outcome,
    Pass,
    Step,
    Target,
    Watcher,
    found,
    statement,
)
from guarded.steps import column as column_of
from guarded.steps import table as table_of
from guarded.verbs.deeds import Deed, Deeds, Skip, So
from guarded.verbs.undo import INVERSES, Undo, holds, renamed, subject, value_of

SELECTS = re.compile(r"\s*SELECT\b", re.IGNORECASE)
RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)
READS = re.compile(r"\s*(SELECT|PRAGMA|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK)\b", re.IGNORECASE)


class Rows:
    """The rows that a verb may ask about before it acts.

    On a clone they are those of the database that was cloned, as long as nothing that ran since can
    have changed them; a question about others has no answer.
    """

    def __init__(self, inspector: Inspector, *, is_foreseen: bool = False) -> None:
        self.inspector, self.is_foreseen = inspector, is_foreseen
        self._unsure: set[str] | None = set() if is_foreseen else None
        self._doubted: set[tuple[str, str]] = set()  # tables and columns, these quoted
        self._retyped: set[str] = set()

    def count(self, table: str, condition: str = "") -> int:
        """0 where it can't be known."""
        if self._unsure is None:
            return self.inspector.count(table, condition)
        if table in self._unsure or not self.inspector.has_table(table):
            return 0
        # SQLite would take the name of a column that only the clone has for a string.
        if any(one == table and name in condition for one, name in self._doubted):
            return 0
        try:
            return self.inspector.count(table, condition)
        except RowsDoNotFit:
            if table in self._retyped:
                return 0  # the old type's values say nothing of the new one's
            raise
        except Refused:
            raise
        except Exception:  # such a column without quotes
            return 0

    def doubt(self, table: str, column: str) -> None:
        """From here on nobody knows the values of this column; its name is quoted."""
        self._doubted.add((table, column))

    def retype(self, table: str) -> None:
        """From here on a column has another type than in the rows."""
        self._retyped.add(table)

    def change(self, *tables: str | None) -> None:
        """From here on nobody knows the rows of these tables; of any, if one is None."""
        if self._unsure is not None:
            self._unsure |= {table for table in tables if table is not None}
            if None in tables:
                self._unsure |= {t.name for t in self.inspector.schema().values()}


def run_script(
    project: Project,
    backend: Backend,
    session: Session,
    script: Script,
    direction: Direction,
    ledger: Ledger,
    made: Made | None,
    rows: Rows | None = None,
    keeper: Callable[[], Keeper | None] = lambda: None,
    watcher: Watcher = Watcher(),  # noqa: B008
    weighs: bool = False,
) -> Outcome:
    """Run one direction of one migration; on a clone, ``rows`` are those that it has not.

    ``made`` limits what a ``down`` may undo, and says from where it refills; ``keeper`` gives what
    keeps the values that an ``up`` drops; ``watcher`` hears of the steps; ``weighs``: they say
    their passes over tables.  Raises MigrationFailed with the statement, and what the verbs refuse.
    Neither commits nor rolls back, and leaves it to the caller to ask the ledger what was lost.
    """
    from guarded.verbs.migrator import GuardedMigrator

    function = script.function(direction)
    playhouse = project.migrator(session.database)
    ddl = backend.ddl(session, playhouse, ledger)
    rows = rows or Rows(session.inspector)
    look = Look(backend, session, ddl, ledger, playhouse, rows, made)
    performer = Performer(look, keeper, made, watcher, weighs)
    migrator = GuardedMigrator(performer, script.path)
    started = time.perf_counter()
    with ledger.migration(script.name):
        ledger.mean(*(made.targets if made else ()))
        try:
            with performer.listening(session.database):
                result = function(migrator, session.database)
                if inspect.iscoroutine(result) or inspect.isgenerator(result):  # nothing ran
                    result.close()
                    raise Refused(
                        f"{direction.value} of '{script.name}' has to be a plain function"
                    )
                performer.settle()
                if made and made.kept:  # its own statements may have made what is refilled
                    performer.made |= ledger.new_columns()
                performer.refill()
                migrator.check_all_ran()
        except (Exception, SystemExit) as exc:
            from guarded.verbs.failure import failed, placed

            if isinstance(exc, OperationalError) and str(exc) == "interrupted":
                raise KeyboardInterrupt from exc  # a signal came while the database was at work
            # What it read of the rows may have told a migration what to do.
            if isinstance(exc, MigrationError) and not (rows.is_foreseen and performer.has_read):
                raise placed(script, performer, exc) from exc.__cause__
            raise failed(script, direction, performer, exc) from exc
    performer.claim_statements()
    performer.made |= ledger.new_columns()
    return Outcome(
        script.name,
        direction,
        script.checksum or "",
        round((time.perf_counter() - started) * 1000),
        tuple(performer.steps),
        Made(
            frozenset(performer.made),
            frozenset(performer.found),
            performer.kept(),
            frozenset(performer.gone),
            frozenset(performer.gone_found),
        )
        if direction is Direction.UP
        else Made(),
    )


class Performer:
    """The steps of one migration so far, and how the next one is done."""

    def __init__(
        self,
        look: Look,
        keeper: Callable[[], Keeper | None],
        undone: Made | None,
        watcher: Watcher,
        weighs: bool,
    ) -> None:
        """``undone`` is what the ``up`` did that a ``down`` undoes.  ``has_read``: the migration
        asked the database something, past the verbs."""
        self._make_keeper, self._watcher, self._weighs = keeper, watcher, weighs
        self._keeper: Keeper | None = None
        self._kept = undone.kept if undone else None
        self._refilled: set[Target] = set()
        self.look, self.ledger = look, look.ledger
        self.steps: list[Step] = []
        self.made: set[Target] = set()
        self.found: set[Found] = set()
        self.gone: set[Target] = set()
        self.gone_found: set[Found] = set()
        self._changed: set[Found] = set()  # what is so because of this migration
        self.last_statement = ""
        self.doing: tuple[str, int | None] | None = None  # the verb and its line
        self.has_read = False
        self._means_all = self._is_own = False
        self._changed_rows: int | None = None
        self._unclaimed: list[tuple[str, Effects, tuple[Pass, ...]]] = []

    def perform(self, verb: Callable[..., Deeds], arguments: Sequence[Any]) -> None:
        """Do all that the verb describes.  Raises Refused."""
        name = verb.__name__
        if self.look.undo is not None and name in INVERSES:
            target = subject(name, arguments)
            if any(holds(self.look, fact) for fact in self.look.undo.facts(name, target)):
                why = "kept: it was so before this migration"
                self._note(Step(Action.SKIP, target, why))
                return
        if name in ("rename_table", "rename_column", "drop_column"):
            self.refill()  # what statements made under the name that goes
        for item in verb(self.look, *arguments):
            if isinstance(item, So):
                self._find(item.verb, item.target)
            elif isinstance(item, Skip):
                self._note(Step(Action.SKIP, item.target, item.why))
                if item.is_so:
                    self._find(name, item.target)
            else:
                # From here on it is so because of this migration.
                verbs = (name, *INVERSES.get(name, ()))
                self._changed |= {found(v, item.target) for v in verbs}
                self._do(item)

    def _find(self, verb: str, target: Target) -> None:
        """Note what was so before this migration, and not of anything that it made or changed."""
        fact = found(verb, target)
        if fact not in self._changed and not self._has_made(target):
            self.found.add(fact._replace(value=value_of(self.look, fact)))

    def settle(self) -> None:
        """Do the changes that wait."""
        for table, action in self.look.ddl.waiting():
            with self.step(Step(action, Target(Kind.TABLE, table))) as told:
                rows = self.look.ddl.settle(table)
                if action is Action.REBUILD and not self.look.rows.is_foreseen:
                    told["rows"] = rows

    def _do(self, deed: Deed) -> None:
        change, ddl = deed.change, self.look.ddl
        step = Step(deed.action, deed.target, deed.note, deed.renamed_to)
        if deed.loses or deed.empties:
            step = step._replace(takes=(deed.target,))
        if deed.action is Action.FILL:
            step = step._replace(sets=(deed.target,))
        if not ddl.waits(change) or ddl.must_settle(change):
            self.settle()
        constraints = self._constraints(deed.target.table) if deed.renamed_to is not None else []
        waits = ddl.waits(change)
        if deed.loses:
            self._watcher.works(step)
            step = self._keep(step)
        if not deed.is_raw:
            self.ledger.mean(deed.target, *ddl.affected(change))
            if table := getattr(change, "table", None):
                self.ledger.mean(Target(Kind.TABLE, table))
            self.ledger.suspect(change)
        if waits:
            ddl.apply(change)
            self._note(step)
        else:
            with self.step(step, is_raw=deed.is_raw, counts=deed.counts):
                ddl.apply(change)
        self.look.rows.change(*_tables_changed(change))
        if isinstance(change, AddColumn):
            self.look.rows.doubt(change.table, self.look.names.quote(change.column))
        if deed.makes:
            self._make({deed.target})
            self.refill()
        if deed.loses:
            self._drop(deed.target)
        if deed.renamed_to is not None:
            self._follow(deed.target, deed.renamed_to)
            self._follow_constraints(deed.target, deed.renamed_to, constraints)

    def _make(self, targets: Set[Target]) -> None:
        self.made |= targets
        if self.look.undo is not None:
            for target in targets:
                self.look.undo.come_back(target)

    def _drop(self, target: Target) -> None:
        """Put aside what is known of a table or column that went: another may get its name."""

        def is_of(table: str, name: str | None) -> bool:
            return table == target.table and target.name in (None, name)

        kinds = (Kind.TABLE, Kind.COLUMN)  # an index is known by its name alone
        made = {t for t in self.made if t.kind in kinds and is_of(t.table, t.name)}
        found = {fact for fact in self.found if is_of(fact.table, fact.name)}
        self.gone |= made
        self.gone_found |= found
        self.made -= made
        self.found -= found
        self._changed = {fact for fact in self._changed if not is_of(fact.table, fact.name)}
        self._refilled = {t for t in self._refilled if not is_of(t.table, t.name)}

    def _has_made(self, target: Target) -> bool:
        """Return True if this migration made it, or its table."""
        return not self.made.isdisjoint({target, table_of(target.table)})

    def _keep(self, step: Step) -> Step:
        """Keep the values that the step takes, and say how many.  Those of what this migration
        made itself were not there before, and need not come back."""
        if self._has_made(step.target):
            return step
        stored = self.look.inspector.table(step.target.table)
        if self._keeper is None:
            self._keeper = self._make_keeper()
        if self._keeper is None or stored is None:
            return step
        present = step.target.kind is Kind.TABLE or self.look.column(stored, str(step.target.name))
        table = self.look.table(stored.name)  # with a default that waits
        if not present or table is None:
            return step
        rows = self._keeper.keep(self.look.inspector, self.look.names, table, step.target)
        said = f"{step.note}, {rows} values kept" if step.note else f"{rows} values kept"
        return step._replace(rows=rows, note=said if rows else step.note)

    def kept(self) -> Kept | None:
        """Finish the file of kept values, if there is one."""
        return self._keeper.close() if self._keeper is not None else None

    def refill(self) -> None:
        """Put back what the ``up`` dropped of the tables and columns that are there again."""
        if self._kept is None or not self._kept.path or self.look.rows.is_foreseen:
            return
        from guarded import kept
        from guarded.verbs import refill

        if kept.missing(self._kept) is not None:  # which the caller has told
            return
        wanted = {t for t in self.made if t.kind in (Kind.TABLE, Kind.COLUMN)} - self._refilled
        if not wanted:
            return
        self.settle()
        refill.refill(self, Path(self._kept.path), wanted)
        self._refilled |= wanted

    def _follow(self, target: Target, new_name: str) -> None:
        """Give what this migration made or found its new name, and what it undoes."""
        fold = self.look.names.fold
        self.found = {renamed(fact, target, new_name, fold) for fact in self.found}
        self._changed = {renamed(fact, target, new_name, fold) for fact in self._changed}
        if self.look.undo is not None:
            self.look.undo.follow(target, new_name)
        if target.kind is Kind.TABLE:
            self.made = {made.moved(target.table, new_name) for made in self.made}
        elif target in self.made:
            self.made.remove(target)
            self.made.add(target._replace(name=new_name))

    def _follow_constraints(self, target: Target, new_name: str, before: Sequence[str]) -> None:
        """The same for constraints without a name, which are called by their columns."""
        table = new_name if target.kind is Kind.TABLE else target.table
        for old, new in zip(before, self._constraints(table)):
            if old != new:
                self._follow(Target(Kind.CONSTRAINT, table, old), new)

    def _constraints(self, table: str) -> list[str]:
        found = self.look.inspector.table(table)
        return list(found.constraints) if found is not None else []

    # The record.

    @contextmanager
    def listening(self, database: Database) -> Iterator[None]:
        """Let the ledger see each statement of ``database`` first, and note it."""
        execute_sql: Callable[..., Any] = database.execute_sql

        def noting(sql: str, params: Any = None) -> Any:
            if READS.match(sql):
                self.has_read |= SELECTS.match(sql) is not None
                self.ledger.before(sql, params or (), meant=False, is_own=False)
                return execute_sql(sql, params)
            effects = self.ledger.before(
                sql, params or (), meant=self._means_all, is_own=self._is_own
            )
            self._make(effects.makes)
            self.last_statement = sql
            if not (self._means_all or self._is_own):  # past the verbs
                self._watcher.works(Step(Action.RUN, statement(sql)))
                if not effects.makes:
                    self.look.rows.change(None)
            before = self._passed()
            with self._advancing(sql, params or ()):
                cursor = execute_sql(sql, params)
            if self._means_all and RETURNS.search(sql) and cursor.description is not None:
                cursor.fetchall()  # SQLite counts the rows once all are fetched
            if cursor.rowcount >= 0:
                self._changed_rows = cursor.rowcount
            self._unclaimed.append((sql, effects, _passes(before, self._passed())))
            for target, new_name in effects.renames:
                self._follow(target, new_name)
            return cursor

        # Peewee sends everything through this one method, and looks it up on the instance.
        database.execute_sql = noting  # type: ignore[method-assign]
        try:
            yield
        finally:
            del database.execute_sql

    def _advancing(self, sql: str, params: Sequence[Any]) -> AbstractContextManager[None]:
        if not self._watcher.follows:
            return nullcontext()
        return self.ledger.advancing(sql, params, partial(self._watcher.advances, sql))

    @contextmanager
    def step(
        self, step: Step, *, is_raw: bool = False, counts: bool = False
    ) -> Iterator[dict[str, Any]]:
        """One step that takes the statements sent inside of the block; yields where to put the
        fields of it that only the block knows.

        ``is_raw``: they are the migration's own, and all that they say is meant.
        """
        self.claim_statements()
        self._changed_rows = None
        self._means_all, self._is_own = is_raw, not is_raw
        self._watcher.works(step)
        started = time.monotonic()
        told: dict[str, Any] = {}
        try:
            yield told
        finally:
            self._means_all = self._is_own = False
        rows = self._changed_rows if counts and not self.look.rows.is_foreseen else step.rows
        if counts and rows == 0:
            step = step._replace(action=Action.SKIP, note="no row to change")
        if is_raw and (idle := [e.idle for _, e, _ in self._unclaimed if e.idle]):
            step = step._replace(action=Action.SKIP, note=idle[0])
        if is_raw:
            step = step._replace(
                takes=tuple(
                    target for _, effects, _ in self._unclaimed for target in effects.takes
                ),
                sets=tuple(target for _, effects, _ in self._unclaimed for target in effects.sets),
                renames=tuple(
                    each for _, effects, _ in self._unclaimed for each in effects.renames
                ),
            )
        step = step._replace(
            rows=rows,
            statements=tuple(sql for sql, _, _ in self._unclaimed),
            passes=tuple(each for _, _, passes in self._unclaimed for each in passes),
        )
        done = step._replace(**told)
        self._record(done, time.monotonic() - started)
        self._unclaimed.clear()

    def _passed(self) -> Mapping[str, Passed]:
        return self.look.ddl.passed() if self._weighs else {}

    def _note(self, step: Step) -> None:
        """A step that takes no statement, or takes it later."""
        self.claim_statements()
        self._record(step)

    def _record(self, step: Step, seconds: float = 0.0) -> None:
        self.steps.append(step)
        self._watcher.ended(step, seconds)

    def claim_statements(self) -> None:
        """A step for each statement that the migration sent past the migrator."""
        for sql, effects, passes in self._unclaimed:
            step = Step(Action.RUN, statement(sql), statements=(sql,), passes=passes)
            if effects.idle:
                step = step._replace(action=Action.SKIP, note=effects.idle)
            self._record(
                step._replace(takes=effects.takes, sets=effects.sets, renames=effects.renames)
            )
        self._unclaimed.clear()


def _passes(before: Mapping[str, Passed], after: Mapping[str, Passed]) -> tuple[Pass, ...]:
    found = []
    for table, now in after.items():
        was = before.get(table, now)
        if was != now:
            found.append(Pass(table, rewrites=now.file != was.file))
    return tuple(found)


class Look:
    """The database as verbs see it: with all that was described before, done or waiting."""

    def __init__(
        self,
        backend: Backend,
        session: Session,
        ddl: Ddl,
        ledger: Ledger,
        playhouse: Any,
        rows: Rows,
        made: Made | None,
    ) -> None:
        """``made``: on the way down, all that the ``up`` of this migration did in this database.
        Only what it created is dropped: what is older stays, with its rows."""
        names = backend.names
        self.backend, self.inspector, self.names = backend, session.inspector, names
        self.ddl, self.ledger, self.playhouse, self.rows = ddl, ledger, playhouse, rows
        self.undo = Undo(names.fold, made) if made is not None else None

    def absent(self, target: Target, known: Iterable[str] | None = None) -> Skip:
        """Return that it is not there, and on the way up the ``known`` name that may be meant.

        Without known names its table is not there.
        """
        if self.undo is not None:
            return Skip(target, "not there")
        if known is None:
            tables = [table.name for table in self.inspector.schema().values()]
            return Skip(target, f"not there{nearest(target.table, tables)}")
        return Skip(target, f"not there{nearest(str(target.name), [*known])}")

    def kept(self, target: Target) -> str | None:
        """Return why a drop is not done, or None."""
        return self.undo.kept(target) if self.undo is not None else None

    def table(self, name: str) -> Table | None:
        """Raises InMemoryTable and Refused for a table that no migration can reach."""
        self.ledger.refuse_in_memory(name)
        found = self.ddl.table(name)
        if found is not None and found.kind == "shadow":
            raise Refused(f"'{found.name}' is a part of a virtual table; name that one instead")
        return found

    def existing(self, name: str) -> Table:
        """Raises Refused when there is no such table."""
        found = self.table(name)
        if found is None:
            self.refuse_view(name)
            known = [table.name for table in self.inspector.schema().values()]
            raise Refused(f"there is no table '{name}'{nearest(name, known)}")
        return self.readable(found)

    def refuse_view(self, name: str) -> None:
        """Raise Refused when a view has this name."""
        taken = self.inspector.relation(name)
        if taken is not None and taken.kind is Kind.VIEW:
            raise Refused(f"'{taken.table}' is a view; write its SQL, with migrator.sql(…)")

    def readable(self, table: Table) -> Table:
        """The same table.  Raises Refused when this process can't read it."""
        if table.unreadable:
            raise Refused(
                f"table '{table.name}' can't be read here: this process does not know the "
                f"{table.unreadable}; load it in the project (Project.register)"
            )
        return table

    def column(self, table: Table, name: str) -> Column | None:
        wanted = self.names.fold(name)
        return next((c for c in table.columns if self.names.fold(c.name) == wanted), None)

    def declared(self, model: Any) -> Table:
        """The table that the model would make."""
        (table,) = self.backend.declared([model]).values()
        return table

    def existing_column(self, table: str, name: str) -> tuple[Table, Column, Target]:
        """The table, its column, and that as a target.  Raises Refused when there is none."""
        found = self.existing(table)
        column = self.column(found, name)
        if column is None:
            known = [c.name for c in found.columns]
            raise Refused(f"table '{found.name}' has no column '{name}'{nearest(name, known)}")
        return found, column, column_of(found.name, column.name)

    def has_rows(self, table: Table) -> bool:
        return self.rows.count(table.name) > 0

    def refuse_doubles(self, table: Table, columns: list[str], condition: str = "") -> None:
        """Raise Refused where rows share values that are to be unique.

        Only to foresee it: in a run the database says so itself, and looks only once.
        """
        if not self.rows.is_foreseen:
            return
        quoted_table = self.names.quote(table.name)
        # With the table's name: SQLite takes "a" for a string where there is no such column.
        quoted = [f"{quoted_table}.{self.names.quote(name)}" for name in columns]
        where = [f"{name} IS NOT NULL" for name in quoted]
        where += [f"({condition})"] if condition else []
        rows = self.rows.count(
            table.name,
            f"({', '.join(quoted)}) IN (SELECT {', '.join(quoted)} FROM {quoted_table} WHERE "
            f"{' AND '.join(where)} GROUP BY {', '.join(quoted)} HAVING count(*) > 1)",
        )
        if rows:
            what = ", ".join(f"{table.name}.{name}" for name in columns)
            raise RowsDoNotFit(f"{what} can't be unique: {rows} rows share a value")

    def foresee_value(self, table: Table, expression: str) -> None:
        """Raise Refused where a row has no value of the expression.

        Only to foresee it: in a run the database says so itself, and computes it only once.
        """
        if self.rows.is_foreseen:
            self.rows.count(table.name, f"({expression}) IS NULL")

    def is_same(self, one: str, two: str) -> bool:
        """Return True if the database takes the two names for one."""
        return self.names.fold(one) == self.names.fold(two)

    def sql_of(self, node: Any) -> str:
        """A node of Peewee's as SQL with its values in it."""
        sql, params = self.playhouse.make_context().sql(node).query()
        assert not params, "what becomes part of a schema has no parameters"
        return str(sql)


def _tables_changed(change: Change) -> tuple[str | None, ...]:
    """The tables whose rows are not what they were; None for a statement that could change any."""
    if isinstance(change, Statement):
        return (None,)
    if isinstance(change, (Fill, FillEach, RenameColumn, DropTable)):
        return (change.table,)
    if isinstance(change, RenameTable):
        return change.table, change.new_name
    return ()
