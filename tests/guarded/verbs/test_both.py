"""Every verb on both kinds of database: does it, does it once, refuses with a reason."""

from __future__ import annotations

import pytest

from guarded.errors import MigrationFailed, Refused


@pytest.fixture
def database(world):
    """Rows, foreign keys, a trigger and a view."""
    world.run(
        "CREATE TABLE parent (id SERIAL, name TEXT NOT NULL, note TEXT, amount INTEGER DEFAULT 5)",
        "CREATE TABLE child (id SERIAL, parent_id INTEGER REFERENCES parent (id) ON DELETE CASCADE,"
        " boss INTEGER REFERENCES child (id) ON DELETE CASCADE,"
        " score INTEGER CHECK (score >= 0))",
        "CREATE INDEX parent_note ON parent (note)",
        "CREATE INDEX parent_some ON parent (amount) WHERE amount > 1",
        "CREATE INDEX parent_both ON parent (name, amount)",
        "CREATE TABLE log (what TEXT)",
        "CREATE VIEW rich AS SELECT p.name FROM parent AS p WHERE p.amount > 100",
    )
    world.trigger(
        "parent_note_set", "UPDATE OF note", "parent", "INSERT INTO log VALUES (NEW.note)"
    )
    world.run(
        "INSERT INTO parent (name, note, amount) VALUES ('a', 'x', 7), ('b', NULL, 700), "
        "('c', 'z', 0)",
        "INSERT INTO child (parent_id, boss, score) VALUES (1, NULL, 3), (1, 1, 4)",
    )
    return world


