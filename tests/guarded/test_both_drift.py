"""Drift, `new --from-models` and verify on both kinds of database."""

from __future__ import annotations

import pytest
from peewee import (
    BooleanField,
    CharField,
    Check,
    DateTimeField,
    Default,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from guarded.author import new, sample
from guarded.author.verify import verify
from guarded.operate.check import check
from guarded.patience import Patience
from guarded.run import Runner
from guarded.steps import table as table_of


class Tag(Model):
    label = CharField(unique=True)
    size = IntegerField(default=1, constraints=[Check("size > 0")])
    is_on = BooleanField(default=False, constraints=[Default(0)])
    made = DateTimeField(constraints=[Default("CURRENT_TIMESTAMP")])

    class Meta:
        table_name = "Tags"


class Note(Model):
    tag = ForeignKeyField(Tag, on_delete="CASCADE")
    text = TextField(null=True, constraints=[Default("'it''s'")])
    weight = FloatField(null=True, index=True)

    class Meta:
        table_name = "notes"
        indexes = ((("tag", "weight"), True),)


@pytest.fixture
def made(world):
    """A project whose migration was written from the models, and what ran it."""
    runner = world.runner({}, persistent=(Tag, Note))
    text = new.from_models(runner.project, world.backend, "make_tables", lambda question: None)
    assert text is not None
    (runner.project.directory / "make_tables.py").write_text(text)
    project = runner.project._replace(listed=["make_tables"])
    Runner(project, world.backend, Patience(5), backup=False).up()
    world.run("""INSERT INTO "Tags" (label, size) VALUES ('red', 2), ('blue', 3)""")
    world.run("INSERT INTO notes (tag_id, weight) VALUES (1, 0.5), (2, 1.5)")
    return world, project


def difference(made):
    world, project = made
    found = check(Runner(project, world.backend))
    return {(d.severity.value, d.kind, d.subject) for d in found}


def test_models_and_their_migration_do_not_differ(made):
    world, project = made
    assert difference(made) == set()
    assert new.from_models(project, world.backend, "more", lambda question: None) is None
    assert world.rows('SELECT is_on, label FROM "Tags" ORDER BY id') == [
        (False, "red"),
        (False, "blue"),
    ]


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("ALTER TABLE notes RENAME COLUMN text TO body", ("breaks", "column", "text")),
        ("ALTER TABLE notes ADD COLUMN extra INTEGER", ("extra", "column", "extra")),
        ("DROP TABLE notes", ("breaks", "table", "notes")),
        ("CREATE TABLE other (id INTEGER)", ("extra", "table", "other")),
        ("DROP INDEX note_weight", ("differs", "index", "index on (weight)")),
        ("CREATE INDEX more ON notes (text)", ("extra", "index", "index on (text)")),
        (
            "CREATE UNIQUE INDEX more ON notes (text) WHERE weight > 1",
            ("extra", "index", None),
        ),
    ],
)
def test_drift_is_told(made, statement, wanted):
    made[0].run(statement)
    found = difference(made)
    assert any(f[:2] == wanted[:2] and wanted[2] in (None, f[2]) for f in found), found


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("ALTER TABLE notes ALTER COLUMN weight SET NOT NULL", ("breaks", "nullability", "weight")),
        ('ALTER TABLE "Tags" ALTER COLUMN size DROP NOT NULL', ("differs", "nullability", "size")),
        ("ALTER TABLE notes ALTER COLUMN text TYPE VARCHAR(9)", ("differs", "type", "text")),
        ("ALTER TABLE notes ALTER COLUMN text SET DEFAULT 'x'", ("differs", "default", "text")),
        ('ALTER TABLE "Tags" ALTER COLUMN id DROP DEFAULT', ("breaks", "primary key", "")),
        ("ALTER TABLE notes DROP CONSTRAINT notes_tag_id_fkey", ("differs", "foreign key", None)),
        ('ALTER TABLE "Tags" DROP CONSTRAINT "Tags_size_check"', ("differs", "check", None)),
        (
            'ALTER TABLE notes ALTER COLUMN text TYPE text COLLATE "C"',
            ("differs", "collation", "text"),
        ),
    ],
)
@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_drift_that_postgresql_alone_can_make_by_a_statement(made, statement, wanted):
    made[0].run(statement)
    found = difference(made)
    assert any(f[:2] == wanted[:2] and wanted[2] in (None, f[2]) for f in found), found


