"""What a change would leave broken is refused; what was broken before is neither hidden nor blamed."""

from __future__ import annotations

import pytest

from guarded.author.verify import verify
from guarded.backends.interface import Patience
from guarded.backends.sqlite import health
from guarded.errors import Refused
from guarded.run import Runner
from tests.conftest import migration, schema_of

SPEAKING = """
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price INT, parent INT REFERENCES items);
CREATE TABLE copies (id INTEGER PRIMARY KEY, name TEXT, price INT, parent INT);
CREATE TABLE totals (name TEXT, n INT);
CREATE UNIQUE INDEX totals_name ON totals (name);
CREATE INDEX items_name ON items (name);
CREATE TABLE lonely (a INT, b INT);
CREATE TABLE codes (code TEXT UNIQUE, v INT);
CREATE TABLE users_of_codes (code TEXT REFERENCES codes (code));
CREATE TRIGGER by_place AFTER DELETE ON items BEGIN INSERT INTO copies SELECT * FROM items WHERE id = OLD.id; END;
CREATE TRIGGER upsert AFTER INSERT ON items BEGIN
    INSERT INTO totals VALUES (NEW.name, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1; END;
CREATE VIEW by_index AS SELECT name FROM items INDEXED BY items_name;
CREATE VIEW both AS SELECT * FROM items UNION SELECT * FROM copies;
CREATE VIEW docs AS SELECT id AS rowid, name FROM copies;
CREATE VIRTUAL TABLE found USING fts5 (name, content = 'docs', content_rowid = 'rowid');
CREATE VIRTUAL TABLE words USING fts4 (w);
CREATE VIRTUAL TABLE terms USING fts4aux (words);
INSERT INTO items VALUES (1, 'a', 5, NULL), (2, 'b', 6, 1);
INSERT INTO codes VALUES ('x', 1);
INSERT INTO users_of_codes VALUES ('x');
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(SPEAKING)
    return connection


BREAKS = [
    pytest.param("add_column('items', 'come', IntegerField(null=True))", "trigger 'by_place'", id="a list without names gets too long"),
    pytest.param("add_column('copies', 'come', IntegerField(null=True))", "view 'both'", id="the halves of a UNION"),
    pytest.param("drop_index('totals', 'totals_name')", "trigger 'upsert'", id="the index of an upsert"),
    pytest.param("drop_index('items', 'items_name')", "view 'by_index'", id="an index by its name"),
    pytest.param("drop_constraint('codes', 'uniq_code')", "the foreign key of table 'users_of_codes'", id="the UNIQUE of a key"),
    pytest.param("drop_column('copies', 'price')", "error in view both after drop column", id="a column of a list without names"),
    pytest.param("rename_table('words', 'terms_of')", "table 'terms'", id="the words of another table"),
    pytest.param("drop_table('words')", "table 'terms'", id="a table that another reads"),
    pytest.param("add_foreign_key_constraint('lonely', 'a', 'totals', 'n')", "the foreign key of table 'lonely'", id="a key to what is not unique"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "names"), BREAKS)
def test_a_verb_that_breaks_another_object_is_refused(database, make_runner, verb, names):
    before = schema_of(database)
    runner = make_runner({"step": migration(f"migrator.migrate(migrator.{verb})")})
    with pytest.raises(Refused, match=names):
        runner.forecast()
    with pytest.raises(Refused, match=names):
        runner.up()
    assert schema_of(database) == before


def test_a_view_that_is_the_content_of_an_index_keeps_its_rowid(database):
    # SQLite gives every view a rowid, which is NULL: the index would find nothing any more.
    before = health.ailments(database.execute)
    for statement in ("DROP VIEW docs", "CREATE VIEW docs AS SELECT id, name FROM copies"):
        database.execute(statement)
    after = health.ailments(database.execute)
    assert [(str(t), why) for t, why in after.items() if t not in before] == [
        ("found", "no such column: rowid")
    ]


def test_what_was_broken_before_stops_nothing(database, make_runner):
    database.executescript(
        """
        CREATE TABLE gone (a INT);
        CREATE VIEW over_gone AS SELECT a FROM gone;
        CREATE TRIGGER slip AFTER UPDATE ON lonely BEGIN INSERT INTO gone VALUES (NEW.nowhere); END;
        CREATE TRIGGER sound AFTER DELETE ON lonely BEGIN UPDATE lonely SET a = 0; END;
        DROP TABLE gone;
        """
    )
    verbs = (
        "m.rename_column('lonely', 'a', 'c')",
        "m.drop_column('lonely', 'b')",
        "m.add_not_null('lonely', 'c')",
        "m.rename_table('lonely', 'alone')",
    )
    body = "m = migrator\n" + "\n".join(f"m.migrate({verb})" for verb in verbs)
    make_runner({"step": migration(body)}).up()
    assert database.execute("SELECT sql FROM sqlite_master WHERE name = 'alone'").fetchall() == [
        ('CREATE TABLE "alone" ("c" INT NOT NULL)',)
    ]
    triggers = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'alone' AND type = 'trigger'"
    assert database.execute(triggers).fetchall() == [
        ("slip", 'CREATE TRIGGER slip AFTER UPDATE ON "alone" BEGIN INSERT INTO gone VALUES (NEW.nowhere); END'),
        ("sound", 'CREATE TRIGGER sound AFTER DELETE ON "alone" BEGIN UPDATE "alone" SET "c" = 0; END'),
    ]  # fmt: skip


def test_another_reason_is_new_damage(database):
    database.executescript(
        "CREATE TABLE one (a INT, b INT); CREATE VIEW v AS SELECT a, b, c FROM one;"
    )
    before = health.ailments(database.execute)
    database.execute("DROP TABLE one")
    after = health.ailments(database.execute)
    changed = {str(t): (before[t], why) for t, why in after.items() if before.get(t) != why}
    assert changed == {"v": ("no such column: c", "no such table: main.one")}


def test_the_same_texts_are_compiled_once(database, monkeypatch):
    health.ailments(database.execute)
    tried = []
    monkeypatch.setattr(health, "_reason", lambda clone, stand_ins, s: tried.append(s.item.name))
    health.ailments(database.execute)
    assert tried == []
    database.execute("ALTER TABLE totals ADD COLUMN more")
    health.ailments(database.execute)
    assert tried == ["upsert"]


def test_a_key_that_pointed_nowhere_before_is_no_damage_of_the_run(connect, make_runner):
    connect().executescript(
        """
        PRAGMA foreign_keys = OFF;
        CREATE TABLE a (id INTEGER PRIMARY KEY);
        CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a (id), again INT);
        INSERT INTO b VALUES (1, 55, NULL);
        """
    )
    # A second key changes the number that SQLite gives the first.
    body = "migrator.migrate(migrator.add_foreign_key_constraint('b', 'again', 'a', 'id'))"
    make_runner({"step": migration(body)}).up()
    rows = connect().execute("PRAGMA foreign_key_check").fetchall()
    assert [row[:3] for row in rows] == [("b", 1, "a")]


def test_the_content_of_an_index_may_need_a_function_of_the_application(connect, make_runner):
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT, kind INT);
        CREATE VIEW content AS SELECT id AS rowid, app_title(name) AS title FROM docs;
        CREATE VIRTUAL TABLE found USING fts4 (content="content", title);
        INSERT INTO docs VALUES (1, 'a', 2);
        """
    )
    verbs = "m.add_index('docs', ('kind',)), m.rename_column('docs', 'kind', 'sort'), m.rename_table('found', 'search')"
    runner = make_runner({"step": migration(f"m = migrator\nm.migrate({verbs})")})
    assert runner.forecast().findings == ()
    runner.up()
    assert connection.execute("SELECT sort FROM docs").fetchall() == [(2,)]


