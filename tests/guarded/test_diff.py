"""Hand-made alterations of a live schema: each is found, and only that."""

from __future__ import annotations

import pytest
from peewee import (
    SQL,
    AutoField,
    CharField,
    Check,
    DateTimeField,
    Default,
    DeferredForeignKey,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
    fn,
)
from playhouse.sqlite_ext import FTS5Model, SearchField

from tests.conftest import compare, declared_schema, live_schema


class Owner(Model):
    id = AutoField(constraints=[SQL("AUTOINCREMENT")])
    name = CharField(collation="NOCASE")

    class Meta:
        table_name = "owners"


class Animal(Model):
    code = CharField(primary_key=True)
    owner = ForeignKeyField(Owner, on_delete="CASCADE")
    kind = CharField(default="cat")
    weight = IntegerField(null=True, constraints=[Default(5)])
    nick = TextField(constraints=[Default("'none'")])
    shout = TextField(null=True, constraints=[SQL("AS (upper(kind)) STORED")])
    born = DateTimeField(constraints=[Default("CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "animals"
        constraints = [Check("weight > 0"), SQL("UNIQUE (nick, kind)")]


Animal.add_index(Animal.kind, Animal.weight.desc(), name="by_kind")
Animal.add_index(Animal.weight, where=Animal.weight > 10, name="heavy")
Animal.add_index(fn.lower(Animal.nick), name="by_nick")


class Strict(Model):
    id = TextField(primary_key=True)

    class Meta:
        table_name = "stricts"
        strict_tables = True
        without_rowid = True


MODELS = [Owner, Animal, Strict]


@pytest.fixture
def live(connect):
    """A database exactly as the models declare it."""
    connection = connect()
    database = SqliteDatabase(":memory:")
    with database.bind_ctx(MODELS), database.connection_context():
        database.create_tables(MODELS)
        for (sql,) in database.execute_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"):
            if not sql.startswith("CREATE TABLE sqlite_"):
                connection.execute(sql)
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def differences(live):
    declared = declared_schema(MODELS)
    return [(d.severity.value, d.sentence) for d in compare(declared, live_schema(live))]


def test_a_schema_made_by_the_models_has_no_drift(live):
    assert differences(live) == []


def edit(table, old, new):
    """Change the text of a table as if it had been made so."""
    return (
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE name = '{table}'",
        "PRAGMA writable_schema = RESET",
    )


ANIMALS = "table 'animals': "


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        pytest.param(
            ["DROP TABLE stricts"], [("breaks", "table 'stricts' is missing")], id="no table"
        ),
        pytest.param(
            ["CREATE TABLE extras (a)"],
            [("extra", "table 'extras' is declared by no model")],
            id="a table too many",
        ),
        pytest.param(
            [
                "DROP INDEX by_nick",
                "ALTER TABLE owners RENAME TO o",
                "ALTER TABLE o RENAME TO owners",
            ],
            [("differs", ANIMALS + "index on (lower ( nick )) is missing")],
            id="no index on an expression",
        ),
        pytest.param(
            ["ALTER TABLE owners ADD COLUMN age INT"],
            [("extra", "table 'owners': column 'age' is declared by no model")],
            id="a column too many",
        ),
        pytest.param(
            ["ALTER TABLE owners ADD COLUMN age INT NOT NULL DEFAULT 0"],
            [("extra", "table 'owners': column 'age' is declared by no model")],
            id="a column too many, with a default",
        ),
        pytest.param(
            edit("owners", '"name" VARCHAR', '"age" INT NOT NULL, "name" VARCHAR'),
            [
                (
                    "breaks",
                    "table 'owners': column 'age' must have a value, and no model gives it one",
                )
            ],
            id="a column that must have a value",
        ),
        pytest.param(
            ["ALTER TABLE owners DROP COLUMN name"],
            [("breaks", "table 'owners': column 'name' is missing")],
            id="no column",
        ),
        pytest.param(
            edit("animals", '"weight" INTEGER', '"weight" TEXT'),
            [("differs", ANIMALS + "column 'weight' is TEXT, and should be INTEGER")],
            id="type",
        ),
        pytest.param(
            edit("animals", '"kind" VARCHAR(255) NOT NULL', '"kind" VARCHAR(255)'),
            [("differs", ANIMALS + "column 'kind' may be NULL, and should be NOT NULL")],
            id="may be NULL",
        ),
        pytest.param(
            edit("animals", '"weight" INTEGER', '"weight" INTEGER NOT NULL'),
            [("breaks", ANIMALS + "column 'weight' is NOT NULL, and the model may write NULL")],
            id="must not be NULL",
        ),
        pytest.param(
            edit("animals", "DEFAULT 5", "DEFAULT 6"),
            [("differs", ANIMALS + "column 'weight' has default 6, and should have 5")],
            id="default",
        ),
        pytest.param(
            edit("animals", "DEFAULT CURRENT_TIMESTAMP", "DEFAULT ''CURRENT_TIMESTAMP''"),
            [
                (
                    "differs",
                    ANIMALS + "column 'born' has default 'CURRENT_TIMESTAMP', and should have "
                    "CURRENT_TIMESTAMP",
                )
            ],
            id="default that is text",
        ),
        pytest.param(
            edit("owners", " AUTOINCREMENT", ""),
            [("differs", "table 'owners': AUTOINCREMENT is missing")],
            id="AUTOINCREMENT",
        ),
        pytest.param(
            edit("owners", " COLLATE NOCASE", ""),
            [
                (
                    "differs",
                    "table 'owners': column 'name' has collation binary, and should have nocase",
                )
            ],
            id="collation",
        ),
        pytest.param(
            edit("animals", "upper", "lower"),
            [
                (
                    "differs",
                    ANIMALS + "column 'shout' is generated as (lower ( kind )), stored, and "
                    "should be generated as (upper ( kind )), stored",
                )
            ],
            id="generated expression",
        ),
        pytest.param(
            edit("animals", "STORED", "VIRTUAL"),
            [
                (
                    "differs",
                    ANIMALS + "column 'shout' is generated as (upper ( kind )), virtual, and "
                    "should be generated as (upper ( kind )), stored",
                )
            ],
            id="generated and stored",
        ),
        pytest.param(
            ["DROP INDEX by_kind", "CREATE INDEX by_kind ON animals (weight DESC, kind)"],
            [
                ("differs", ANIMALS + "index on (kind, weight desc) is missing"),
                ("extra", ANIMALS + "index on (weight desc, kind) is declared by no model"),
            ],
            id="order of an index",
        ),
        pytest.param(
            ["DROP INDEX by_kind", "CREATE INDEX by_kind ON animals (kind, weight)"],
            [
                ("differs", ANIMALS + "index on (kind, weight desc) is missing"),
                ("extra", ANIMALS + "index on (kind, weight) is declared by no model"),
            ],
            id="direction of an index",
        ),
        pytest.param(
            ["DROP INDEX by_nick", "CREATE UNIQUE INDEX by_nick ON animals (lower(nick))"],
            [
                ("differs", ANIMALS + "index on (lower ( nick )) is missing"),
                ("extra", ANIMALS + "unique index on (lower ( nick )) is declared by no model"),
            ],
            id="uniqueness of an index",
        ),
        pytest.param(
            ["DROP INDEX heavy", "CREATE INDEX heavy ON animals (weight) WHERE weight > 11"],
            [
                ("differs", ANIMALS + "index on (weight) where ( weight > 10 ) is missing"),
                ("extra", ANIMALS + "index on (weight) where weight > 11 is declared by no model"),
            ],
            id="condition of an index",
        ),
        pytest.param(
            edit("animals", "ON DELETE CASCADE", "ON DELETE SET NULL"),
            [
                (
                    "differs",
                    ANIMALS + "foreign key (owner_id) to owners (id) on delete CASCADE on update "
                    "NO ACTION is missing",
                ),
                (
                    "differs",
                    ANIMALS + "foreign key (owner_id) to owners (id) on delete SET NULL on update "
                    "NO ACTION is declared by no model",
                ),
            ],
            id="action of a foreign key",
        ),
        pytest.param(
            edit("animals", "CHECK (weight > 0)", "CHECK (weight > 1)"),
            [
                ("differs", ANIMALS + "check weight > 0 is missing"),
                ("differs", ANIMALS + "check weight > 1 is declared by no model"),
            ],
            id="check",
        ),
        pytest.param(
            edit("stricts", "STRICT, WITHOUT", "WITHOUT"),
            [("differs", "table 'stricts': STRICT is missing")],
            id="STRICT",
        ),
        pytest.param(
            [
                "DROP TABLE owners",
                "CREATE TABLE owners (id INT NOT NULL PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE)",
            ],
            [
                (
                    "breaks",
                    "table 'owners': primary key is not numbered; the database will not assign ids",
                ),
                ("differs", "table 'owners': AUTOINCREMENT is missing"),
            ],
            id="a key that SQLite does not number",
        ),
        pytest.param(
            ["DROP TABLE stricts", "CREATE TABLE stricts (id TEXT NOT NULL PRIMARY KEY) STRICT"],
            [("differs", "table 'stricts': WITHOUT ROWID is missing")],
            id="WITHOUT ROWID",
        ),
    ],
)
def test_check_finds_an_alteration_and_nothing_else(live, statements, found):
    for statement in statements:
        live.execute(statement)
    assert differences(live) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        pytest.param(
            ", UNIQUE (nick, kind)",
            "",
            ("differs", ANIMALS + "unique index on (nick, kind) is missing"),
            id="a unique constraint",
        ),
        pytest.param(
            " PRIMARY KEY",
            "",
            ("breaks", ANIMALS + "primary key is (), and should be (code)"),
            id="a primary key",
        ),
    ],
)
def test_a_missing_key_is_found(live, old, new, found):
    text = live.execute("SELECT sql FROM sqlite_master WHERE name = 'animals'").fetchone()[0]
    others = live.execute(
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'animals' AND type = 'index' AND sql "
        "IS NOT NULL"
    ).fetchall()
    live.execute("DROP TABLE animals")
    live.execute(text.replace(old, new))
    for (sql,) in others:
        live.execute(sql)
    assert differences(live) == [found]


