"""Every verb: does it, does it once, refuses with a reason."""

from __future__ import annotations

import sqlite3

import pytest
from peewee import CharField, Model

from guarded.backends.sqlite import describe, inspect
from guarded.errors import InMemoryTable, MigrationFailed, Refused
from tests import apsw_driver
from tests.conftest import migration


@pytest.fixture
def file(either_sqlite):
    return either_sqlite


PARENTS_AND_CHILDREN = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT, amount INT DEFAULT 5);
CREATE TABLE child (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent_id INT REFERENCES parent (id) ON DELETE CASCADE,
    boss INT REFERENCES child (id) ON DELETE CASCADE,
    score INT CHECK (score >= 0)
);
CREATE INDEX parent_note ON parent (note);
CREATE INDEX parent_some ON parent (amount) WHERE amount > 1;
CREATE INDEX parent_both ON parent (name, amount);
CREATE TABLE log (what TEXT);
CREATE VIEW rich AS SELECT p.name FROM parent AS p WHERE p.amount > 100;
CREATE TRIGGER parent_gone AFTER DELETE ON parent BEGIN INSERT INTO log VALUES ('gone'); END;
CREATE TRIGGER parent_note AFTER UPDATE OF note ON parent
    BEGIN INSERT INTO log VALUES (NEW.note); END;