# Verb, its steps the first time, or the reason of its refusal, and its steps the second time.
TWICE = [
    pytest.param(
        "add_column('parent', 'email', CharField(null=True))",
        [("add", "parent.email", "")],
        [("skip", "parent.email", "already there")],
        id="add_column",
    ),
    pytest.param(
        "add_column('parent', 'kind', CharField(default=\"it's 100 %\", index=True))",
        [("add", "parent.kind", ""), ("create", "parent_kind", "")],
        [("skip", "parent.kind", "already there")],
        id="add_column with an index",
    ),
    pytest.param(
        "add_column('parent', 'since', DateTimeField(default=datetime.datetime.now))",
        [("add", "parent.since", "")],
        [("skip", "parent.since", "already there")],
        id="add_column with a callable",
    ),
    pytest.param(
        "add_column('parent', 'key', UUIDField(default=uuid.uuid4, unique=True))",
        [
            ("add", "parent.key", ""),
            ("fill", "parent.key", ""),
            ("alter", "parent.key", "not null"),
            ("create", "parent_key", ""),
        ],
        [("skip", "parent.key", "already there")],
        id="add_column with a value for each",
    ),
    pytest.param(
        "add_column('parent', 'one', CharField())",
        "parent.one is not null but has no default",
        None,
        id="add_column without a value",
    ),
    pytest.param(
        "add_column('parent', 'note', IntegerField(null=True))",
        "table 'parent' has another column 'note'",
        None,
        id="add_column where another is",
    ),
    pytest.param(
        "add_column('child', 'other_id', Child.other)",
        [("add", "child.other_id", ""), ("create", "child_other_id", "")],
        [("skip", "child.other_id", "already there")],
        id="add_column with a foreign key",
    ),
    pytest.param(
        "drop_column('parent', 'note')",
        "trigger 'parent_note_set' needs it",
        None,
        id="drop_column of a trigger",
    ),
    pytest.param(
        "drop_column('parent', 'amount')",
        "column parent.amount can't be dropped: index 'parent_both'",
        None,
        id="drop_column of an index of two",
    ),
    pytest.param(
        "drop_column('parent', 'id')",
        "column parent.id can't be dropped: the primary key, the foreign key of table 'child' needs",
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
        [("drop", "child.parent_id", "2 values kept")],
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
        "rename_column('parent', 'name', 'title')",
        [("rename", "parent.name", "to title")],
        [("skip", "parent.title", "already renamed from name")],
        id="rename_column of a view and indexes",
    ),
    pytest.param(
        "rename_column('parent', 'name', 'note')",
        "there is a column 'note' too",
        None,
        id="rename_column onto another",
    ),
    pytest.param(
        "rename_column('parent', 'nme', 'other')",
        "table 'parent' has no column 'nme' to rename; did you mean 'name'",
        None,
        id="rename_column of none",
    ),
    pytest.param(
        "rename_table('parent', 'elder')",
        [("rename", "parent", "to elder")],
        [("skip", "elder", "already renamed from parent")],
        id="rename_table",
    ),
    pytest.param(
        "rename_table('log', 'child')",
        "there is a table 'child' too",
        None,
        id="rename_table onto another",
    ),
    pytest.param(
        "drop_table('parent')", "table 'child' refers to it", None, id="drop_table of a parent"
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
        "add_index('parent', ('amount',), where=SQL('amount > 1'), name='other')",
        [("skip", "other", "already there as parent_some")],
        [("skip", "other", "already there as parent_some")],
        id="add_index of a part under another name",
    ),
    pytest.param(
        "add_index('child', ('gone',))",
        "table 'child' has no column 'gone'",
        None,
        id="add_index on a column that is gone",
    ),
    pytest.param(
        "add_index('child', ('score',), name='parent_both')",
        "belongs to index 'parent_both' of table 'parent'; rename",
        None,
        id="add_index with a name that is taken",
    ),
    pytest.param(
        "add_index('parent', ('amount',), True, name='parent_note')",
        "table 'parent' has another index 'parent_note'",
        None,
        id="add_index of another shape",
    ),
    pytest.param(
        "drop_index('parent', 'parent_some')",
        [("drop", "parent_some", "")],
        [("skip", "parent_some", "not there")],
        id="drop_index",
    ),
    pytest.param(
        "add_not_null('child', 'score')",
        [("alter", "child.score", "not null")],
        [("skip", "child.score", "already not null")],
        id="add_not_null",
    ),
    pytest.param(
        "add_not_null('parent', 'note')",
        "parent.note can't be made not null: 1 row has no value there; give them one first",
        None,
        id="add_not_null where there is NULL",
    ),
    pytest.param(
        "drop_not_null('parent', 'name')",
        [("alter", "parent.name", "nullable")],
        [("skip", "parent.name", "already nullable")],
        id="drop_not_null",
    ),
    pytest.param(
        "add_column_default('parent', 'note', 'a, b')",
        [("alter", "parent.note", "default 'a, b'")],
        [("skip", "parent.note", "default already 'a, b'")],
        id="add_column_default",
    ),
    pytest.param(
        "add_column_default('parent', 'amount', -1)",
        [("alter", "parent.amount", "default -1")],
        [("skip", "parent.amount", "default already -1")],
        id="add_column_default of a negative number",
    ),
    pytest.param(
        "add_column_default('parent', 'note', SQL('CURRENT_TIMESTAMP'))",
        [("alter", "parent.note", "default CURRENT_TIMESTAMP")],
        [("skip", "parent.note", "default already CURRENT_TIMESTAMP")],
        id="add_column_default in SQL",
    ),
    pytest.param(
        "add_column_default('parent', 'note', SQL(\"lower('A') || 'b'\"))",
        [("alter", "parent.note", "default (lower('A') || 'b')")],
        [("skip", "parent.note", "default already (lower('A') || 'b')")],
        id="add_column_default of an expression",
    ),
    pytest.param(
        "drop_column_default('parent', 'amount')",
        [("alter", "parent.amount", "no default")],
        [("skip", "parent.amount", "has no default")],
        id="drop_column_default",
    ),
    pytest.param(
        "alter_column_type('child', 'score', FloatField())",
        [("alter", "child.score", "REAL")],
        [("skip", "child.score", "already REAL")],
        id="alter_column_type",
    ),
    pytest.param(
        "add_constraint('parent', 'has_name', Check('name <> \\'\\''))",
        [("add", "parent.has_name", "")],
        [("skip", "parent.has_name", "already there")],
        id="add_constraint",
    ),
    pytest.param(
        "add_constraint('parent', 'one_of', Check(\"name IN ('a', 'b', 'c')\"))",
        [("add", "parent.one_of", "")],
        [("skip", "parent.one_of", "already there")],
        id="add_constraint that is spelled anew",
    ),
    pytest.param(
        "add_constraint('parent', 'some', Check('amount > 0'))",
        "parent.some can't be added: 1 row has a value that it forbids",
        None,
        id="add_constraint that rows break",
    ),
    pytest.param(
        "add_unique('parent', 'name', 'note')",
        [("add", "parent.uniq_name_note", "")],
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
        "child.score can't refer to parent.id: 1 row has a value that is not there; change those",
        None,
        id="add_foreign_key_constraint that dangles",
    ),
    pytest.param(
        "add_foreign_key_constraint('child', 'parent_id', 'parent', 'id', 'SET NULL')",
        "already refers to 'parent' on delete CASCADE on update NO ACTION",
        None,
        id="add_foreign_key_constraint with other actions",
    ),
    pytest.param(
        "drop_foreign_key_constraint('child', 'boss')",
        [("drop", "foreign key on child.boss", "")],
        [("skip", "foreign key on child.boss", "not there")],
        id="drop_foreign_key_constraint",
    ),
    pytest.param(
        "fill('parent', 'note', \"'n' || id\", where='id > 1')",
        [("fill", "parent.note", "while parent_note_set rest")],
        [("fill", "parent.note", "while parent_note_set rest")],
        id="fill",
    ),
    pytest.param(
        "apply_default('parent', 'note', CharField(default='?'))",
        [("fill", "parent.note", "while parent_note_set rest")],
        [("skip", "parent.note", "no row to change")],
        id="apply_default",
    ),
    pytest.param("add_not_null('nope', 'a')", "there is no table 'nope'", None, id="no such table"),
    pytest.param(
        "add_not_null('child', 'nope')",
        "table 'child' has no column 'nope'",
        None,
        id="no such column",
    ),
]
IMPORTS = """
import datetime, uuid
class Parent(Model):
    class Meta:
        table_name = 'parent'
class Child(Model):
    other = ForeignKeyField(Parent, null=True, on_delete='SET NULL')
"""