@pytest.mark.parametrize(
    ("clause", "found"),
    [
        pytest.param("", [], id="checked at once"),
        pytest.param("DEFERRABLE", [], id="deferrable and checked at once"),
        pytest.param("DEFERRABLE INITIALLY IMMEDIATE", [], id="at once, in words"),
        pytest.param("NOT DEFERRABLE INITIALLY DEFERRED", [], id="not at all"),
        pytest.param(
            "DEFERRABLE /* yes */ INITIALLY  deferred",
            ["is missing", "is declared by no model"],
            id="deferred",
        ),
    ],
)
@pytest.mark.parametrize(
    "form", ["{0} REFERENCES t (id) {1}", "{0}, FOREIGN KEY (up) REFERENCES t (id) {1}"]
)
def test_only_a_key_that_is_deferred_differs(connect, form, clause, found):
    live, wanted = connect(), connect(":memory:")
    create = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER"
    wanted.execute(f"{create} REFERENCES t (id))")
    live.execute(f"{create}{form.format('', clause)})")
    sentences = [d.sentence for d in compare(live_schema(wanted), live_schema(live))]
    key = "table 't': foreign key (up) to t (id) on delete NO ACTION on update NO ACTION"
    said = [s.removeprefix(key).removeprefix(" deferrable initially deferred") for s in sentences]
    assert [s.strip() for s in said] == found


