"""A promise that is broken is named, and where; what holds, holds."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from peewee import CharField, Model

from guarded.author.verify import verify
from guarded.backends.sqlite.connect import SqliteFile
from guarded.findings import Severity
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests.conftest import migration
from tests.guarded.test_run import ADD, CREATE


def findings(project):
    return {
        verdict.name: [f.sentence for f in verdict.findings if f.severity is Severity.PROBLEM]
        for verdict in verify(project, SqliteFile(Path()))
    }


def test_our_four_migrations_hold():
    assert findings(PROJECT) == {name: [] for name in MIGRATIONS}


def test_a_good_migration_has_no_finding(make_project):
    assert findings(make_project({"create": CREATE, "add": ADD})) == {"create": [], "add": []}


@pytest.mark.parametrize(
    ("up", "down"),
    [
        pytest.param(
            "alter_column_type('tags', 'size', TextField())",
            "alter_column_type('tags', 'size', IntegerField())",
            id="a number is text and a number again",
        ),
        pytest.param(
            "drop_not_null('tags', 'label')",
            "apply_default('tags', 'label', CharField(default='-')),"
            " migrator.add_not_null('tags', 'label')",
            id="what has no value gets one",
        ),
        pytest.param(
            "add_column('tags', 'color', CharField(null=True))",
            "sql('UPDATE OR IGNORE main.tags SET (size, label) = (size + 1, hex(label)), rank = 2 '"
            " 'WHERE size > 0'), migrator.drop_column('tags', 'color')",
            id="what an UPDATE says it sets",
        ),
        pytest.param(
            "apply_default('tags', 'label', CharField(default='-')),"
            " migrator.fill('tags', 'size', '7', where='size IS NULL')",
            "sql('UPDATE tags SET label = label, size = size')",
            id="rows that still need it",
        ),
        pytest.param(
            "rename_table('tags', 'labels'), migrator.rename_column('labels', 'label', 'text')",
            "rename_column('labels', 'text', 'label'), migrator.rename_table('labels', 'tags')",
            id="what it renames",
        ),
    ],
)
def test_a_down_may_lose_rows_that_it_announces(make_project, up, down):
    create = migration(
        "migrator.migrate(migrator.sql('CREATE TABLE IF NOT EXISTS tags (id INTEGER PRIMARY KEY,"
        " size INTEGER, label TEXT NOT NULL, rank INTEGER)'))",
        "migrator.migrate(migrator.drop_table('tags'))",
    )
    trial = migration(*(f"migrator.migrate(migrator.{verbs})" for verbs in (up, down)))
    assert findings(make_project({"create": create, "trial": trial})) == {"create": [], "trial": []}


DROP_COLOR = "migrator.migrate(migrator.drop_column('tags', 'color'))"


@pytest.mark.parametrize(
    ("up", "down", "says"),
    [
        pytest.param(
            "migrator.migrate(migrator.add_column('tags', 'color', CharField(null=True)),"
            " migrator.add_index('tags', ('name',)))",
            DROP_COLOR,
            [
                "down does not restore the schema of before: table 'tags': index on (name) was not there"
            ],
            id="down forgets an index",
        ),
        pytest.param(
            "migrator.migrate(migrator.add_column('tags', 'color', CharField(default='red')))",
            "pass",
            [
                "down does not restore the schema of before: table 'tags': column 'color' was not there"
            ],
            id="down forgets everything",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('INSERT INTO tags (name) VALUES (1)'))",
            "pass",
            ["up again changes rows of table 'tags'"],
            id="up twice adds twice",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('ALTER TABLE tags ADD COLUMN color TEXT'))",
            DROP_COLOR,
            [
                "up can't be run again: up of 'trial' failed: duplicate column "
                "name: color (sql, line 7 of trial.py); the last statement was: ALTER TABLE tags ADD "
                "COLUMN color TEXT"
            ],
            id="up twice fails",
        ),
        pytest.param(
            "migrator.migrate(migrator.add_column('tags', 'color', CharField(null=True)))\n"
            "migrator.migrate(migrator.sql('WITH x AS (SELECT 1) DELETE FROM \"tags\" WHERE id > 3'))",
            DROP_COLOR,
            ["up again changes rows of table 'tags'"],
            id="rows that up says it deletes, each time",
        ),
        pytest.param(
            "migrator.migrate(migrator.drop_table('tags'))\n"
            "migrator.migrate(migrator.sql('CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT)'))",
            "pass",
            [
                "up loses 6 of 6 rows of table 'tags'",
                "up again changes rows of table 'tags'",
                "down does not restore the schema of before: table 'tags': column 'name' may be NULL, and should be NOT NULL",
            ],
            id="rows that up loses",
        ),
        pytest.param(
            "migrator.migrate(migrator.add_column('tags', 'color', CharField(null=True)))",
            DROP_COLOR + "\nmigrator.migrate(migrator.sql('DELETE FROM tags WHERE id = 1'))",
            ["down changes or loses rows of table 'tags'"],
            id="rows that down loses",
        ),
        pytest.param(
            "migrator.migrate(migrator.add_column('tags', 'color', CharField(null=True)))",
            "raise ValueError('no way back')",
            [
                "down of 'trial' failed: ValueError: no way back (line 11 of trial.py)",
            ],
            id="down fails",
        ),
    ],
)
def test_a_broken_promise_is_named(make_project, up, down, says):
    project = make_project({"create": CREATE, "trial": migration(up, down)})
    found = findings(project)
    assert found["create"] == []
    assert found["trial"] == says


@pytest.mark.parametrize(
    ("add", "drop", "cause"),
    [
        (
            "add_index('tags', ('name',), unique=True)",
            "drop_index('tags', 'tags_name')",
            "UNIQUE constraint failed: tags.name",
        ),
        (
            "add_constraint('tags', 'short', Check('length(name) < 9'))",
            "drop_constraint('tags', 'short')",
            "tags.short can't be added: \\d+ rows have a value that it forbids",
        ),
    ],
)
def test_a_new_constraint_is_tried_with_the_rows_that_fit(make_project, add, drop, cause):
    trial = migration(*(f"migrator.migrate(migrator.{verb})" for verb in (add, drop)))
    files = {"create": CREATE, "add": ADD, "trial": trial}
    verdict = verify(make_project(files), SqliteFile(Path()))[-1]
    assert verdict.holds
    (note,) = verdict.findings
    assert re.fullmatch(
        rf"tried without \d+ rows that up refuses: {cause}( .*line \d+ of trial.py.)?",
        note.sentence,
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"def up(migrator, db):\n    migrator.migrate(", "SyntaxError: '(' was never closed"),
        (b"x = 1\0", "null bytes"),
    ],
)
def test_a_file_that_is_no_python_is_named(make_project, content, says):
    project = make_project({"trial": ""})
    (project.directory / "trial.py").write_bytes(content)
    (sentence,) = findings(project)["trial"]
    assert sentence.startswith("'trial' can't be run: importing '")
    assert says in sentence


def test_a_comment_in_another_encoding_hides_nothing(make_project):
    project = make_project({"trial": ""}, in_memory=(Guest,))
    text = f"from {__name__} import Guest\n\n\ndef up(migrator, db):\n    pass\n"
    (project.directory / "trial.py").write_bytes(b"# \xff\n" + text.encode())
    assert any(f"imports {__name__}" in sentence for sentence in findings(project)["trial"])


def test_a_difference_from_the_models_is_a_broken_promise(make_project):
    class Tag(Model):
        name = CharField()
        size = CharField(null=True)

        class Meta:
            table_name = "tags"

    project = make_project({"create": CREATE}, persistent=(Tag,))
    assert findings(project) == {
        "create": ["the models are not met: table 'tags': column 'size' is missing"]
    }


class Guest(Model):
    class Meta:
        table_name = "Guests"


LINTED = """
from peewee import *
from tests.guarded.author.test_verify import Guest


def up(migrator, db):
    # DECIDE: which?
    db.execute_sql("CREATE TABLE x (a)")
    migrator.add_column("guests", "a", TextField(null=True))
    db.connection().executescript("")
    db.execute_sql("SELECT json_each(1) FROM x")
"""


def test_verify_checks_the_source_too(make_project):
    project = make_project({"linted": textwrap.dedent(LINTED)}, in_memory=(Guest,))
    (verdict,) = verify(project, SqliteFile(Path()))
    sentences = [f.sentence for f in verdict.findings]
    assert sentences[:7] == [
        "line 1: there is no docstring: say in one line what changes for a user",
        "line 1: there is no down(migrator, db)",
        "line 7: not decided: which?",
        "line 3: imports tests.guarded.author.test_verify, which will change: declare frozen models in the file",
        "line 8: raw DDL past the guards: use a verb for ['CREATE', 'TABLE', 'x']",
        "line 9: table 'guests' is in memory only: change its model instead",
        "line 10: executescript commits: use migrator.sql for each statement",
    ]
    assert sentences[7] == "SQL that only SQLite knows: json_each"
    assert not verdict.holds
