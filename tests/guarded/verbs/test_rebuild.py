"""A table zoo: after each verb that rebuilds, every object is there and works.

What playhouse's own rebuild loses is a table of cases, each first shown to fail with it.
"""

from __future__ import annotations

import sqlite3

import pytest
from peewee import SqliteDatabase
from playhouse.migrate import SqliteMigrator

from guarded.backends.sqlite.rebuild import rebuild
from guarded.backends.sqlite.text import CreateTable
from guarded.errors import Refused
from tests.conftest import migration, schema_of


@pytest.fixture
def file(either_sqlite):
    return either_sqlite


ZOO = """
CREATE TABLE log (what TEXT);
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
INSERT INTO parent VALUES (1, 'p'), (2, 'q');

-- The animal that every verb rebuilds: `target` is the column that changes.
CREATE TABLE "zoo (1)" (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key, "quoted" (once)
  target TEXT,
  targets TEXT DEFAULT 'a  b' /* two blanks, 'quoted' */ NOT NULL,
  "quo""ted" VARCHAR(10, 2) COLLATE NOCASE default (lower('X, Y')),
  [kind] INT check ([kind] in (1, 2, (3))),
  price REAL CHECK (price >= 0 AND targets <> 'never, (ever)'),
  doubled REAL GENERATED ALWAYS AS (price * 2) VIRTUAL,
  shout TEXT AS (upper(targets) || ',') STORED,
  boss INT REFERENCES "zoo (1)" (id) ON DELETE CASCADE,
  owner INT CONSTRAINT owned REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE,
  CONSTRAINT "one, two" UNIQUE (targets, kind)
);
CREATE INDEX zoo_lower ON "zoo (1)" (lower(targets), price DESC);
CREATE UNIQUE INDEX zoo_cheap ON "zoo (1)" (price) WHERE price < 10 AND kind IN (1, 2);
CREATE INDEX zoo_target ON "zoo (1)" (target);
CREATE VIEW dear AS SELECT targets, doubled FROM "zoo (1)" WHERE price > 100;
CREATE TRIGGER zoo_in AFTER INSERT ON "zoo (1)"
  BEGIN INSERT INTO log VALUES ('in ' || NEW.targets); END;
CREATE TRIGGER zoo_out BEFORE DELETE ON "zoo (1)" WHEN OLD.price > 1
  BEGIN INSERT INTO log VALUES ('out ' || OLD.id); END;
CREATE TRIGGER dear_in INSTEAD OF INSERT ON dear
  BEGIN INSERT INTO "zoo (1)" (targets, price, target) VALUES (NEW.targets, 200, 't'); END;
CREATE TRIGGER parent_out BEFORE DELETE ON parent
  BEGIN UPDATE "zoo (1)" SET price = 0 WHERE owner = OLD.id; END;
CREATE TABLE keeper (id INTEGER PRIMARY KEY, zoo INT REFERENCES "zoo (1)" ON DELETE CASCADE);

INSERT INTO "zoo (1)" (id, target, targets, kind, price, boss, owner)
  VALUES (3, 'x', 'Ape', 1, 5.5, NULL, 1), (7, 'y', 'bee', 2, 150, 3, 2),
    (8, 'z', 'Cat', 3, 7, 7, 2);
INSERT INTO "zoo (1)" (id, targets) VALUES (50, 'gone');
DELETE FROM "zoo (1)" WHERE id = 50;
INSERT INTO keeper VALUES (1, 3), (2, 7);
DELETE FROM log;

CREATE TABLE strict (id TEXT PRIMARY KEY, target TEXT, n INT NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO strict VALUES ('a', 'x', 1), ('b', 'y', 2);
CREATE TABLE loose (target TEXT, note TEXT);
INSERT INTO loose (rowid, target, note) VALUES (5, 'x', 'five'), (90, 'y', 'ninety');
ANALYZE;
"""

VERBS = [
    "add_not_null('{table}', 'target')",
    "add_column_default('{table}', 'target', 'it, (is')",
    "alter_column_type('{table}', 'target', AnyField())",
    "add_constraint('{table}', 'short', Check('length(target) < 100'))",
    "add_unique('{table}', 'target')",
    "add_column('{table}', 'born', TextField(constraints=[Default('CURRENT_TIMESTAMP')]))",
]


