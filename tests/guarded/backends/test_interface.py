"""Another kind of database: SQLite that folds names in another way and keeps no backups.

Whatever works with it works through the interface alone.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from peewee import CharField, Check, ForeignKeyField, IntegerField, Model, TextField

from guarded.author import new
from guarded.author.verify import verify
from guarded.backends.interface import Patience, Session
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.connect import SqliteFile
from guarded.backends.sqlite.ddl import SqliteDdl
from guarded.backends.sqlite.ledger import SqliteLedger
from guarded.backends.sqlite.text import SqliteNames, fold
from guarded.errors import ChangedMigration, InMemoryTable, Refused, RestoreRefused
from guarded.findings import Finding, Severity
from guarded.operate.check import check
from guarded.operate.doctor import examine
from guarded.operate.rehearse import rehearse
from guarded.plan import State
from guarded.project import Models
from guarded.run import Runner
from guarded.steps import Action, Direction
from tests.conftest import migration


class UpwardNames(SqliteNames):
    """Two spellings of a name are one, and the shared one is in capitals."""

    fold = staticmethod(str.upper)


class ExactNames(SqliteNames):
    """Every spelling is a name of its own, as of quoted names in other databases."""

    fold = staticmethod(str)


@dataclass(frozen=True)
class Folding:
    """Fold again, by these names, what the first backend has read."""

    names: SqliteNames

    def is_same(self, one, two):
        return self.names.fold(one) == self.names.fold(two)

    def index(self, index):
        if index is None:
            return None
        parts = [
            part if name is None else self.names.fold(name) + part[len(fold(name)) :]
            for name, part in zip(index.columns, index.parts)
        ]
        return index._replace(parts=tuple(parts))

    def table(self, table):
        if table is None:
            return None
        columns = {fold(column.name): column.name for column in table.columns}
        defaults = {
            self.names.fold(columns[name]): value for name, value in table.python_defaults.items()
        }
        indexes = tuple(map(self.index, table.indexes))
        return table._replace(indexes=indexes, python_defaults=defaults)

    def schema(self, schema):
        return {self.names.fold(t.name): self.table(t) for t in schema.values()}


class OtherInspector(inspect.Inspector):
    def __init__(self, execute, folding):
        super().__init__(execute)
        self.folding = folding

    def has_table(self, name):
        return self.table(name) is not None

    def table(self, name):
        found = super().table(name)
        if found is None or not self.folding.is_same(found.name, name):
            return None
        return self.folding.table(found)

    def schema(self):
        return self.folding.schema(super().schema())


class OtherDdl(SqliteDdl):
    folding: Folding

    def table(self, name):
        found = super().table(name)
        if found is None or not self.folding.is_same(found.name, name):
            return None
        return self.folding.table(found)

    def index(self, table, sql):
        return self.folding.index(super().index(table, sql))


class Other(SqliteFile):
    """A file of the other kind."""

    name = "other"
    version = "Other 1.0"

    def __init__(self, path, register=None, names=None):
        super().__init__(path, register)
        self.names = names or UpwardNames()
        self.folding = Folding(self.names)

    def __str__(self):
        return f"other:{self.path.name}"

    def at(self, path):
        return type(self)(path, self._register, self.names)

    @contextmanager
    def reading(self, patience=Patience(wait=5)):  # noqa: B008
        with super().reading(patience) as inspector:
            yield inspector and OtherInspector(inspector.execute, self.folding)

    @contextmanager
    def transaction(self, patience, on_commit=lambda: None):
        with super().transaction(patience, on_commit) as session:
            yield self._session(session)

    @contextmanager
    def clone(self, of):
        with super().clone(of) as session:
            yield self._session(session)

    def _session(self, session):
        inspector = OtherInspector(session.inspector.execute, self.folding)
        return Session(session.database, inspector)

    def declared(self, models):
        return self.folding.schema(super().declared(models))

    def ledger(self, session, in_memory):
        return SqliteLedger(session.database.connection(), in_memory)

    def ddl(self, session, playhouse, ledger):
        ddl = OtherDdl(session.database, playhouse, ledger)
        ddl.folding = self.folding
        return ddl

    def only_copies(self, inspector, tables):
        return iter(())

    # This kind keeps no backups.

    def back_up(self, patience, on_progress, **how):
        return None

    def copies(self):
        return []

    def prune_backups(self, taken):
        raise AssertionError("there is no backup to prune")

    def restore(self, project, file, patience, on_progress):
        raise RestoreRefused(file, "this kind of database keeps no backups", "run down")

    def examine(self, project, patience):
        yield Finding(Severity.FINE, "pulse", "it beats")


class Tag(Model):
    Label = CharField(unique=True)
    Size = IntegerField(default=1, constraints=[Check('"Size" > 0')])

    class Meta:
        table_name = "Tags"


class Note(Model):
    Tag = ForeignKeyField(Tag, on_delete="CASCADE", column_name="Tag_Id")
    Text = TextField(null=True)

    class Meta:
        table_name = "Notes"


class Guest(Model):
    class Meta:
        table_name = "Guests"


@pytest.fixture(params=[UpwardNames, ExactNames])
def other(request, path):
    return Other(path, names=request.param())


@pytest.fixture
def project(make_project):
    return make_project({}, persistent=(Tag, Note), in_memory=(Guest,))


def written(project, other, name, ask=lambda question: None):
    """The project with one more migration, as `new --from-models` writes it."""
    text = new.from_models(project, other, name, ask)
    assert text is not None
    (project.directory / f"{name}.py").write_text(text)
    return project._replace(listed=[*project.listed, name])


def add_rows(path: Path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("INSERT INTO Tags (Label, Size) VALUES ('red', 2), ('blue', 3)")
    connection.execute("INSERT INTO Notes (Tag_Id, Text) VALUES (1, 'a'), (1, NULL), (2, 'c')")
    return connection


def test_new_writes_what_the_models_declare_and_no_more(project, other):
    made = written(project, other, "make_tables")
    assert new.from_models(made, other, "make_more", lambda question: None) is None
    assert [verdict.findings for verdict in verify(made, other)] == [[]]


def test_every_run_and_every_question(project, other, path):
    project = written(project, other, "make_tables")
    runner = Runner(project, other)
    assert [d.kind for d in check(runner)] == ["history", "table", "table"]
    assert [o.name for o in runner.forecast().outcomes] == ["make_tables"]
    assert not path.exists()

    done = runner.up()
    assert [outcome.name for outcome in done.outcomes] == ["make_tables"]
    assert (done.backup, done.differences) == (None, ())
    assert runner.up().outcomes == ()
    assert check(runner) == []
    (entry,) = runner.state().entries
    assert entry.versions == "test, Other 1.0"
    assert runner.again("make_tables").outcomes[0].steps
    connection = add_rows(path)

    assert {str(loss) for loss in runner.losses()} == {"table Notes: 3 rows", "table Tags: 2 rows"}
    done = runner.down()
    assert done.backup is None
    left = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert ("Tags",) not in left
    runner.fake()
    standings = runner.state().standings()
    assert [standing.state for standing in standings] == [State.APPLIED]
    assert {d.kind for d in check(runner)} == {"table"}
    connection.close()
    assert [p.name for p in path.parent.iterdir() if p.is_file()] == [path.name]


def test_a_change_keeps_the_rows(project, other, path):
    project = written(project, other, "make_tables")
    Runner(project, other).up()
    connection = add_rows(path)

    class Tag(Model):
        Name = CharField(unique=True)
        Size = IntegerField(default=1)
        Color = CharField(default="grey")

        class Meta:
            table_name = "Tags"

    class Note(Model):
        Tag = ForeignKeyField(Tag, on_delete="CASCADE", column_name="Tag_Id")
        Text = TextField(default="")
        Weight = IntegerField(null=True, index=True)

        class Meta:
            table_name = "Notes"

    project = project._replace(models=lambda: Models((Tag, Note), (Guest,)))
    runner = Runner(project, other)
    assert {(d.kind, d.subject) for d in check(runner)} >= {("column", "Color"), ("column", "Name")}
    project = written(project, other, "change_tables", lambda question: "'Label'" in question)
    text = (project.directory / "change_tables.py").read_text()
    assert 'migrator.rename_column("Tags", "Label", "Name")' in text
    assert "# DECIDE: " not in text

    runner = Runner(project, other)
    rehearsed = rehearse(runner, None, lambda done, total: None)
    assert rehearsed is not None and not rehearsed.repeated
    assert rehearsed.rows == {"Notes": (3, 3), "Tags": (2, 2)}
    runner.up()
    assert connection.execute("SELECT Name, Size, Color FROM Tags").fetchall() == [
        ("red", 2, "grey"),
        ("blue", 3, "grey"),
    ]
    assert connection.execute("SELECT Tag_Id, Text, Weight FROM Notes").fetchall() == [
        (1, "a", None),
        (1, "", None),
        (2, "c", None),
    ]
    assert not list(check(runner))
    runner.down()
    assert connection.execute("SELECT Label, Size FROM Tags").fetchall() == [
        ("red", 2),
        ("blue", 3),
    ]
    connection.close()


def test_doctor_asks_the_database_and_then_the_history(project, other):
    project = written(project, other, "make_tables")
    runner = Runner(project, other)
    assert "there is no database at 'other:meetings.sqlite' yet" in [
        finding.sentence for finding in examine(runner)
    ]
    runner.up()
    found = list(examine(runner))
    assert "Other 1.0" in found[0].sentence
    assert [(f.severity, f.sentence) for f in found[1:]] == [
        (Severity.FINE, "it beats"),
        (Severity.FINE, "all 1 are applied"),
    ]


def test_an_edited_file_is_told(project, other):
    project = written(project, other, "make_tables")
    runner = Runner(project, other)
    runner.up()
    file = project.directory / "make_tables.py"
    file.write_text(file.read_text() + "# edited\n")
    with pytest.raises(ChangedMigration):
        runner.up()
    assert [o.direction for o in runner.fake().outcomes] == [Direction.FAKE]


@pytest.mark.parametrize(
    ("body", "folded", "exact"),
    [
        pytest.param("migrator.drop_table('tags')", Refused, Action.SKIP, id="a table"),
        pytest.param(
            "migrator.drop_column('Tags', 'color')", Action.DROP, Action.SKIP, id="a column"
        ),
        pytest.param(
            "migrator.add_not_null('Tags', 'color')", Action.ALTER, Refused, id="no column"
        ),
    ],
)
def test_a_verb_compares_names_as_the_database_does(make_project, path, body, folded, exact):
    create = migration(
        """
        migrator.migrate(
            migrator.sql('CREATE TABLE Tags (Id INTEGER PRIMARY KEY, Color TEXT)'),
            migrator.sql('CREATE TABLE Notes (Tag_Id INTEGER REFERENCES Tags (Id))'),
        )
        """
    )
    files = {"create": create, "change": migration(f"migrator.migrate({body})")}
    for names, wanted in ((UpwardNames(), folded), (ExactNames(), exact)):
        path.unlink(missing_ok=True)
        runner = Runner(make_project(files), Other(path, names=names))
        if wanted is Refused:
            with pytest.raises(Refused):
                runner.up()
        else:
            assert runner.up().outcomes[-1].steps[0].action is wanted


def test_a_table_in_memory_is_out_of_reach(project, other):
    text = migration("migrator.migrate(migrator.drop_table('Guests'))")
    (project.directory / "drop_guests.py").write_text(text)
    runner = Runner(project._replace(listed=["drop_guests"]), other)
    with pytest.raises(InMemoryTable):
        runner.up()