def test_a_deferred_key_of_peewees_is_declared(connect):
    user = type("User", (Model,), {"favorite": DeferredForeignKey("Tweet", null=True)})
    tweet = type("Tweet", (Model,), {"user": ForeignKeyField(user)})
    schema = declared_schema([user, tweet])
    assert [str(key) for key in schema["user"].foreign_keys] == [
        "(favorite_id) to tweet (id) on delete NO ACTION on update NO ACTION"
    ]
    assert user.favorite.deferred


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("CREATE VIRTUAL TABLE notes USING fts5 (title, body, tokenize = 'ascii')", []),
        (
            "CREATE VIRTUAL TABLE notes USING fts5 (title, other)",
            [
                ("breaks", "table 'notes': column 'body' is missing"),
                ("extra", "table 'notes': column 'other' is declared by no model"),
            ],
        ),
        (
            "CREATE TABLE notes (title TEXT, body TEXT)",
            [("breaks", "table 'notes': is an ordinary table, and should be a virtual table")],
        ),
    ],
)
def test_a_virtual_table_is_compared_by_its_columns(connect, statement, found):
    live = connect()
    live.execute(statement)
    fields = {"title": SearchField(), "body": SearchField()}
    notes = type("Notes", (FTS5Model,), fields)
    differences = compare(declared_schema([notes]), live_schema(live))
    assert [(d.severity.value, d.sentence) for d in differences] == found


def test_another_spelling_of_the_same_is_no_drift(connect):
    connection = connect()
    connection.executescript(
        """
        create table [OWNERS] (ID integer primary key autoincrement, Name text collate nocase not null);
        CREATE TABLE `animals` (
            code TEXT UNIQUE PRIMARY KEY, -- nullable, as SQLite lets a key be
            owner_id BIGINT NOT NULL references "owners" ON DELETE CASCADE,
            kind CHAR(10) not null default ('cat'), weight int default (5) CHECK ( weight>0 ),
            nick CLOB NOT NULL DEFAULT 'none', shout TEXT generated always as ( UPPER("kind") ) stored,
            born timestamp not null default (current_timestamp)
        );
        CREATE UNIQUE INDEX another_name ON animals (nick, kind);
        CREATE INDEX x1 ON animals (owner_id); CREATE INDEX x2 ON animals (kind, "weight" DESC);
        CREATE INDEX x3 ON animals (weight) WHERE ("weight" > 10);
        CREATE INDEX x4 ON animals (LOWER(nick));
        CREATE TABLE stricts (id TEXT PRIMARY KEY) WITHOUT ROWID, STRICT;
        """
    )
    assert differences(connection) == []