@pytest.fixture
def zoo(connect):
    connection = connect()
    connection.executescript(ZOO)
    return connection


def others(connection, table):
    return [row for row in schema_of(connection) if row[1] not in (table, "schema_history")]


@pytest.mark.parametrize("verb", VERBS)
def test_every_object_of_the_zoo_stays_and_works(zoo, apply, verb):
    table = '"zoo (1)"'
    before = others(zoo, "zoo (1)")
    rows = zoo.execute(f"SELECT rowid, id, target, targets, doubled, shout, boss FROM {table}")
    rows = rows.fetchall()
    apply(f"migrator.migrate(migrator.{verb.format(table='zoo (1)')})")

    assert [r for r in others(zoo, "zoo (1)") if "autoindex" not in r[1]] == [
        r for r in before if "autoindex" not in r[1]
    ]
    found = zoo.execute(f"SELECT rowid, id, target, targets, doubled, shout, boss FROM {table}")
    assert found.fetchall() == rows
    assert zoo.execute("PRAGMA foreign_key_check").fetchall() == []
    assert zoo.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert zoo.execute("SELECT * FROM keeper").fetchall() == [(1, 3), (2, 7)]
    # ids go on where they were, and the trigger fires
    zoo.execute(f"INSERT INTO {table} (target, targets, kind) VALUES ('n', 'New', 1)")
    assert zoo.execute(f"SELECT max(id) FROM {table}").fetchone() == (51,)
    assert zoo.execute("SELECT * FROM log").fetchall() == [("in New",)]
    # the view selects and takes what is inserted
    assert zoo.execute("SELECT * FROM dear").fetchall() == [("bee", 300.0)]
    zoo.execute("INSERT INTO dear (targets) VALUES ('Dog')")
    # checks, uniqueness, collation, defaults
    for values in ("('w', 'Elk', 4, 1)", "('w', 'Elk', 1, -1)", "('w', 'Ape', 1, 1)"):
        with pytest.raises(sqlite3.IntegrityError):
            zoo.execute(f"INSERT INTO {table} (target, targets, kind, price) VALUES {values}")
    with pytest.raises(sqlite3.IntegrityError):
        zoo.execute(f"INSERT INTO {table} (target, kind, price) VALUES ('v', 1, 5.5)")
    zoo.execute(f"INSERT INTO {table} (target, kind) VALUES ('u', 2)")
    assert zoo.execute(
        f'SELECT targets, "quo""ted" = \'X, y\' FROM {table} WHERE id = 53'
    ).fetchall() == [("a  b", 1)]
    # foreign keys: of itself, to a parent, and from a child
    zoo.execute("DELETE FROM parent WHERE id = 1")
    assert zoo.execute(f"SELECT owner, price FROM {table} WHERE id = 3").fetchone() == (None, 0.0)
    zoo.execute(f"DELETE FROM {table} WHERE id = 3")
    assert zoo.execute(f"SELECT count(*) FROM {table} WHERE id IN (7, 8)").fetchone() == (0,)
    assert zoo.execute("SELECT count(*) FROM keeper").fetchone() == (0,)


@pytest.mark.parametrize("verb", VERBS)
def test_only_the_touched_span_of_the_text_changes(zoo, apply, verb):
    sql = "SELECT sql FROM sqlite_master WHERE name = 'zoo (1)'"
    before = zoo.execute(sql).fetchone()[0]
    apply(f"migrator.migrate(migrator.{verb.format(table='zoo (1)')})")
    after = zoo.execute(sql).fetchone()[0]
    start = next(i for i, (a, b) in enumerate(zip(before, after)) if a != b)
    tail = next(i for i, (a, b) in enumerate(zip(before[::-1], after[::-1])) if a != b)
    assert len(after) - start - tail < 60
    assert before[:start] == after[:start]
    assert before[len(before) - tail :] == after[len(after) - tail :]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("table", ["strict", "loose"])
