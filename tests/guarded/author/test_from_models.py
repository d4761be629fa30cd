"""For each kind of difference: the file that is written makes it go away, and back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from peewee import (
    SQL,
    BlobField,
    CharField,
    Check,
    CompositeKey,
    DateTimeField,
    DecimalField,
    Default,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
    fn,
)

from guarded.author import from_models
from guarded.author.source import WIDTH
from guarded.backends.interface import Session
from guarded.backends.sqlite.connect import SqliteFile
from guarded.backends.sqlite.inspect import Inspector
from guarded.run import Runner
from tests.conftest import compare, declared_schema, live_schema, ruff

BEFORE = """
CREATE TABLE owners (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL);
CREATE TABLE pets (
    id INTEGER NOT NULL PRIMARY KEY,
    name VARCHAR(20) NOT NULL,
    nick TEXT,
    owner_id INTEGER NOT NULL,
    weight INTEGER DEFAULT 5
);
CREATE INDEX pets_name ON pets (name);
INSERT INTO owners VALUES (1, 'o');
INSERT INTO pets VALUES (1, 'a', NULL, 1, 3), (2, 'b', 'it''s', 1, NULL);
"""


class Owner(Model):
    name = CharField()

    class Meta:
        table_name = "owners"


def pet(**changes):
    """The model of pets as it is before, with some fields changed or (None) left out."""
    fields = {
        "name": CharField(max_length=20, index=True),
        "nick": TextField(null=True),
        "owner_id": IntegerField(),
        "weight": IntegerField(null=True, constraints=[Default(5)]),
        **{name: value for name, value in changes.items() if name != "meta"},
    }
    meta = type("Meta", (), {"table_name": "pets", **changes.get("meta", {})})
    fields = {name: field for name, field in fields.items() if field is not None}
    return type("Pet", (Model,), {**fields, "Meta": meta})


def indexed(model, *arguments, **options):
    model.add_index(*arguments, **options)
    return model


class Chart(Model):
    """Everything that a new table can have."""

    pet = ForeignKeyField(pet(), on_delete="CASCADE", on_update="SET NULL")
    kind = CharField(max_length=7, collation="NOCASE", column_name="the_kind")
    price = DecimalField(max_digits=8, decimal_places=2, default=1)
    made_by_the_longest_name_that_anybody_can_think_of = TextField(constraints=[Default("'a, (b'")])
    photo = BlobField(null=True)
    born = DateTimeField(constraints=[Default("CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "charts"
        primary_key = CompositeKey("pet", "kind")
        constraints = [Check("price > 0")]
        without_rowid = True


Chart.add_index(Chart.price.desc(), where=Chart.price > 10, name="dear")
Chart.add_index(Chart.price, Chart.born, unique=True, name="charts_by_price_and_born")


class Sticker(Model):
    """Columns that come with an index over both."""

    name = CharField(max_length=20, index=True)
    nick = TextField(null=True)
    owner_id = IntegerField()
    weight = IntegerField(null=True, constraints=[Default(5)])
    kind = TextField(null=True)
    size = IntegerField(default=1)

    class Meta:
        table_name = "pets"
        indexes = ((("kind", "size"), True), (("name", "size"), False))


class Node(Model):
    """One of Peewee's own names, and the only constraint of a table."""

    parent = ForeignKeyField("self", null=True, on_delete="SET NULL")
    kind = CharField(default="Model")

    class Meta:
        table_name = "Index"
        constraints = [Check("parent_id <> id")]


UNIQUE = pet(name=CharField(max_length=20, unique=True))


class Ticket(Model):
    """Refers to a column that is unique, and not the key."""

    pet = ForeignKeyField(UNIQUE, field="name")

    class Meta:
        table_name = "tickets"


SPACED = pet()
SPACED.add_index(SPACED.nick, where=SQL("name <> 'a  b'"), name="spaced")


@pytest.fixture
def connection(connect):
    connection = connect()
    connection.executescript(BEFORE)
    return connection


def written(scratch, models, ask=lambda question: None):
    """What is written when the listed migrations make what ``scratch`` is."""
    file = SqliteFile(Path())
    database = SqliteDatabase(":memory:")
    with database.connection_context():
        made = Session(database, Inspector(scratch.execute))
        return from_models.write("change_it", file, made, models, ask)


@pytest.fixture
def write(connect, connection):
    def run(models, ask=lambda question: None):
        scratch = connect(":memory:")
        connection.backup(scratch)
        return written(scratch, models, ask)

    return run


