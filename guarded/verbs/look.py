"""The database as verbs see it, and the items that a verb yields: what it found, and what is to be
done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from peewee import SQL, Field, ForeignKeyField

from guarded.backends.interface import Backend, Ddl, Inspector, Ledger, Session
from guarded.changes import Change
from guarded.errors import Refused, RowsDoNotFit, nearest
from guarded.schema import Column, Table
from guarded.steps import Action, Found, Kind, Made, Target
from guarded.steps import column as column_of


class Skip(NamedTuple):
    """Nothing to do, and why.  ``is_so``: what the verb asks for was so already."""

    target: Target
    why: str
    is_so: bool = False


class So(NamedTuple):
    """What a verb of this name would find to be so already; no step of its own."""

    verb: str
    target: Target


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


Deeds = Iterator[Skip | So | Deed]


class Rows:
    """The rows that a verb may ask about before it acts.

    On a clone they are those of the database that was cloned, as long as nothing that ran since can
    have changed them; a question about others has no answer.
    """

    def __init__(self, inspector: Inspector, *, is_foreseen: bool = False) -> None:
        self.inspector, self.is_foreseen = inspector, is_foreseen
        self._unsure: set[str] | None = set() if is_foreseen else None

    def count(self, table: str, condition: str = "") -> int:
        """0 where it can't be known."""
        if self._unsure is None:
            return self.inspector.count(table, condition)
        if table in self._unsure or not self.inspector.has_table(table):
            return 0
        try:
            return self.inspector.count(table, condition)
        except Exception:  # a column that only the clone has: no row has a value in it yet
            return 0

    def change(self, *tables: str | None) -> None:
        """From here on nobody knows the rows of these tables; of any, if one is None."""
        if self._unsure is not None:
            self._unsure |= {table for table in tables if table is not None}
            if None in tables:
                self._unsure |= {t.name for t in self.inspector.schema().values()}


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
        self._made = None if made is None else {self._key(target) for target in made.targets}
        self._found = {tuple(map(names.fold, found)) for found in (made.found if made else ())}

    def was_found(self, verb: str, target: Target) -> bool:
        """Whether the ``up`` of a migration that is undone found this to be so already."""
        return tuple(map(self.names.fold, found_by(verb, target))) in self._found

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
        if found.unreadable:
            raise Refused(
                f"table '{found.name}' can't be read here: this process does not know the "
                f"{found.unreadable}; load it in the project (Project.register)"
            )
        return found

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
        quoted = [self.names.quote(name) for name in columns]
        where = [f"{name} IS NOT NULL" for name in quoted]
        where += [f"({condition})"] if condition else []
        quoted_table = self.names.quote(table.name)
        rows = self.rows.count(
            table.name,
            f"({', '.join(quoted)}) IN (SELECT {', '.join(quoted)} FROM {quoted_table} WHERE "
            f"{' AND '.join(where)} GROUP BY {', '.join(quoted)} HAVING count(*) > 1)",
        )
        if rows:
            what = ", ".join(f"{table.name}.{name}" for name in columns)
            raise RowsDoNotFit(f"{what} can't be unique: {rows} rows share a value")

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


def found_by(verb: str, target: Target) -> Found:
    return verb, target.table, target.name or ""


def unique_name(columns: Iterable[str]) -> str:
    """The name of the constraint that ``add_unique`` makes."""
    return f"uniq_{'_'.join(columns)}"


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