def test_table_options_and_rowids_stay(zoo, apply, table, verb):
    key = "id" if table == "strict" else "rowid"
    rows = zoo.execute(f"SELECT {key}, target FROM {table}").fetchall()
    apply(f"migrator.migrate(migrator.{verb.format(table=table)})")
    assert zoo.execute(f"SELECT {key}, target FROM {table}").fetchall() == rows
    text = CreateTable(
        zoo.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    )
    assert (text.strict, text.without_rowid) == ((table == "strict"),) * 2


def test_statistics_stay(zoo, apply):
    before = sorted(zoo.execute("SELECT * FROM sqlite_stat1"), key=repr)
    apply("migrator.migrate(migrator.add_column_default('zoo (1)', 'target', 'x'))")
    assert sorted(zoo.execute("SELECT * FROM sqlite_stat1"), key=repr) == before


def test_a_leftover_of_the_name_is_not_touched(zoo, apply):
    zoo.execute("CREATE TABLE loose__old (only_copy)")
    zoo.execute("INSERT INTO loose__old VALUES (1)")
    apply("migrator.migrate(migrator.add_not_null('loose', 'target'))")
    assert zoo.execute("SELECT * FROM loose__old").fetchall() == [(1,)]
    assert zoo.execute("SELECT count(*) FROM loose").fetchone() == (2,)


def test_a_rebuild_that_would_lose_rows_is_refused(zoo, apply):
    zoo.execute("UPDATE loose SET target = 'same'")
    schema = schema_of(zoo)
    with pytest.raises(Refused, match="'loose' would keep 1 of its 2 rows"):
        apply(
            "migrator.migrate(migrator.add_constraint('loose', 'u',"
            " SQL('UNIQUE (target) ON CONFLICT IGNORE')))"
        )
    assert (schema_of(zoo), zoo.execute("SELECT count(*) FROM loose").fetchone()) == (schema, (2,))


def test_a_view_that_a_rebuild_would_break_is_named(zoo, apply):
    zoo.execute('CREATE VIEW owners AS SELECT owner FROM "zoo (1)"')
    with pytest.raises(Refused, match=r"view 'owners' \(no such column: owner\).* needs it"):
        apply("migrator.migrate(migrator.drop_column('zoo (1)', 'owner'))")


def test_a_virtual_table_can_not_be_altered(zoo, apply):
    zoo.execute("CREATE VIRTUAL TABLE words USING fts5(a)")
    with pytest.raises(Refused, match="it is no ordinary table"):
        apply("migrator.migrate(migrator.add_not_null('words', 'a'))")


def test_a_rebuild_with_foreign_keys_on_is_refused(zoo):
    with pytest.raises(Refused, match="can't be rebuilt while foreign keys are on"):
        definition = CreateTable("CREATE TABLE loose (a)")
        rebuild(zoo.execute, zoo.execute, lambda run: run(), "loose", definition, {})


@pytest.mark.parametrize("marks", [(9, 4, 20), (9, 20, None), (9, "many", 4)], ids=str)
def test_every_id_mark_of_a_table_stays_though_sqlite_reads_the_first(connect, apply, marks):
    """Two processes of a tool that writes sqlite_sequence itself leave two rows for a table."""
    kept = "SELECT seq FROM sqlite_sequence WHERE name = 't' ORDER BY rowid"
    connect().executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);"
        "INSERT INTO t VALUES (9, 'x'); DELETE FROM t"
    )
    connect().executemany("INSERT INTO sqlite_sequence VALUES ('t', ?)", [(m,) for m in marks[1:]])
    apply("migrator.migrate(migrator.add_unique('t', 'a'))")
    assert [mark for (mark,) in connect().execute(kept)] == list(marks)
    connect().execute("INSERT INTO t (a) VALUES ('y')")
    assert connect().execute("SELECT id FROM t").fetchall() == [(10,)]


# What playhouse's rebuild does to the same.  `keeps` is true of a table that came through.