CASES = [
    pytest.param([Owner, pet(), Chart], "create_table(Chart)", 0, id="a table with everything"),
    pytest.param([Owner, UNIQUE, Ticket], 'field="name"', 0, id="a key to what is no key"),
    pytest.param([Owner, pet(), Node], "create_table(Node)", 0, id="a table of a taken name"),
    pytest.param([Owner], 'drop_table("pets")', 0, id="no table"),
    pytest.param([Owner, Sticker], '"sticker_name_size"', 0, id="indexes over new columns"),
    pytest.param([Owner, pet(age=IntegerField(null=True))], '"age"', 0, id="a column"),
    pytest.param([Owner, pet(age=IntegerField(default=3))], "default=3", 0, id="with a default"),
    pytest.param(
        [Owner, pet(age=TextField(constraints=[SQL("DEFAULT (1 + 1)")]))],
        'Default("(1 + 1)")',
        0,
        id="with an expression",
    ),
    pytest.param([Owner, pet(age=IntegerField())], "default=0", 1, id="that must have a value"),
    pytest.param(
        [Owner, pet(age=IntegerField(default=lambda: 4))], "default=0", 1, id="that is computed"
    ),
    pytest.param([Owner, pet(weight=None)], 'drop_column("pets", "weight")', 0, id="no column"),
    pytest.param([Owner, pet(owner_id=None)], 'drop_column("pets", "owner_id")', 1, id="that must"),
    pytest.param(
        [Owner, pet(weight=TextField(null=True, constraints=[Default(5)]))],
        "TextField()",
        0,
        id="type",
    ),
    pytest.param([Owner, pet(nick=TextField())], "add_not_null", 1, id="NOT NULL"),
    pytest.param([Owner, pet(nick=TextField(default="-"))], 'default="-"', 0, id="filled"),
    pytest.param(
        [Owner, pet(name=CharField(max_length=20, index=True, null=True, default="?"))],
        "drop_not_null",
        0,
        id="nullable",
    ),
    pytest.param(
        [Owner, pet(nick=TextField(null=True, constraints=[Default("'x'")]))],
        "SQL(\"'x'\")",
        0,
        id="a first default",
    ),
    pytest.param([Owner, pet(weight=IntegerField(null=True))], "drop_column_default", 0, id="none"),
    pytest.param(
        [Owner, pet(nick=TextField(null=True, unique=True))], "unique=True", 0, id="unique index"
    ),
    pytest.param([Owner, pet(name=CharField(max_length=20))], "drop_index", 0, id="no index"),
    pytest.param(
        [Owner, indexed(pet(), fn.lower(SQL("nick")), name="by_nick")],
        "CREATE INDEX IF NOT EXISTS",
        0,
        id="index on an expression",
    ),
    pytest.param(
        [
            Owner,
            pet(
                owner_id=ForeignKeyField(
                    Owner, column_name="owner_id", index=False, on_delete="CASCADE"
                )
            ),
        ],
        'on_delete="CASCADE"',
        0,
        id="a foreign key",
    ),
    pytest.param(
        [Owner, pet(meta={"constraints": [Check("weight <= 100 and \"NAME\" || '' <> 'A  b'")]})],
        """Check("weight <= 100 and \\"NAME\\" || '' <> 'A  b'")""",
        0,
        id="a check",
    ),
    pytest.param(
        [Owner, pet(boss=ForeignKeyField("self", null=True, on_delete="SET NULL"))],
        "ForeignKeyField(Pet, field=Pet.id",
        0,
        id="a column that refers to its own table",
    ),
    pytest.param(
        [Owner, pet(nick=TextField(null=True, constraints=[SQL("UNIQUE")]))],
        'add_unique("pets", "nick")',
        0,
        id="a unique constraint",
    ),
    pytest.param(
        [Owner, pet(chip=TextField(null=True, constraints=[SQL("UNIQUE")]))],
        'SQL("UNIQUE")',
        0,
        id="a unique constraint of a new column",
    ),
    pytest.param(
        [
            Owner,
            pet(
                meta={
                    "constraints": [Check("weight > 0 AND weight < 9"), Check("weight > 0 AND 1")]
                }
            ),
        ],
        '"check_pets_weight_0_and_weight"',
        0,
        id="two checks that begin alike",
    ),
    pytest.param(
        [Owner, pet(photo=BlobField(default=b"\x00'"))],
        """BlobField(default=b"\\x00'")""",
        0,
        id="a default of bytes",
    ),
    pytest.param(
        [Owner, pet(rate=FloatField(default=float("inf")))],
        'default=float("inf")',
        0,
        id="a default without end",
    ),
    pytest.param(
        [Owner, SPACED],
        "\\'a  b\\'",
        0,
        id="an index with blanks in a string",
    ),
    pytest.param(
        [Owner, pet(weight=None, mass=FloatField(null=True))],
        'rename_column("pets", "weight", "mass")',
        1,
        id="rename to another type",
    ),
    pytest.param(
        [Owner, pet(nick=TextField(default='it\'s "it"'))],
        """TextField(default='it\\'s "it"')""",
        0,
        id="a default with quotes",
    ),
    pytest.param(
        [Owner, pet(nick=None, alias=TextField(null=True))], "rename_column", 1, id="rename"
    ),
]