@pytest.mark.parametrize(("verb", "first", "second"), TWICE)
def test_a_verb_acts_once_then_skips_or_refuses(database, verb, first, second):
    before, counts = database.schema(), database.counts()
    body = f"{IMPORTS}migrator.migrate(migrator.{verb})"
    if isinstance(first, str):
        with pytest.raises(Refused, match=first):
            database.apply(body)
        assert (database.schema(), database.counts()) == (before, counts)
        return
    assert database.apply(body) == first
    after = database.schema()
    assert database.apply(body) == second
    assert database.schema() == after
    renamed = {"elder": "parent"}
    now = {renamed.get(name, name): rows for name, rows in database.counts().items()}
    assert now == {name: rows for name, rows in counts.items() if name in now}
    assert database.rows("SELECT * FROM log") == []
    # The other objects are there and work.
    assert database.rows("SELECT * FROM rich") == [("b",)]
    if "name" not in verb and "drop_table" not in verb and "fill" not in verb:
        database.run("UPDATE parent SET note = 'y' WHERE id = 1")
        assert database.rows("SELECT * FROM log") == [("y",)]


def test_a_new_column_has_its_default_in_every_row(database):
    database.apply(
        """
        migrator.migrate(
            migrator.add_column('parent', 'is_on', BooleanField(default=False)),
            migrator.add_column('parent', 'size', FloatField(default=1.5)),
            migrator.add_column('parent', 'day', DateField(constraints=[Default("'2025-01-01'")])),
        )
        """
    )
    database.run("INSERT INTO parent (name) VALUES ('d')")
    rows = database.rows("SELECT DISTINCT is_on, size, CAST(day AS VARCHAR(10)) FROM parent")
    assert rows == [(False, 1.5, "2025-01-01")]


def test_the_values_for_each_row_differ(database):
    database.apply(
        "import itertools\n"
        "count = itertools.count(10)\n"
        "field = IntegerField(default=lambda: next(count), unique=True)\n"
        "migrator.migrate(migrator.add_column('parent', 'number', field))"
    )
    assert sorted(database.rows("SELECT number FROM parent")) == [(10,), (11,), (12,)]


def test_fill_and_its_trigger(database):
    fill = "migrator.fill('parent', 'note', \"'n' || id\", where=\"id > 1 AND note LIKE 'z%'\")"
    database.apply(f"migrator.migrate({fill})")
    assert database.rows("SELECT note FROM parent ORDER BY id") == [("x",), (None,), ("n3",)]
    assert database.rows("SELECT * FROM log") == []


def test_a_new_unique_index_on_duplicates_fails_with_the_statement(database):
    database.run("DROP TRIGGER parent_note_set" + " ON parent" * (not database.is_sqlite))
    database.run("UPDATE parent SET note = 'same'")
    with pytest.raises(MigrationFailed, match="CREATE UNIQUE INDEX"):
        database.apply("migrator.migrate(migrator.add_index('parent', ('note',), True, name='u'))")