LOSSES = [
    pytest.param(
        "CREATE TABLE t (a TEXT, b TEXT);CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END",
        "add_not_null",
        "SELECT count(*) FROM sqlite_master WHERE name = 'tr'",
        id="a trigger",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, b TEXT) STRICT",
        "add_not_null",
        "SELECT strict FROM pragma_table_list WHERE name = 't'",
        id="STRICT",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, b TEXT PRIMARY KEY) WITHOUT ROWID",
        "add_not_null",
        "SELECT wr FROM pragma_table_list WHERE name = 't'",
        id="WITHOUT ROWID",
    ),
    pytest.param(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);"
        "INSERT INTO t VALUES (9, 'x'); DELETE FROM t",
        "add_not_null",
        "SELECT seq = 9 FROM sqlite_sequence WHERE name = 't'",
        id="the AUTOINCREMENT mark",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, g TEXT AS (a || '!'))",
        "add_not_null",
        "SELECT count(*) FROM pragma_table_xinfo('t') WHERE hidden = 2",
        id="a generated column",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, b TEXT DEFAULT 'a  b')",
        "add_not_null",
        "SELECT dflt_value = '''a  b''' FROM pragma_table_info('t') WHERE name = 'b'",
        id="two blanks in a default",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, -- the first\n b TEXT)",
        "add_not_null",
        "SELECT count(*) = 2 FROM pragma_table_info('t')",
        id="a comment",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, b INT CHECK (b in (1, (2), 3)))",
        "add_not_null",
        "SELECT instr(sql, 'in (1, (2), 3)') > 0 FROM sqlite_master WHERE name = 't'",
        id="nested parentheses in a CHECK",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT, b TEXT, CHECK(a <> 'x'))",
        "add_not_null",
        "SELECT instr(sql, 'CHECK(a') > 0 FROM sqlite_master WHERE name = 't'",
        id="a CHECK without a blank",
    ),
    pytest.param(
        "CREATE TABLE t (a TEXT not null, b TEXT)",
        "drop_not_null",
        "SELECT \"notnull\" = 0 FROM pragma_table_info('t') WHERE name = 'a'",
        id="not null in lower case",
    ),
    pytest.param(
        "CREATE TABLE t (A TEXT, b TEXT)",
        "add_not_null",
        "SELECT \"notnull\" FROM pragma_table_info('t') WHERE name = 'A'",
        id="a column in another case",
    ),
]


def came_through(connection, question):
    row = connection.execute(question).fetchone()
    return bool(row and row[0])


@pytest.mark.parametrize(("sql", "verb", "question"), LOSSES)
def test_objects_that_playhouse_loses_stay(connect, path, apply, sql, verb, question):
    plain = connect(":memory:")
    plain.executescript(sql)
    database = SqliteDatabase(path.with_name("plain.sqlite"))
    with database.connection_context():
        database.connection().executescript(sql)
        migrator = SqliteMigrator(database)
        try:
            migrator.migrate(getattr(migrator, verb)("t", "a", legacy=True))
        except Exception:
            kept = False  # refused with an error of its own inside
        else:
            kept = came_through(database.connection(), question)
    assert not kept, "playhouse keeps it now: the case can go"

    connect().executescript(sql)
    apply(f"migrator.migrate(migrator.{verb}('t', 'a'))")
    assert came_through(connect(), question)