INSERT INTO parent VALUES (1, 'a', 'x', 7), (2, 'b', NULL, 700), (3, 'c', 'z', 0);
INSERT INTO child VALUES (1, 1, NULL, 3), (2, 1, 1, 4), (9, 2, 1, NULL);
DELETE FROM child WHERE id = 9;
"""


@pytest.fixture
def database(connect):
    """Rows, foreign keys on, a trigger, a view, and an id mark above the largest id."""
    connection = connect()
    connection.executescript(PARENTS_AND_CHILDREN)
    return connection


def columns(database, table):
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


# Where SQLite is 3.53 or newer, these need no rebuild.
NATIVE = ("add_not_null", "drop_not_null", "add_constraint")

# Verb, what it does the first time, and what it notes the second time.
TWICE = [
    pytest.param(
        "add_column('parent', 'email', CharField(null=True))",
        [("add", "parent.email", "")],
        [("skip", "parent.email", "already there")],
        id="add_column",
    ),
    pytest.param(
        "add_column('parent', 'kind', CharField(default=\"it's\", index=True))",
        [("add", "parent.kind", ""), ("create", "parent_kind", "")],
        [("skip", "parent.kind", "already there")],
        id="add_column with an index",
    ),
    pytest.param(
        "add_column('parent', 'since', DateTimeField(default=datetime.datetime.now))",
        [("add", "parent.since", ""), ("rebuild", "parent", "")],
        [("skip", "parent.since", "already there")],
        id="add_column with a callable",
    ),
    pytest.param(
        "drop_column('parent', 'note')",
        Refused("trigger 'parent_note' needs it"),
        None,
        id="drop_column of a trigger",
    ),
    pytest.param(
        "drop_column('parent', 'amount')",
        Refused("index 'parent_both' needs it"),
        None,
        id="drop_column of an index of two",
    ),
    pytest.param(
        "drop_column('parent', 'id')",
        Refused("the primary key, the foreign key of table 'child' needs it"),
        None,
        id="drop_column of a key",
    ),
    pytest.param(
        "drop_column('child', 'score')",
        [("drop", "child.score", "2 values kept")],
        [("skip", "child.score", "not there")],
        id="drop_column",
    ),
    pytest.param(
        "drop_column('child', 'parent_id')",
        [("drop", "child.parent_id", "2 values kept"), ("rebuild", "child", "")],
        [("skip", "child.parent_id", "not there")],
        id="drop_column of a foreign key",
    ),
    pytest.param(
        "rename_column('child', 'score', 'points')",
        [("rename", "child.score", "to points")],
        [("skip", "child.points", "already renamed from score")],
        id="rename_column",
    ),
    pytest.param(
        "rename_column('parent', 'name', 'note')",
        Refused("there is a column 'note' too"),
        None,
        id="rename_column onto another",
    ),
    pytest.param(
        "rename_column('parent', 'nope', 'other')",
        Refused("table 'parent' has no column 'nope' to rename"),
        None,
        id="rename_column of none",
    ),
    pytest.param(
        "rename_table('log', 'journal')",
        [("rename", "log", "to journal")],
        [("skip", "journal", "already renamed from log")],
        id="rename_table",
    ),
    pytest.param(
        "rename_table('log', 'child')",
        Refused("there is a table 'child' too"),
        None,
        id="rename_table onto another",
    ),
    pytest.param(
        "drop_table('parent')",
        Refused("table 'child' refers to it"),
        None,
        id="drop_table of a parent",
    ),
    pytest.param(
        "drop_table('log')",
        Refused("trigger 'parent_gone'"),
        None,
        id="drop_table that a trigger writes",
    ),
    pytest.param(
        "drop_table('child')",
        [("drop", "child", "2 values kept")],
        [("skip", "child", "not there")],
        id="drop_table",
    ),
    pytest.param(
        "add_index('child', ('score', 'boss'), True)",
        [("create", "child_score_boss", "")],
        [("skip", "child_score_boss", "already there")],
        id="add_index",
    ),
    pytest.param(
        "add_index('parent', ('note',), name='other')",
        [("skip", "other", "already there as parent_note")],
        [("skip", "other", "already there as parent_note")],
        id="add_index under another name",
    ),
    pytest.param(
        "add_index('child', ('gone',))",
        Refused("table 'child' has no column 'gone'"),
        None,
        id="add_index on a column that is gone",
    ),
    pytest.param(
        "add_index('child', ('score',), name='parent_both')",
        Refused("belongs to index 'parent_both' of table 'parent'; rename"),
        None,
        id="add_index with a name that is taken",
    ),
    pytest.param(
        "drop_index('parent', 'PARENT_SOME')",
        [("drop", "parent_some", "")],
        [("skip", "PARENT_SOME", "not there")],
        id="drop_index",
    ),
    pytest.param(
        "add_not_null('child', 'score')",
        [("alter", "child.score", "not null"), ("edit", "child", "")],
        [("skip", "child.score", "already not null")],
        id="add_not_null",
    ),
    pytest.param(
        "add_not_null('parent', 'note')",
        Refused(
            "parent.note can't be made not null: 1 row has no value there; give them one first"
        ),
        None,
        id="add_not_null where there is NULL",
    ),
    pytest.param(
        "drop_not_null('parent', 'name')",
        [("alter", "parent.name", "nullable"), ("edit", "parent", "")],
        [("skip", "parent.name", "already nullable")],
        id="drop_not_null",
    ),
    pytest.param(
        "add_column_default('parent', 'note', 'a, b')",
        [("alter", "parent.note", "default 'a, b'"), ("edit", "parent", "")],
        [("skip", "parent.note", "default already 'a, b'")],
        id="add_column_default",
    ),
    pytest.param(
        "add_column_default('parent', 'note', SQL('CURRENT_TIMESTAMP'))",
        [("alter", "parent.note", "default CURRENT_TIMESTAMP"), ("edit", "parent", "")],
        [("skip", "parent.note", "default already CURRENT_TIMESTAMP")],
        id="add_column_default in SQL",
    ),
    pytest.param(
        "drop_column_default('parent', 'amount')",
        [("alter", "parent.amount", "no default"), ("edit", "parent", "")],
        [("skip", "parent.amount", "has no default")],
        id="drop_column_default",
    ),
    pytest.param(
        "alter_column_type('parent', 'amount', CharField(max_length=9), cast='amount || \\'!\\'')",
        [("alter", "parent.amount", "VARCHAR(9)"), ("rebuild", "parent", "")],
        [("skip", "parent.amount", "already VARCHAR(9)")],
        id="alter_column_type",
    ),
    pytest.param(
        "add_constraint('parent', 'has_name', Check('name <> \\'\\''))",
        [("add", "parent.has_name", ""), ("edit", "parent", "")],
        [("skip", "parent.has_name", "already there")],
        id="add_constraint",
    ),
    pytest.param(
        "add_unique('parent', 'name', 'note')",
        [("add", "parent.uniq_name_note", ""), ("rebuild", "parent", "")],
        [("skip", "parent.uniq_name_note", "already there")],
        id="add_unique",
    ),
    pytest.param(
        "drop_constraint('parent', 'nope')",
        [("skip", "parent.nope", "not there")],
        [("skip", "parent.nope", "not there")],
        id="drop_constraint",
    ),
    pytest.param(
        "add_foreign_key_constraint('child', 'score', 'parent', 'id', on_delete='SET NULL')",
        Refused(
            "child.score can't refer to parent.id: 1 row has a value that is not there; change those"
        ),
        None,
        id="add_foreign_key_constraint that dangles",
    ),
    pytest.param(
        "drop_foreign_key_constraint('child', 'boss')",
        [("drop", "foreign key on child.boss", ""), ("edit", "child", "")],
        [("skip", "foreign key on child.boss", "not there")],
        id="drop_foreign_key_constraint",
    ),
    pytest.param(
        "add_not_null('nope', 'a')", Refused("there is no table 'nope'"), None, id="no such table"
    ),
    pytest.param(
        "add_not_null('child', 'nope')",
        Refused("table 'child' has no column 'nope'"),
        None,
        id="no such column",
    ),
]


@pytest.mark.parametrize(("verb", "first", "second"), TWICE)
def test_a_verb_acts_once_then_skips_or_refuses(database, apply, file, verb, first, second):
    before = database.execute("SELECT * FROM sqlite_master").fetchall()
    body = f"import datetime\nmigrator.migrate(migrator.{verb})"
    if isinstance(first, Refused):
        with pytest.raises(Refused, match=str(first)):
            apply(body)
        assert database.execute("SELECT * FROM sqlite_master").fetchall() == before
        return
    if isinstance(file, apsw_driver.File) and verb.startswith(NATIVE):
        first = [step for step in first if step[0] not in ("edit", "rebuild")]
    assert apply(body) == first
    after = database.execute("SELECT * FROM sqlite_master WHERE name <> 'schema_history'")
    after = after.fetchall()
    assert apply(body) == second
    again = database.execute("SELECT * FROM sqlite_master WHERE name <> 'schema_history'")
    assert again.fetchall() == after


@pytest.mark.parametrize(
    "verb", [p.values[0] for p in TWICE if p.values[2] and p.id != "drop_table"]
)
def test_a_verb_keeps_rows_keys_and_id_marks(database, apply, verb):
    apply(f"import datetime\nmigrator.migrate(migrator.{verb})")
    counts = [database.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("parent", "child")]
    assert counts == [(3,), (2,)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    mark = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'child'").fetchone()
    assert mark == (9,)


def test_a_constant_for_a_new_column_touches_no_row(database, apply):
    pages = database.execute("PRAGMA page_count").fetchone()
    steps = apply(
        "migrator.migrate(migrator.add_column('parent', 'on', BooleanField(default=False)))"
    )
    assert steps == [("add", "parent.on", "")]
    assert database.execute('SELECT DISTINCT "on" FROM parent').fetchall() == [(0,)]
    assert database.execute("PRAGMA page_count").fetchone() <= (pages[0] + 3,)


@pytest.mark.parametrize(
    "default",
    [
        *(
            "TRUE",
            "FALSE",
            "(TRUE)",
            "1",
            "-1",
            "007",
            "0x10",
            "1.50",
            "-1.50",
            "+1.50",
            ".5",
            "3.0",
        ),
        *("1e3", "1e308", "-0.0", "99999999999999999999", "'1.50'", "NULL"),
        *("(1.50)", "(CAST(1.50 AS TEXT))", "a"),
    ],
)
def test_older_rows_have_the_default_as_newer_rows_have_it(connect, apply, default):
    connection = connect()
    types = {"plain": ("TEXT", "VARCHAR(80)", "INTEGER", "REAL", "NUMERIC", "BLOB", "")}
    types["strict"] = ("TEXT", "ANY")
    for table, options in (("plain", ""), ("strict", "STRICT")):
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY) {options}")
        connection.execute(f"INSERT INTO {table} VALUES (1)")
    options = f"null=True, index=True, constraints=[SQL({f'DEFAULT {default}'!r})]"
    apply(
        "\n".join(
            f"of = type('Of', (Field,), {{'field_type': {type_!r}}})\n"
            f"migrator.migrate(migrator.add_column({table!r}, 'c{place}', of({options})))"
            for table in types
            for place, type_ in enumerate(types[table])
        )
    )
    for table in types:
        connection.execute(f"INSERT INTO {table} (id) VALUES (2)")
        for place in range(len(types[table])):
            read = f"SELECT DISTINCT quote(c{place}) FROM {table}"
            values = connection.execute(f"{read} NOT INDEXED").fetchall()
            assert len(values) == 1
            assert connection.execute(f"{read} ORDER BY c{place}").fetchall() == values
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_several_changes_of_a_table_are_one_rebuild(database, apply):
    steps = apply(
        """
        migrator.migrate(
            migrator.add_not_null('child', 'score'),
            migrator.add_column_default('child', 'score', 1),
            migrator.add_column('child', 'since', CharField(default=lambda: 'now')),
            migrator.drop_column('child', 'boss'),
        )
        """
    )
    assert [step[0] for step in steps] == ["alter", "alter", "add", "drop", "rebuild"]
    database.execute("INSERT INTO child (since) VALUES ('x')")
    assert database.execute("SELECT * FROM child").fetchall() == [
        (1, 1, 3, "now"),
        (2, 1, 4, "now"),
        (10, None, 1, "x"),
    ]


def test_a_second_verb_sees_what_the_first_will_do(database, apply):
    steps = apply(
        """
        migrator.migrate(
            migrator.add_not_null('child', 'score'),
            migrator.drop_not_null('child', 'score'),
        )
        """
    )
    assert [step[2] for step in steps[:2]] == ["not null", "nullable"]
    database.execute("INSERT INTO child (score) VALUES (NULL)")


@pytest.mark.parametrize("parent", ["child", "parent"])
def test_a_foreign_key_can_be_replaced_in_one_migration(database, apply, parent):
    database.execute("DELETE FROM child WHERE id > 1")
    apply(
        "migrator.migrate(migrator.drop_foreign_key_constraint('child', 'parent_id'),"
        f" migrator.add_foreign_key_constraint('child', 'parent_id', '{parent}', 'id', 'SET NULL'))"
    )
    keys = {key.columns: key for key in inspect.foreign_keys(database.execute, "child")}
    assert keys[("parent_id",)][1:] == (parent, ("id",), "SET NULL", "NO ACTION", "")


def test_a_foreign_key_with_other_actions_is_not_skipped(database, apply):
    verb = "add_foreign_key_constraint('child', 'parent_id', 'parent', 'id', 'SET NULL')"
    with pytest.raises(
        Refused, match="already refers to 'parent' on delete CASCADE on update NO A"
    ):
        apply(f"migrator.migrate(migrator.{verb})")


def test_a_column_can_be_dropped_and_added_again_in_one_migration(database, apply):
    apply(
        "migrator.migrate(migrator.drop_column('child', 'boss'),"
        " migrator.add_column('child', 'boss', TextField(null=True)))"
    )
    (found,) = [c for c in inspect.columns(database.execute, "child") if c.name == "boss"]
    assert found.type == "TEXT"
    assert database.execute("SELECT count(*) FROM child").fetchone() == (2,)


@pytest.mark.parametrize(
    ("verb", "noted"),
    [
        ("drop_not_null('child', 'gone')", "child.gone"),
        ("drop_column_default('child', 'gone')", "child.gone"),
        ("drop_foreign_key_constraint('child', 'gone')", "child.gone"),
    ],
)
def test_dropping_a_property_of_a_missing_column_is_skipped(database, apply, verb, noted):
    assert apply(f"migrator.migrate(migrator.{verb})") == [("skip", noted, "not there")]


@pytest.mark.parametrize(
    "where", ["b INT CHECK (b > 0 AND b <> 7)", 'b INT, CHECK(b>0 and "B"<>7)']
)
def test_a_check_without_a_name_is_known_by_its_text(connect, apply, where):
    connect().execute(f"CREATE TABLE t (a TEXT, {where}, CHECK (a <> ''), CHECK (a <> ''))")
    connect().execute("INSERT INTO t VALUES ('x', 1)")
    drop = "migrator.migrate(migrator.drop_constraint('t', Check('b > 0 AND b <> 7')))"
    assert apply(drop)[0] == ("drop", "t.CHECK (b > 0 AND b <> 7)", "")
    connect().execute("INSERT INTO t VALUES ('x', 7)")
    assert apply(drop) == [("skip", "t.CHECK (b > 0 AND b <> 7)", "not there")]
    # Said twice, it is dropped with both.
    assert apply("migrator.migrate(migrator.drop_constraint('t', SQL(\"CHECK (a <> '')\")))")
    connect().execute("INSERT INTO t VALUES ('', 7)")
    add = "migrator.migrate(migrator.add_constraint('t', None, Check('b < 10')))"
    assert apply(add)[0] == ("add", "t.CHECK (b < 10)", "")
    assert apply(add) == [("skip", "t.CHECK (b < 10)", "already there")]
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed: b < 10"):
        connect().execute("INSERT INTO t VALUES ('', 10)")


def test_one_of_two_columns_that_are_unique_stays_so(connect, apply):
    connect().execute("CREATE TABLE t (a TEXT UNIQUE, b INT UNIQUE)")
    apply("migrator.migrate(migrator.drop_constraint('t', 'uniq_a'))")
    assert [index.columns for index in describe.indexes(connect().execute, "t")] == [("b",)]


def test_a_unique_without_a_name_has_the_one_that_add_unique_gives(connect, apply):
    connect().execute("CREATE TABLE t (a TEXT UNIQUE, b INT, c INT, UNIQUE (b, c))")
    drop = "migrator.migrate(migrator.drop_constraint('t', 'uniq_a'),"
    drop += " migrator.drop_constraint('t', 'uniq_b_c'))"
    steps = [("drop", "t.uniq_a", ""), ("drop", "t.uniq_b_c", ""), ("rebuild", "t", "")]
    assert apply(drop) == steps
    assert describe.indexes(connect().execute, "t") == ()
    assert apply(drop) == [("skip", "t.uniq_a", "not there"), ("skip", "t.uniq_b_c", "not there")]


def test_a_verb_that_is_not_handed_to_migrate_is_refused(database, apply):
    with pytest.raises(Refused, match=r"drop_table\(…\) was called, and not run; hand it to"):
        apply("migrator.drop_table('log')")


def test_playhouses_own_migrate_function_works_too(database, apply):
    steps = apply(
        """
        from playhouse.migrate import migrate
        migrate(migrator.add_not_null('child', 'score'), migrator.drop_column('child', 'boss'))
        """
    )
    assert [step[0] for step in steps] == ["alter", "drop", "rebuild"]


def test_fill_lets_triggers_rest(database, apply):
    apply("migrator.migrate(migrator.fill('parent', 'note', \"'n' || id\", where='id > 1'))")
    assert database.execute("SELECT note FROM parent ORDER BY id").fetchall() == [
        ("x",),
        ("n2",),
        ("n3",),
    ]
    assert database.execute("SELECT * FROM log").fetchall() == []
    database.execute("UPDATE parent SET note = 'y' WHERE id = 1")
    assert database.execute("SELECT * FROM log").fetchall() == [("y",)]


def test_apply_default_fills_only_what_is_empty(database, apply):
    apply("migrator.migrate(migrator.apply_default('parent', 'note', CharField(default='?')))")
    assert database.execute("SELECT note FROM parent ORDER BY id").fetchall() == [
        ("x",),
        ("?",),
        ("z",),
    ]


def test_a_new_unique_index_on_duplicates_fails_with_the_statement(database, apply):
    database.execute("UPDATE parent SET note = 'same'")
    with pytest.raises(
        MigrationFailed, match=r"UNIQUE constraint failed: parent\.note.*CREATE UNIQ"
    ):
        apply("migrator.migrate(migrator.add_index('parent', ('note',), True, name='u'))")


def test_a_model_completes_an_older_table(database, apply):
    body = """
    class Parent(Model):
        name = CharField()
        note = CharField(null=True, constraints=[Default("'none'")])
        amount = IntegerField(null=True, constraints=[Default(5)])
        created = DateTimeField(constraints=[Default('CURRENT_TIMESTAMP')])
        nick = CharField(unique=True, null=True)
        class Meta:
            table_name = 'parent'
    migrator.migrate(migrator.create_table(Parent), migrator.complete_table(Parent))
    """
    steps = apply(body)
    assert steps == [
        ("skip", "parent", "already there"),
        ("skip", "parent_nick", "parent has no column nick"),
        ("alter", "parent.note", "default 'none'"),
        ("add", "parent.created", ""),
        ("add", "parent.nick", ""),
        ("rebuild", "parent", ""),
        ("create", "parent_nick", ""),
    ]
    assert columns(database, "parent") == ["id", "name", "note", "amount", "created", "nick"]
    database.execute("INSERT INTO parent (name) VALUES ('d')")
    row = database.execute("SELECT note, amount, created > '2020' FROM parent WHERE name = 'd'")
    assert row.fetchone() == ("none", 5, 1)
    assert apply(body)[-1] == ("skip", "parent", "complete")


class Guest(Model):
    name = CharField()

    class Meta:
        table_name = "Guests"


GUESTS = "class Guests(Model):\n    class Meta:\n        database = db; table_name = 'Guests'\n"


@pytest.mark.parametrize(
    "body",
    [
        "migrator.migrate(migrator.add_column('guests', 'a', CharField(null=True)))",
        "migrator.migrate(migrator.drop_table('Guests'))",
        "migrator.migrate(migrator.drop_column('Guests', 'name'))",
        "migrator.migrate(migrator.rename_table('Guests', 'g'))",
        "migrator.migrate(migrator.sql('CREATE TABLE Guests (a)'))",
        "db.execute_sql('CREATE TABLE Guests (a)')",
        "db.connection().execute('CREATE TABLE Guests (a)')",
        GUESTS + "db.create_tables([Guests])",
        GUESTS + "migrator.migrate(migrator.create_table(Guests))",
        "try:\n    db.execute_sql('CREATE TABLE Guests (a)')\nexcept Exception:\n    pass",
    ],
)
def test_a_table_in_memory_is_out_of_reach(make_runner, connect, body):
    runner = make_runner({"a": migration(body)}, in_memory=(Guest,))
    with pytest.raises(InMemoryTable, match=r"change the model Guest in tests\.guarded"):
        runner.up()
    assert connect().execute("SELECT * FROM sqlite_master").fetchall() == []


def test_a_default_in_utf_16_is_no_obstacle(connect, apply):
    """SQLite's EXPLAIN shows it in an encoding that is none."""
    connection = connect()
    connection.execute("PRAGMA encoding = 'UTF-16'")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL)")
    connection.execute("INSERT INTO t VALUES (1, 2)")
    connection.execute("ALTER TABLE t ADD COLUMN b DATETIME DEFAULT '\N{GRINNING FACE}'")
    apply("migrator.migrate(migrator.drop_column('t', 'a'))")
    assert connection.execute("SELECT * FROM t").fetchall() == [(1, "\N{GRINNING FACE}")]


def test_a_statement_with_returning_tells_its_rows(database, apply):
    sql = "UPDATE child SET score = 1 RETURNING id"
    assert apply(f"migrator.migrate(migrator.sql('{sql}'))") == [("run", sql, "")]
    assert database.execute("SELECT DISTINCT score FROM child").fetchall() == [(1,)]