@pytest.mark.parametrize(("models", "says", "undecided"), CASES)
def test_a_written_migration_removes_the_difference_and_its_down_brings_it_back(
    connection, write, make_project, file, models, says, undecided
):
    text = write(models)
    assert says in text
    assert text.count(from_models.DECIDE) == undecided
    assert max(map(len, text.splitlines())) <= WIDTH
    assert ruff(text, "check") == ruff(text, "format", "--check") == ""
    before = live_schema(connection)

    runner = Runner(make_project({"change_it": text}, persistent=tuple(models)), file)
    done = runner.up()
    assert done.differences == ()
    found = compare(declared_schema(models), live_schema(connection))
    assert found == ()
    assert connection.execute("SELECT count(*) FROM owners").fetchone() == (1,)
    if "pets" in {m._meta.table_name for m in models}:
        assert connection.execute("SELECT count(*) FROM pets").fetchone() == (2,)

    runner.down()
    left = compare(before, live_schema(connection))
    assert [d.sentence for d in left if d.kind != "nullability" or not undecided] == []


def test_a_check_without_a_name_is_changed_by_its_text(connection, make_project, file, connect):
    connection.execute("CREATE TABLE tags (size INT NOT NULL CHECK (size > 0), CHECK (size < 9))")
    connection.execute("INSERT INTO tags VALUES (5)")

    class Tag(Model):
        size = IntegerField(constraints=[Check("size > 1")])

        class Meta:
            table_name = "tags"
            primary_key = False

    scratch = connect(":memory:")
    connection.backup(scratch)
    models = [Owner, pet(), Tag]
    text = written(scratch, models)
    assert from_models.DECIDE not in text
    assert 'migrator.drop_constraint("tags", Check("size > 0"))' in text
    assert ruff(text, "check") == ruff(text, "format", "--check") == ""
    before = live_schema(connection)
    runner = Runner(make_project({"change_it": text}, persistent=tuple(models)), file)
    assert runner.up().differences == ()
    runner.down()
    assert compare(before, live_schema(connection)) == ()
    assert connection.execute("SELECT size FROM tags").fetchall() == [(5,)]


def test_a_required_foreign_key_becomes_an_open_question(write):
    text = write([Owner, pet(keeper=ForeignKeyField(Owner))])
    assert "ForeignKeyField(Owner, field=Owner.id, index=False, null=True)" in text
    assert "# DECIDE: which keeper_id should existing rows get?" in text
    assert ruff(text, "check") == ruff(text, "format", "--check") == ""


def test_a_table_that_is_dropped_comes_back_as_it_was(connect, write, connection):
    table = """CREATE TABLE notes (
        id INTEGER NOT NULL PRIMARY KEY, -- a comment
        "the text" TEXT NOT NULL DEFAULT 'it''s  "quoted"' CHECK ("the text" <> 'nothing at all' || ''),
        kind TEXT NOT NULL DEFAULT 'a plain one' CHECK (kind IN ('a plain one', 'another one'))
    )"""
    connection.execute(table)
    text = write([Owner, pet()])
    assert ruff(text, "check") == ruff(text, "format", "--check") == ""
    statement = next(
        s for s in ast.walk(ast.parse(text)) if "CREATE" in str(getattr(s, "value", ""))
    )
    again = connect(":memory:")
    again.execute(statement.value)
    again.execute("INSERT INTO notes DEFAULT VALUES")
    row = again.execute('SELECT "the text", kind FROM notes').fetchone()
    assert row == ('it\'s  "quoted"', "a plain one")


def test_no_difference_writes_nothing(write):
    assert write([Owner, pet()]) is None


def test_a_likely_rename_is_asked_about(write):
    models = [Owner, pet(nick=None, alias=TextField(null=True))]
    asked = []
    text = write(models, lambda question: not asked.append(question))
    assert asked == ["pets: was 'nick' renamed to 'alias'"]
    assert 'rename_column("pets", "nick", "alias")' in text
    assert from_models.DECIDE not in text
    text = write(models, lambda question: False)
    assert "rename_column" not in text
    assert 'drop_column("pets", "nick")' in text
    assert 'add_column("pets", "alias", TextField(null=True))' in text


def test_a_renamed_table_is_recognized(write):
    models = [
        type(
            "Person",
            (Model,),
            {"name": CharField(), "Meta": type("Meta", (), {"table_name": "people"})},
        ),
        pet(),
    ]
    text = write(models, lambda question: True)
    assert 'rename_table("owners", "people")' in text
    assert 'rename_table("people", "owners")' in text


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE owners (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL COLLATE NOCASE)",
        "CREATE TABLE owners (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name VARCHAR(255) NOT NULL)",
        "CREATE TABLE owners (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL) WITHOUT ROWID",
    ],
)
def test_a_change_without_a_verb_becomes_an_open_question(connect, sql):
    scratch = connect(":memory:")
    scratch.execute(sql)
    text = written(scratch, [Owner])
    assert text.count(from_models.DECIDE) == 1
    compile(text, "change_it.py", "exec")


def test_the_template_runs():
    text = from_models.template("add_color_to_meetings")
    assert text.startswith('"""Add color to meetings."""\n')
    compile(text, "x.py", "exec")