FAMILY = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INT REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (1, 1), (2, 1), (3, 2);
"""


def test_children_of_on_delete_cascade_stay_where_playhouse_deletes_them(connect, path, apply):
    plain = path.with_name("plain.sqlite")
    connect(plain).executescript(FAMILY)
    database = SqliteDatabase(plain, pragmas={"foreign_keys": 1})
    with database.connection_context():
        migrator = SqliteMigrator(database)
        with database.atomic(), migrator.migration_context():
            migrator.migrate(migrator.add_not_null("parent", "name", legacy=True))
    assert connect(plain).execute("SELECT count(*) FROM child").fetchone() == (0,)

    connect().executescript(FAMILY)
    apply("migrator.migrate(migrator.add_not_null('parent', 'name'))")
    assert connect().execute("SELECT count(*) FROM child").fetchone() == (3,)


@pytest.mark.parametrize(
    "body",
    [
        "migrator.migrate(migrator.add_not_null('parent', 'name'))",
        "migrator.migrate(migrator.add_column('parent', 'x', CharField(default=lambda: 'y')))",
        "migrator.migrate(migrator.drop_column('parent', 'name'))",
        "migrator.migrate(migrator.rename_table('parent', 'elder'))",
        "migrator.migrate(migrator.rename_column('parent', 'id', 'key'))",
        "migrator.migrate(migrator.alter_column_type('child', 'parent_id', BigIntegerField()))",
        "migrator.migrate(migrator.add_foreign_key_constraint('child', 'boss', 'child', 'id', "
        "on_delete='CASCADE'))",
        "migrator.migrate(migrator.drop_foreign_key_constraint('child', 'parent_id'))",
    ],
)
def test_no_verb_loses_a_row_of_a_family(connect, apply, body):
    connect().executescript(FAMILY)
    connect().execute(
        "ALTER TABLE child ADD COLUMN boss INT REFERENCES child (id) ON DELETE CASCADE"
    )
    connect().execute("UPDATE child SET boss = 1 WHERE id > 1")
    if "'child', 'boss'" in body:
        apply("migrator.migrate(migrator.drop_foreign_key_constraint('child', 'boss'))")
    apply(body)
    parent = "elder" if "elder" in body else "parent"
    assert connect().execute(f"SELECT count(*) FROM {parent}").fetchone() == (2,)
    assert connect().execute("SELECT id, parent_id, boss FROM child").fetchall() == [
        (1, 1, None),
        (2, 1, 1),
        (3, 2, 1),
    ]
    assert connect().execute("PRAGMA foreign_key_check").fetchall() == []
    if "drop_foreign" not in body:
        key = "key" if "'key'" in body else "id"
        connect().execute(f"DELETE FROM {parent} WHERE {key} = 1")
        assert connect().execute("SELECT count(*) FROM child").fetchone() == (0,)


def test_a_rebuild_tells_names_apart_that_contain_each_other(connect, apply):
    connect().executescript(
        'CREATE TABLE a (a TEXT, aa TEXT NOT NULL, a_a TEXT, "a a" TEXT, CHECK (aa <> a_a));'
        "CREATE TABLE aa (a TEXT); CREATE INDEX a_a ON a (a_a); CREATE INDEX ai ON aa (a);"
        "CREATE TRIGGER a_tr AFTER INSERT ON a BEGIN UPDATE aa SET a = NEW.a; END;"
        "INSERT INTO a VALUES ('1', '2', '3', '4')"
    )
    before = [row for row in schema_of(connect()) if row[1] != "a"]
    apply("migrator.migrate(migrator.drop_not_null('a', 'aa'), migrator.add_not_null('a', 'a a'))")
    after = [row for row in schema_of(connect()) if row[1] not in ("a", "schema_history")]
    assert [r for r in after if r[1] != "sqlite_sequence"] == before
    assert connect().execute("SELECT * FROM a").fetchall() == [("1", "2", "3", "4")]
    assert [row[3] for row in connect().execute("PRAGMA table_info(a)")] == [0, 0, 0, 1]


def test_a_rebuild_tells_its_rows_and_not_its_id_mark(connect, make_runner):
    connect().executescript(
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);
        INSERT INTO t VALUES (-5, '1'), (0, '2'), (7, '3');
        """
    )
    body = "migrator.migrate(migrator.alter_column_type('t', 'a', IntegerField()))"
    (outcome,) = make_runner({"step": migration(body)}).up().outcomes
    assert [(s.action.value, s.rows) for s in outcome.steps] == [("alter", None), ("rebuild", 3)]


def test_names_may_be_blank_or_empty(connect, apply):
    connect().executescript(
        """CREATE TABLE " " (id INTEGER, "" TEXT); INSERT INTO " " VALUES (1, 'x')"""
    )
    apply("migrator.migrate(migrator.add_not_null(' ', ''), migrator.rename_column(' ', '', ' '))")
    assert schema_of(connect())[0][-1] == 'CREATE TABLE " " (id INTEGER, " " TEXT NOT NULL)'
    assert connect().execute('SELECT * FROM " "').fetchall() == [(1, "x")]