def test_each_of_several_triggers_for_one_event_is_tried(connect, make_runner):
    connect().executescript(
        """
        CREATE TABLE words (a TEXT);
        CREATE TABLE kept (a TEXT);
        CREATE VIEW seen AS SELECT a FROM kept;
        CREATE TRIGGER first INSTEAD OF INSERT ON seen BEGIN INSERT INTO words VALUES (NEW.a); END;
        CREATE TRIGGER second INSTEAD OF INSERT ON seen BEGIN INSERT INTO kept VALUES (NEW.a); END;
        INSERT INTO kept VALUES ('x');
        """
    )
    body = "migrator.migrate(migrator.add_column('kept', 'b', TextField(null=True)))"
    runner = make_runner({"step": migration(body)})
    says = r"trigger 'second' \(table kept has 2 columns but 1 values were supplied\) needs it"
    with pytest.raises(Refused, match=says):
        runner.forecast()


UNSCANNABLE = [
    pytest.param("fts5 (body, content='', columnsize=0)", id="FTS5 that keeps no sizes"),
    pytest.param("fts4 (content='', body)", id="FTS4"),
    pytest.param("fts5 (body, content='')", id="FTS5"),
]


@pytest.mark.parametrize("module", UNSCANNABLE)
def test_a_search_index_that_can_only_be_searched_is_sound(connect, make_project, file, module):
    create = f"CREATE VIRTUAL TABLE IF NOT EXISTS found USING {module}"
    project = make_project(
        {
            "search": migration(
                f'migrator.migrate(migrator.sql("{create}"))',
                'migrator.migrate(migrator.drop_table("found"))',
            )
        }
    )
    (verdict,) = verify(project, file)
    assert verdict.findings == []
    runner = Runner(project, file, Patience(5), backup=False)
    runner.up()
    connect().execute("INSERT INTO found (rowid, body) VALUES (7, 'a b')")
    assert [(str(loss.target), loss.rows) for loss in runner.losses()] == [("found", 1)]
    runner.down()


def test_a_virtual_table_that_wants_an_argument_is_sound(connect, make_project, file):
    create = "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts3tokenize ('porter')"
    up = f'migrator.migrate(migrator.sql("{create}"))'
    down = "migrator.migrate(migrator.drop_table('words'))"
    (verdict,) = verify(make_project({"words": migration(up, down)}), file)
    assert verdict.findings == []


def test_a_trigger_that_never_fires_must_not_be_left_without_its_table(connect, make_runner):
    """SQLite would refuse every later rename."""
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE items (id INTEGER PRIMARY KEY, g AS (id + 1));
        CREATE TABLE log (n INT);
        CREATE TRIGGER noting AFTER UPDATE OF g ON items WHEN NEW.g > 0 BEGIN
            INSERT INTO log VALUES (NEW.g); END;
        INSERT INTO items (id) VALUES (1);
        INSERT INTO log VALUES (7);
        """
    )
    runner = make_runner({"step": migration("migrator.migrate(migrator.drop_table('log'))")})
    with pytest.raises(Refused, match="noting"):
        runner.up()
    assert connection.execute("SELECT n FROM log").fetchall() == [(7,)]
