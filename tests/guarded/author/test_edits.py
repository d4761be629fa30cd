"""Models before, models after: the file that is written holds, and brings all back."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from pathlib import Path

import pytest
from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BinaryUUIDField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DateField,
    DecimalField,
    Default,
    DeferredForeignKey,
    Field,
    FloatField,
    ForeignKeyField,
    IntegerField,
    IPField,
    JSONField,
    Model,
    NodeList,
    TextField,
    TimeField,
    UUIDField,
    fn,
)
from playhouse import fields as playhouse_fields
from playhouse import sqlite_ext

from guarded.author import from_models, new
from guarded.author.lint import lint
from guarded.author.verify import verify
from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from tests.conftest import compare, declared_schema, live_schema, ruff


class Money(Field):
    field_type = "MONEY"

    def db_value(self, value):
        return value if value is None else f"${value}"


class Point(Field):
    field_type = "POINT"

    def get_modifiers(self):
        return [4, 2]


class Document(TextField):
    max_length = 9  # its own business

    def ddl(self, ctx):
        return NodeList((super().ddl(ctx), SQL("CHECK (length(doc) > 0) -- not empty\n")))


class Counter(AutoField):
    def ddl(self, ctx):
        return NodeList((super().ddl(ctx), SQL("AUTOINCREMENT")))


class Word(str, enum.Enum):
    OPEN = "open"


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    SEVEN = 7


def model(name="Thing", table="things", *, indexes=(), base=Model, meta=None, **fields):
    declared = type("Meta", (), {"table_name": table, **(meta or {})})
    made = type(name, (base,), {**fields, "Meta": declared})
    for index in indexes:
        made.add_index(SQL(index))
    return made


def thing(**fields):
    options = {key: fields.pop(key) for key in ("meta", "indexes") if key in fields}
    return model(n=IntegerField(default=1), **fields, **options)


def search(**fields):
    return model("Search", "search", base=sqlite_ext.FTS5Model, **fields)


def circle():
    user = model("User", "users", text=TextField(), favorite=DeferredForeignKey("Tweet", null=True))
    return [user, model("Tweet", "tweets", user=ForeignKeyField(user))]


def blocked(deferrable=None):
    return thing(up=ForeignKeyField("self", null=True, deferrable=deferrable))


def parent_and_child():
    parent = model("Parent", "parents", code=CharField(unique=True))
    return [parent, model("Child", "children", parent=ForeignKeyField(parent, field="code"))]


def two_of_one_name():
    one = model("Comment", "blog_comments", body=TextField())
    two = model("Comment", "shop_comments", stars=IntegerField(), on=ForeignKeyField(one))
    return [one, two]


def composite():
    parent = model(
        "Seat",
        "seats",
        row=IntegerField(),
        place=IntegerField(),
        tag=CharField(unique=True),
        meta={"primary_key": CompositeKey("row", "place")},
    )
    key = SQL("FOREIGN KEY (row, place) REFERENCES seats (row, place) ON DELETE CASCADE")
    child = model(
        "Guest",
        "guests",
        row=IntegerField(),
        place=IntegerField(),
        tag=ForeignKeyField(parent, field="tag"),
        meta={"constraints": [key]},
    )
    return [parent, child]


NAMES = {
    "ownerId": IntegerField(),
    "l": IntegerField(),
    "O": TextField(null=True),
    "Check": IntegerField(null=True, constraints=[SQL("CHECK (ownerId > 1)")]),
    "select_": TextField(null=True, column_name="with blank"),
}
KEYED = {"primary_key": CompositeKey("ownerId", "l"), "constraints": [Check("l <> 3")]}
LONG = " OR ".join(f"n = {number}" for number in range(60))
GENERATED = [SQL("GENERATED ALWAYS AS (n * 2) STORED")]
A = IntegerField

NEW = [
    pytest.param(lambda: [thing(price=Money())], 'field_type = "MONEY"', id="a custom field"),
    pytest.param(lambda: [thing(at=Point())], '"POINT(4, 2)"', id="with modifiers"),
    pytest.param(lambda: [thing(doc=Document())], "TextField(constraints", id="with DDL"),
    pytest.param(lambda: [thing(id=Counter())], 'SQL("AUTOINCREMENT")', id="a custom key"),
    pytest.param(
        lambda: [thing(id=sqlite_ext.AutoIncrementField())],
        "from playhouse.sqlite_ext import AutoIncrementField",
        id="a key of playhouse",
    ),
    pytest.param(
        lambda: [
            thing(
                a=sqlite_ext.JSONField(default=dict),
                b=playhouse_fields.PickleField(null=True),
                c=playhouse_fields.EnumField(Colour, default=Colour.RED),
                d=sqlite_ext.ISODateTimeField(null=True),
            )
        ],
        "    a = TextField()\n    b = BlobField(null=True)\n    c = CharField()\n",
        id="fields of playhouse",
    ),
    pytest.param(
        lambda: [blocked("INITIALLY DEFERRED")], 'deferrable="INITIALLY DEFERRED"', id="DEFERRABLE"
    ),
    pytest.param(circle, "class TweetKey(Model):", id="a circle of keys"),
    pytest.param(two_of_one_name, "class Comment2(Model):", id="two classes of one name"),
    pytest.param(composite, 'field="tag"', id="a key of several columns"),
    pytest.param(
        lambda: [model("some_table", "order", **NAMES, meta=KEYED)],
        'owner_id = IntegerField(column_name="ownerId")',
        id="names that the linter minds",
    ),
    pytest.param(
        lambda: [thing(a=A(null=True, constraints=[Check(LONG)]), meta={"table_name": "t" * 120})],
        '            "CHECK (n = 0 OR n = 1',
        id="a long constraint and a long name",
    ),
    pytest.param(
        lambda: [model("Model", "models", n=A(constraints=[SQL("CHECK (n > 0)")]))],
        "class OwnModel(Model):",
        id="a class named as one of Peewee's",
    ),
    pytest.param(
        lambda: [search(body=sqlite_ext.SearchField())],
        "CREATE VIRTUAL TABLE IF NOT EXISTS",
        id="a virtual table",
    ),
    pytest.param(
        lambda: [thing(meta={"table_settings": "STRICT"})], '("STRICT",)', id="table_settings"
    ),
    pytest.param(lambda: [thing()] * 2, "create_table(Thing)", id="a model twice"),
]


@pytest.fixture
def write(make_project, file):
    """Write a file after the files that are there, and run it; gives its text."""
    files: dict[str, str] = {}

    def run(models, ask=lambda question: None):
        name = f"change_{len(files)}"
        project = make_project(files, persistent=tuple(models))
        text = new.from_models(project, file, name, ask)
        if text is None:
            return None, None
        assert ruff(text, "check") == ruff(text, "format", "--check") == ""
        files[name] = text
        return text, make_project(files, persistent=tuple(models))

    return run


def broken(project):
    return [
        f.sentence for v in verify(project, SqliteFile(Path())) if v.is_broken for f in v.findings
    ]


@pytest.mark.parametrize(("models", "says"), NEW)
def test_a_new_table_is_written_so_that_it_holds(write, file, connect, models, says):
    declared = models()
    text, project = write(declared)
    assert says in text
    assert from_models.DECIDE not in text
    assert broken(project) == []
    runner = Runner(project, file)
    runner.up()
    assert compare(declared_schema(declared), live_schema(connect())) == ()
    runner.down()
    assert live_schema(connect()) == {}
    assert write(declared)[0] is None


EDITS = [
    # Defaults, as the database stores them.
    pytest.param({}, {"a": CharField(default=Word.OPEN)}, 'default="open"', id="a str Enum"),
    pytest.param({}, {"a": A(default=Number.SEVEN)}, "default=7", id="an IntEnum"),
    pytest.param(
        {}, {"a": DecimalField(default=decimal.Decimal("1.50"))}, 'default="1.50"', id="a Decimal"
    ),
    pytest.param(
        {},
        {"a": DecimalField(default=decimal.Decimal("1.5"), auto_round=True, decimal_places=2)},
        "decimal_places=2)",
        id="a rounded Decimal",
    ),
    pytest.param(
        {}, {"a": UUIDField(default=uuid.UUID(int=7))}, f'default="{7:032x}"', id="a UUID"
    ),
    pytest.param(
        {}, {"a": BinaryUUIDField(default=uuid.UUID(int=7))}, 'default=b"\\x00', id="a binary UUID"
    ),
    pytest.param(
        {}, {"a": DateField(default=datetime.date(2026, 1, 2))}, '"2026-01-02"', id="a date"
    ),
    pytest.param({}, {"a": TimeField(default=datetime.time(1, 2, 3))}, '"01:02:03"', id="a time"),
    pytest.param({}, {"a": IPField(default="127.0.0.1")}, 'Default("2130706433")', id="an address"),
    pytest.param({}, {"a": JSONField(default=dict)}, "Default(\"'{}'\")", id="an empty dict"),
    pytest.param({}, {"a": JSONField(default={"b": 1})}, '\\"b\\":1', id="a value of JSON"),
    pytest.param({}, {"a": Money(default=5)}, 'default="$5"', id="a default of a custom field"),
    pytest.param({}, {"a": FloatField(default=1e300)}, "1e300", id="a large number"),
    pytest.param({}, {"a": BigIntegerField(default=-(2**63))}, str(-(2**63)), id="the smallest"),
    pytest.param({}, {"a": BooleanField(default=False)}, "default=False", id="a bool"),
    pytest.param({}, {"a": TextField(default="表 " * 60)}, "default=(", id="a wide and long text"),
    pytest.param({}, {"a": TextField(default="x" * 300)}, "default=(", id="a word without end"),
    # Columns and what belongs to them.
    pytest.param({}, {"a": A(constraints=GENERATED)}, "allow_not_null=True", id="generated"),
    pytest.param(
        {}, {"a": A(null=True, constraints=[Check("a > 0")])}, "a > 0", id="a CHECK at a new column"
    ),
    pytest.param(
        {"a": TextField(null=True, collation="NOCASE", constraints=[Check("a <> ''")])},
        {},
        'collation="NOCASE", constraints=[SQL("CHECK (a <> \'\')")]',
        id="a collation and a CHECK leave",
    ),
    pytest.param(
        {"a": A(null=True, constraints=GENERATED)}, {}, "STORED", id="a generated one leaves"
    ),
    pytest.param({"a": Money(null=True)}, {}, "class MoneyField(Field):", id="an odd type leaves"),
    pytest.param(
        {"a": A(null=True), "meta": {"constraints": [SQL("CONSTRAINT a_ok CHECK (a > 0)")]}},
        {},
        "a_ok",
        id="a CHECK of the table leaves with its column",
    ),
    pytest.param(
        {"a": A(null=True), "b": A(null=True), "meta": {"constraints": [SQL("UNIQUE (a, b)")]}},
        {},
        'drop_constraint("things", "uniq_a_b")',
        id="both columns of a UNIQUE leave",
    ),
    pytest.param(
        {"a": TextField(null=True)},
        {"a": TextField(constraints=[Default("'x'")])},
        'migrator.fill("things", "a", "\'x\'"',
        id="NOT NULL with an SQL default",
    ),
    pytest.param(
        {"a": TextField(constraints=[Default("'x'")])},
        {"a": TextField(null=True)},
        'migrator.fill("things", "a", "\'x\'"',
        id="NULL and no default any more",
    ),
    pytest.param(
        {"a": A(null=True)},
        {"a": A(null=True, constraints=[Default("(1 + 2)")])},
        'SQL("(1 + 2)")',
        id="an expression as default",
    ),
    pytest.param(
        {"a": A(null=True)},
        {"a": ForeignKeyField("self", null=True, column_name="a", on_delete="CASCADE")},
        "add_foreign_key_constraint",
        id="a key on an old column",
    ),
    pytest.param(
        {"up": ForeignKeyField("self", null=True)},
        {"up": ForeignKeyField("self", null=True, deferrable="INITIALLY DEFERRED")},
        "DEFERRABLE INITIALLY DEFERRED",
        id="a key that is deferred",
    ),
    pytest.param(
        {"a": TextField(null=True, index=True)},
        {"a": TextField(null=True, unique=True)},
        "unique=True",
        id="an index that is unique now",
    ),
]


def prepared(write, file, connect, before):
    """Run what makes these models, and give each table two rows."""
    _, project = write(before)
    Runner(project, file).up()
    connection = connect()
    for table in live_schema(connection):
        connection.execute(f'INSERT INTO "{table}" (n) VALUES (1), (2)')
    return live_schema(connection)


@pytest.mark.parametrize(("before", "after", "says"), EDITS)
def test_an_edit_is_written_so_that_it_holds(write, file, connect, before, after, says):
    was = prepared(write, file, connect, [thing(**before)])
    declared = thing(**after)
    text, project = write([declared])
    assert says in text
    assert from_models.DECIDE not in text
    assert broken(project) == []
    runner = Runner(project, file)
    assert runner.up().differences == ()
    assert compare(declared_schema([declared]), live_schema(connect())) == ()
    runner.down()
    assert compare(was, live_schema(connect())) == ()
    assert connect().execute("SELECT count(*) FROM things").fetchone() == (2,)


UNDECIDED = [
    pytest.param({}, {"a": A(default=2**64)}, "which a", id="a number that can't be stored"),
    pytest.param({}, {"a": FloatField(default=float("nan"))}, "which a", id="no number"),
    pytest.param({}, {"a": UUIDField(default=uuid.uuid4)}, "which a", id="a callable"),
    pytest.param(
        {}, {"a": CharField(default="x", unique=True)}, "which a", id="one value for unique ones"
    ),
    pytest.param(
        {}, {"a": ForeignKeyField("self")}, "which a_id", id="a key that must have a value"
    ),
    pytest.param({"a": TextField()}, {}, "a was NOT NULL", id="a column that must have a value"),
    pytest.param(
        {"a": A(null=True)},
        {"b": TextField(null=True)},
        "is this a rename",
        id="renamed and changed",
    ),
    pytest.param({}, {"code": CharField(primary_key=True)}, "another key", id="another key"),
    pytest.param(
        {"a": TextField(null=True)},
        {"a": TextField(null=True, collation="NOCASE")},
        "no verb",
        id="another collation",
    ),
]


@pytest.mark.parametrize(("before", "after", "says"), UNDECIDED)
def test_what_only_a_person_can_say_fails_verify(write, before, after, says):
    write([thing(**before)])
    text, project = write([thing(**after)])
    assert f"{from_models.DECIDE}" in text
    assert says in text
    assert any(sentence.startswith("line ") for sentence in broken(project))


RENAMED = [
    pytest.param({"a": A(null=True)}, {"a": A(null=True)}, 1, id="a table"),
    pytest.param(
        {"a": A(null=True)}, {"a": A(null=True), "b": A(null=True)}, 1, id="with a column"
    ),
    pytest.param({"a": A(null=True), "b": A(null=True)}, {"a": A(null=True)}, 1, id="without one"),
    pytest.param({"a": A(null=True)}, {"z": A(null=True)}, 2, id="with a renamed column"),
]


@pytest.mark.parametrize(("before", "after", "doubts"), RENAMED)
def test_a_table_that_is_renamed_and_changed_keeps_its_rows(
    write, file, connect, before, after, doubts
):
    prepared(write, file, connect, [thing(**before)])
    declared = model("Thing", "items", n=IntegerField(default=1), **after)
    text, project = write([declared])
    assert text.count(f"{from_models.DECIDE}is this a rename?") == doubts
    assert 'rename_table("things", "items")' in text
    Runner(project, file).up()
    assert connect().execute("SELECT count(*) FROM items").fetchone() == (2,)
    assert compare(declared_schema([declared]), live_schema(connect())) == ()


def test_tables_that_share_little_are_asked_about_and_not_taken_for_one(write):
    write([thing(a=A(null=True), b=A(null=True), c=A(null=True))])
    items = model("Item", "items", n=A(), d=TextField(null=True), e=TextField(null=True))
    text, project = write([items])
    assert f"{from_models.DECIDE}was 'things' renamed to 'items'?" in text
    assert 'drop_table("things")' in text
    assert broken(project)


def test_a_column_that_moves_to_another_table_is_asked_about(write):
    other = model("Other", "others", n=A())
    write([thing(color=TextField(null=True)), other])
    text, _ = write([thing(), model("Other", "others", n=A(), color=TextField(null=True))])
    assert "# DECIDE: others: did 'color' move here from 'things'?" in text


@pytest.mark.parametrize("models", [circle, parent_and_child])
def test_tables_that_refer_to_each_other_are_dropped_and_come_back(write, file, connect, models):
    _, project = write(models())
    Runner(project, file).up()
    was = live_schema(connect())
    text, project = write([])
    assert text.count("drop_table") == 2
    assert broken(project) == []
    runner = Runner(project, file)
    runner.up()
    assert live_schema(connect()) == {}
    runner.down()
    assert compare(was, live_schema(connect())) == ()


def test_a_virtual_table_is_dropped_only_if_a_person_says_so(write):
    write([search(body=sqlite_ext.SearchField())])
    assert write([]) == (None, None)
    text, _ = write([], lambda question: True)
    assert 'drop_table("search")' in text


def test_a_virtual_table_of_other_columns_is_for_a_person_to_decide(write):
    write([search(body=sqlite_ext.SearchField())])
    text, _ = write([search(body=sqlite_ext.SearchField(), title=sqlite_ext.SearchField())])
    assert "# DECIDE: table 'search': column 'title' is missing; a virtual table can't be" in text


def test_an_index_of_text_comes_with_a_new_table(write, file, connect):
    index = "CREATE INDEX IF NOT EXISTS by_n ON things (n /* twice */ * 2) -- the end\n"
    declared = thing(indexes=[index])
    declared.add_index(fn.lower(declared.n), where=declared.n != "it's", name="lower n")
    _, project = write([declared])
    assert broken(project) == []
    Runner(project, file).up()
    assert compare(declared_schema([declared]), live_schema(connect())) == ()


def test_extras_do_not_fail_verify_and_are_told(make_project):
    files = {"create": CREATE}
    project = make_project(files, persistent=(thing(),))
    (verdict,) = verify(project, SqliteFile(Path()))
    assert verdict.holds
    sentences = [f"{f.severity.value} {f.sentence}" for f in verdict.findings]
    assert sentences == ["note table 'things': column 'extra' is declared by no model"]


CREATE = '''"""Create things."""


def up(migrator, db):
    migrator.migrate(
        migrator.sql(
            "CREATE TABLE IF NOT EXISTS things (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT "
            "NULL, extra TEXT)",
        ),
    )


def down(migrator, db):
    migrator.migrate(migrator.drop_table("things"))
'''


@pytest.mark.parametrize(
    "body",
    ["pass", "migrator.migrate()", '"""Later."""', "migrator.migrate(\n        # soon\n    )"],
)
def test_an_empty_migration_neither_holds_nor_is_broken(make_project, body):
    text = f'"""Later."""\n\n\ndef up(migrator, db):\n    {body}\n\n\ndef down(migrator, db):\n    pass\n'
    (verdict,) = verify(make_project({"later": text}), SqliteFile(Path()))
    assert (verdict.holds, verdict.is_broken) == (False, False)
    assert [f.sentence for f in verdict.findings] == [
        "line 4: up is empty and changes nothing; write what it is for"
    ]


@pytest.mark.parametrize(
    ("line", "doubt"),
    [
        pytest.param("x = 1  # DECIDE: which?", "which?", id="behind a statement"),
        pytest.param("#DECIDE which?", "which?", id="without blank and colon"),
        pytest.param("# DECIDE: a\n# or b?", "a or b?", id="over two lines"),
        pytest.param("x = '''\n# DECIDE: no\n'''", None, id="in a string"),
    ],
)
def test_a_comment_that_nothing_is_decided_counts_wherever_it_stands(line, doubt):
    found = [f.sentence for f in lint("x", f'"""X."""\n{line}\n', (), (), str.lower)]
    undecided = [s.partition("not decided: ")[2] for s in found if "not decided" in s]
    assert undecided == ([doubt] if doubt else [])