def test_several_changes_of_a_table(database):
    database.apply(
        """
        migrator.migrate(
            migrator.add_not_null('child', 'score'),
            migrator.add_column_default('child', 'score', 1),
            migrator.add_column('child', 'since', CharField(default=lambda: 'now')),
            migrator.drop_column('child', 'boss'),
            migrator.rename_table('child', 'kid'),
            migrator.rename_column('kid', 'score', 'points'),
        )
        """
    )
    database.run("INSERT INTO kid (since) VALUES ('x')")
    assert database.rows("SELECT id, parent_id, points, since FROM kid ORDER BY id") == [
        (1, 1, 3, "now"),
        (2, 1, 4, "now"),
        (3, None, 1, "x"),
    ]


def test_a_model_completes_an_older_table(database):
    body = """
    class Parent(Model):
        name = CharField()
        note = CharField(null=True, constraints=[Default("'none'")])
        amount = IntegerField(null=True, constraints=[Default(5)])
        created = DateTimeField(constraints=[Default('CURRENT_TIMESTAMP')])
        is_on = BooleanField(constraints=[Default(0)])
        nick = CharField(unique=True, null=True)
        class Meta:
            table_name = 'parent'
    migrator.migrate(migrator.complete_table(Parent))
    """
    if not database.is_sqlite:  # where VARCHAR is not TEXT
        body = body.replace("CharField()", "TextField()").replace(
            "note = CharField", "note = TextField"
        )
    assert database.apply(body) == [
        ("alter", "parent.note", "default 'none'"),
        ("add", "parent.created", ""),
        ("add", "parent.is_on", ""),
        ("add", "parent.nick", ""),
        ("create", "parent_nick", ""),
    ]
    database.run("INSERT INTO parent (name) VALUES ('d')")
    assert database.rows(
        "SELECT note, amount, is_on, created > '2020-01-01' FROM parent WHERE name = 'd'"
    ) == [("none", 5, False, True)]
    assert database.apply(body) == [("skip", "parent", "complete")]


def test_a_down_brings_back_what_up_dropped(database):
    from tests.conftest import migration

    files = {
        "drop": migration(
            "migrator.migrate(migrator.drop_column('parent', 'amount'),"
            " migrator.drop_table('child'))".replace(
                "migrator.drop_column",
                "migrator.drop_index('parent', 'parent_both'), "
                "migrator.sql('DROP VIEW rich'), migrator.drop_column",
                1,
            ),
            """
            class Parent(Model):
                class Meta:
                    table_name = 'parent'
            class Child(Model):
                parent = ForeignKeyField(Parent, null=True, index=False)
                boss = IntegerField(null=True)
                score = IntegerField(null=True)
                class Meta:
                    table_name = 'child'
            migrator.migrate(
                migrator.add_column('parent', 'amount', IntegerField(null=True)),
                migrator.create_table(Child),
            )
            """,
        )
    }
    runner = database.runner(files)
    runner.up()
    database.run("INSERT INTO parent (name) VALUES ('new')")
    assert runner.losses() == []
    runner.down()
    assert database.rows("SELECT name, amount FROM parent ORDER BY id") == [
        ("a", 7),
        ("b", 700),
        ("c", 0),
        ("new", None),
    ]
    assert database.rows("SELECT * FROM child ORDER BY id") == [(1, 1, None, 3), (2, 1, 1, 4)]
    database.run("INSERT INTO child (score) VALUES (5)")  # the ids go on
    assert database.rows("SELECT max(id) FROM child") == [(3,)]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        pytest.param(
            "add_column_default('child', 'score', 3), migrator.drop_column('child', 'score')",
            "add_column('child', 'score', IntegerField(null=True)), "
            "migrator.add_column_default('child', 'score', 3), "
            "migrator.drop_column_default('child', 'score')",
            id="dropped with its column",
        ),
        pytest.param(
            "add_column_default('child', 'score', 3), migrator.drop_column_default('child', 'score')",
            "add_column_default('child', 'score', 3), migrator.drop_column_default('child', 'score')",
            id="dropped",
        ),
        pytest.param(
            "add_column_default('child', 'score', 3), migrator.add_column_default('child', 'score', 4)",
            "add_column_default('child', 'score', 3), migrator.add_column_default('child', 'score', 9)",
            id="changed",
        ),
    ],
)
def test_a_default_that_up_found_is_there_after_down(database, up, down):
    from tests.conftest import migration

    database.run(
        "ALTER TABLE child DROP COLUMN score", "ALTER TABLE child ADD COLUMN score INT DEFAULT 3"
    )
    runner = database.runner(
        {"one": migration(f"migrator.migrate(migrator.{up})", f"migrator.migrate(migrator.{down})")}
    )
    runner.up()
    runner.down()
    database.run("INSERT INTO child (boss) VALUES (2)")
    assert database.rows("SELECT score FROM child WHERE boss = 2") == [(3,)]
