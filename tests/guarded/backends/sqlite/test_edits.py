"""Each edit is tried in SQLite: only the touched span changes."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite import edits
from guarded.backends.sqlite.text import CreateTable, UnreadableTable

ODD = """CREATE TABLE [odd, (table)] (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key, "quoted" (once)
  `a` TEXT default 'x, (y' not   null /* why ( not */ check (a in ('p', 'q)', 'x, (y')),
  "b ""c" VARCHAR(10, 2) COLLATE nocase REFERENCES "par""ent"(x) ON DELETE SET NULL NOT DEFERRABLE,
  d, -- no type
  ab INT NULL DEFAULT -1,
  g INT GENERATED ALWAYS AS (ab + 1) VIRTUAL,
  h TEXT AS (a || ',') STORED NOT NULL,
  w DEFAULT (1 + (2)) CONSTRAINT "check" CHECK (w > 0) CONSTRAINT u2 UNIQUE ON CONFLICT IGNORE
  , CONSTRAINT "uq, 1" UNIQUE (a, ab) CHECK (length(a) < 100) -- no comma between
  , FOREIGN KEY (d) REFERENCES parent (d) ON UPDATE SET DEFAULT
)"""


def test_a_create_table_is_split_into_its_parts():
    table = CreateTable(ODD)
    assert [c.name for c in table.columns] == ["id", "a", 'b "c', "d", "ab", "g", "h", "w"]
    assert [c.type for c in table.columns] == [
        "INTEGER",
        "TEXT",
        "VARCHAR ( 10 , 2 )",
        "",
        "INT",
        "INT",
        "TEXT",
        "",
    ]
    assert [[k.kind for k in c.constraints] for c in table.columns] == [
        ["PRIMARY"],
        ["DEFAULT", "NOT", "CHECK"],
        ["COLLATE", "REFERENCES"],
        [],
        ["NULL", "DEFAULT"],
        ["GENERATED"],
        ["GENERATED", "NOT"],
        ["DEFAULT", "CHECK", "UNIQUE"],
    ]
    assert [(c.kind, c.name) for c in table.constraints] == [
        ("UNIQUE", "uq, 1"),
        ("CHECK", None),
        ("FOREIGN", None),
    ]
    assert table.autoincrement
    assert not table.strict
    assert not table.without_rowid


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        pytest.param(
            lambda t: edits.without_not_null(t, "A"),
            "'x, (y' not   null /* why",
            "'x, (y' /* why",
            id="drop NOT NULL in lower case",
        ),
        pytest.param(
            lambda t: edits.with_not_null(t, "ab"),
            "ab INT NULL DEFAULT",
            "ab INT NOT NULL DEFAULT",
            id="NOT NULL in place of NULL",
        ),
        pytest.param(
            lambda t: edits.with_not_null(t, "d"), "  d,", "  d NOT NULL,", id="without a type"
        ),
        pytest.param(
            lambda t: edits.with_not_null(t, 'B "C'),
            "VARCHAR(10, 2) COLLATE",
            "VARCHAR(10, 2) NOT NULL COLLATE",
            id="after a type with a comma",
        ),
        pytest.param(
            lambda t: edits.with_default(t, "a", "'z'"),
            "default 'x, (y'",
            "DEFAULT 'z'",
            id="another default",
        ),
        pytest.param(
            lambda t: edits.with_default(t, "d", "0"),
            "  d,",
            "  d DEFAULT 0,",
            id="a first default",
        ),
        pytest.param(lambda t: edits.without_default(t, "ab"), " DEFAULT -1", "", id="no default"),
        pytest.param(
            lambda t: edits.without_default(t, "w"), " DEFAULT (1 + (2))", "", id="an expression"
        ),
        pytest.param(
            lambda t: edits.with_type(t, 'b "c', "TEXT"), "VARCHAR(10, 2)", "TEXT", id="type"
        ),
        pytest.param(lambda t: edits.with_type(t, "d", "INT"), "  d,", "  d INT,", id="first type"),
        pytest.param(
            lambda t: edits.with_column(t, "new INT"),
            "ON CONFLICT IGNORE",
            "ON CONFLICT IGNORE, new INT",
            id="a column before the table's constraints",
        ),
        pytest.param(
            lambda t: edits.with_constraint(t, "CHECK (id > 0)"),
            "ON UPDATE SET DEFAULT",
            "ON UPDATE SET DEFAULT, CHECK (id > 0)",
            id="a constraint at the end",
        ),
        pytest.param(
            lambda t: edits.without_constraint(t, t.constraint("CHECK")),
            ' CONSTRAINT "check" CHECK (w > 0)',
            "",
            id="drop a column's constraint",
        ),
        pytest.param(
            lambda t: edits.without_constraint(t, t.constraint("UQ, 1")),
            '\n  , CONSTRAINT "uq, 1" UNIQUE (a, ab) CHECK',
            "\n  ,  CHECK",
            id="drop a constraint that no comma follows",
        ),
    ],
)
def test_an_edit_changes_only_its_span(connect, edit, before, after):
    connect(":memory:").execute(ODD)
    assert before in ODD
    edited = edit(CreateTable(ODD)).sql
    assert edited == ODD.replace(before, after, 1)
    connect(":memory:").execute(edited)


def test_dropping_a_column_drops_constraints_on_it_alone(connect):
    edited = edits.without_column(CreateTable(ODD), "d").sql
    connect(":memory:").execute(edited)
    assert "FOREIGN KEY" not in edited
    assert "-- no type" in edited
    assert [c.name for c in CreateTable(edited).columns] == [
        "id",
        "a",
        'b "c',
        "ab",
        "g",
        "h",
        "w",
    ]


@pytest.mark.parametrize("column", ["a", "b", "c"])
def test_dropping_any_column_leaves_the_others(connect, column):
    sql = "CREATE TABLE t (a INT, -- first\n b INT, -- second\n c INT -- third\n)"
    edited = edits.without_column(CreateTable(sql), column).sql
    connection = connect(":memory:")
    connection.execute(edited)
    left = [row[1] for row in connection.execute("PRAGMA table_info(t)")]
    assert left == [name for name in "abc" if name != column]
    for comment in ("-- first", "-- second", "-- third"):
        assert comment in edited


@pytest.mark.parametrize(
    ("column", "obstacles"),
    [
        pytest.param("id", ["the primary key"], id="the key"),
        pytest.param(
            "a",
            [
                'the constraint CONSTRAINT "uq, 1" UNIQUE (a, ab)',
                "column 'h' with AS (a || ',') STORED",
            ],
            id="a key of two, and a generated column",
        ),
        pytest.param("d", [], id="its own foreign key"),
        pytest.param("w", [], id="its own constraints"),
    ],
)
def test_everything_that_uses_a_column_is_an_obstacle(column, obstacles):
    assert CreateTable(ODD).obstacles(column) == obstacles


def test_a_key_of_the_table_is_an_obstacle():
    table = CreateTable("CREATE TABLE t (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID, STRICT")
    assert table.obstacles("b") == ["the primary key"]
    assert table.without_rowid
    assert table.strict


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE VIEW v AS SELECT (1)",
        "CREATE TABLE t (a",
        "",
        "CREATE TABLE",
    ],
)
def test_a_statement_without_a_column_list_is_refused(sql):
    with pytest.raises(UnreadableTable):
        CreateTable(sql)


def test_an_unknown_column_is_a_key_error():
    with pytest.raises(KeyError):
        edits.with_not_null(CreateTable(ODD), "nope")