def test_a_migration_from_models_holds(made):
    world, project = made
    assert [verdict.findings for verdict in verify(project, world.backend)] == [[]]


def test_a_change_is_written_and_keeps_the_rows(made):
    world, project = made

    class NewTag(Model):
        label = CharField(unique=True)
        size = IntegerField(default=1)
        color = CharField(default="grey")
        is_on = BooleanField(default=True, constraints=[Default(1)])
        made = DateTimeField(constraints=[Default("CURRENT_TIMESTAMP")])

        class Meta:
            table_name = "Tags"

    class NewNote(Model):
        tag = ForeignKeyField(NewTag, on_delete="RESTRICT")
        text = TextField(default="")
        weight = FloatField(null=True)

        class Meta:
            table_name = "notes"
            indexes = ((("weight", "tag"), False),)

    models = project.models()._replace(persistent=(NewTag, NewNote))
    project = project._replace(models=lambda: models)
    text = new.from_models(project, world.backend, "change", lambda question: None)
    assert text is not None and "DECIDE" not in text, text
    (project.directory / "change.py").write_text(text)
    project = project._replace(listed=["make_tables", "change"])
    runner = Runner(project, world.backend, Patience(5), backup=False)
    runner.up()
    assert not list(check(runner))
    assert world.rows('SELECT label, size, color, is_on FROM "Tags" ORDER BY id') == [
        ("red", 2, "grey", False),
        ("blue", 3, "grey", False),
    ]
    assert world.rows("SELECT tag_id, text, weight FROM notes ORDER BY id") == [
        (1, "it's", 0.5),
        (2, "it's", 1.5),
    ]
    runner.down()
    before = project._replace(
        listed=["make_tables"], models=lambda: models._replace(persistent=(Tag, Note))
    )
    assert difference((world, before)) == {("differs", "file", "change.py")}
    assert world.rows("SELECT tag_id, text, weight FROM notes ORDER BY id") == [
        (1, "it's", 0.5),
        (2, "it's", 1.5),
    ]


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_a_written_down_has_fields_of_peewee(made):
    world, project = made

    class Bare(Model):
        class Meta:
            table_name = "Tags"

    models = project.models()._replace(persistent=(Bare,))
    project = project._replace(models=lambda: models)
    text = new.from_models(project, world.backend, "drop", lambda question: None)
    assert text is not None and "(Field)" not in text, text
    for field in ("BooleanField(", "DateTimeField(", "CharField("):
        assert field in text
    (project.directory / "drop.py").write_text(text)
    project = project._replace(listed=["make_tables", "drop"])
    before = world.schema()[0]
    runner = Runner(project, world.backend, Patience(5), backup=False)
    runner.up()
    runner.down()
    after = {**world.schema()[0], table_of("Tags"): None, table_of("schema_history"): None}
    assert after == {**before, table_of("Tags"): None, table_of("schema_history"): None}
    assert sorted(world.rows("SELECT tag_id, text, weight FROM notes")) == [
        (1, "it's", 0.5),
        (2, "it's", 1.5),
    ]


def test_generated_rows_fill_every_table(made):
    world, _ = made
    with world.backend.transaction(Patience(5)) as session:
        before = session.inspector.count("Tags"), session.inspector.count("notes")
        assert sample.fill(session, world.backend.names) == []
        after = session.inspector.count("Tags"), session.inspector.count("notes")
    assert all(now > then + 1 for then, now in zip(before, after))
