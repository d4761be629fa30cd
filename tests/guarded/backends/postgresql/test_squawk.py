"""squawk reads the SQL of every verb: each of its warnings is expected, and has its reason."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.backends.postgresql.lock import LOCK_TIMEOUT
from guarded.run import Runner
from guarded.verbs.migrator import GuardedMigrator
from tests.conftest import migration

# What a run sends itself before the first change.
BEFORE = f"SET lock_timeout = '{LOCK_TIMEOUT}'; SET statement_timeout = 0;"
# Why a rule of squawk's does not hold for us.
REASONS = {
    "prefer-bigint-over-int": "the type is the model's to choose",
    "prefer-bigint-over-smallint": "the type is the model's to choose",
    "prefer-identity": "SERIAL is what Peewee makes of an AutoField",
    "prefer-robust-stmts": "a verb looks first, and a run is one transaction",
    "prefer-text-field": "VARCHAR is what Peewee makes of a CharField",
    "prefer-timestamp-tz": "the type is the model's to choose",
    "require-concurrent-index-creation": "not possible in a transaction; docs/postgresql.md",
    "require-concurrent-index-deletion": "not possible in a transaction; it takes no time",
    "constraint-missing-not-valid": "one transaction: a check of the rows later would be a second",
    "adding-foreign-key-constraint": "the same; the rows are counted first",
    "adding-not-nullable-field": "the rows are counted first; readers wait for one scan",
    "disallowed-unique-constraint": "an index first would have to be made outside of the run",
    "changing-column-type": "asked for by its name, and rehearse says how long it takes",
    "ban-drop-column": "asked for by its name; the values are kept for down",
    "ban-drop-table": "asked for by its name; the rows are kept for down",
    "ban-drop-constraint": "asked for by its name",
    "ban-drop-default": "asked for by its name",
    "ban-drop-not-null": "asked for by its name",
    "renaming-column": "asked for by its name",
    "renaming-table": "asked for by its name",
}
MODEL = (
    "class Pair(Model):\n    one = CharField(unique=True)\n    two = IntegerField(null=True)\n"
    "    class Meta:\n        table_name = 'pair'\n"
)
VERB = {
    "create_table": (f"{MODEL}migrator.migrate(migrator.create_table(Pair))", {
        "prefer-bigint-over-int", "prefer-text-field", "prefer-identity",
    }),
    "complete_table": (
        "class Item(Model):\n    name = CharField(constraints=[Default(\"'x'\")])\n"
        "    extra = TextField(null=True)\n    class Meta:\n        table_name = 'item'\n"
        "migrator.migrate(migrator.complete_table(Item))", set(),
    ),
    "drop_table": ("migrator.migrate(migrator.drop_table('other'))", {"ban-drop-table"}),
    "rename_table": ("migrator.migrate(migrator.rename_table('other', 'another'))", {"renaming-table"}),
    "add_column": (
        "migrator.migrate(migrator.add_column('item', 'color', TextField(default='red')))", set(),
    ),
    "drop_column": ("migrator.migrate(migrator.drop_column('item', 'size'))", {"ban-drop-column"}),
    "rename_column": (
        "migrator.migrate(migrator.rename_column('item', 'size', 'width'))", {"renaming-column"},
    ),
    "fill": ("migrator.migrate(migrator.fill('item', 'size', '7'))", set()),
    "apply_default": (
        "migrator.migrate(migrator.apply_default('item', 'size', IntegerField(default=3)))", set(),
    ),
    "add_not_null": (
        "migrator.migrate(migrator.add_not_null('item', 'name'))", {"adding-not-nullable-field"},
    ),
    "drop_not_null": ("migrator.migrate(migrator.drop_not_null('item', 'at'))", {"ban-drop-not-null"}),
    "add_column_default": (
        "migrator.migrate(migrator.add_column_default('item', 'size', 3))", set(),
    ),
    "drop_column_default": ("migrator.migrate(migrator.drop_column_default('item', 'at'))", {"ban-drop-default"}),
    "alter_column_type": (
        "migrator.migrate(migrator.alter_column_type('item', 'name', TextField()))",
        {"changing-column-type"},
    ),
    "add_index": (
        "migrator.migrate(migrator.add_index('item', ('size',)))",
        {"require-concurrent-index-creation"},
    ),
    "drop_index": (
        "migrator.migrate(migrator.drop_index('item', 'item_name'))",
        {"require-concurrent-index-deletion"},
    ),
    "add_constraint": (
        "migrator.migrate(migrator.add_constraint('item', 'small', Check('size < 99')))",
        {"constraint-missing-not-valid"},
    ),
    "add_unique": (
        "migrator.migrate(migrator.add_unique('item', 'name'))", {"constraint-missing-not-valid", "disallowed-unique-constraint"},
    ),
    "drop_constraint": ("migrator.migrate(migrator.drop_constraint('item', 'positive'))", {"ban-drop-constraint"}),
    "add_foreign_key_constraint": (
        "migrator.migrate(migrator.add_foreign_key_constraint('item', 'size', 'other', 'id'))",
        {"adding-foreign-key-constraint", "constraint-missing-not-valid"},
    ),
    "drop_foreign_key_constraint": (
        "migrator.migrate(migrator.drop_foreign_key_constraint('item', 'ref'))", {"ban-drop-constraint"},
    ),
    "sql": ("migrator.migrate(migrator.sql('DELETE FROM item WHERE size = 1'))", set()),
}  # fmt: skip


@pytest.fixture
def squawk():
    program = shutil.which("squawk", path=str(Path(sys.executable).parent))
    assert program is not None, "pip install squawk-cli"

    def run(sql: str) -> set[str]:
        command = [program, "--reporter", "json", "--pg-version", "15.0", "--assume-in-transaction"]
        done = subprocess.run(command, input=BEFORE + sql, capture_output=True, text=True)
        return {found["rule_name"] for found in json.loads(done.stdout)}

    return run


def test_every_verb_is_read():
    members = vars(GuardedMigrator).items()
    verbs = {name for name, member in members if hasattr(member, "__wrapped__")}
    assert verbs == VERB.keys()


@pytest.mark.parametrize("verb", VERB)
def test_squawk_has_nothing_against_the_sql_of_a_verb(postgres_url, make_project, squawk, verb):
    body, expected = VERB[verb]
    server = locate(postgres_url)
    with server.connected() as connection:
        connection.execute(
            "CREATE TABLE kin (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);"
            "CREATE TABLE item (id serial PRIMARY KEY, name varchar(9), size int CONSTRAINT positive"
            " CHECK (size > 0), at timestamptz NOT NULL DEFAULT now(), ref int REFERENCES kin);"
            "CREATE INDEX item_name ON item (name); INSERT INTO item (name) VALUES ('one')"
        )
    done = Runner(make_project({"a": migration(body)}), server, backup=False, keep=False).up()
    statements = [sql for step in done.outcomes[0].steps for sql in step.statements]
    assert statements
    found = squawk(";\n".join(statements))
    assert found == expected
    assert all(REASONS[rule] for rule in found)


def test_squawk_would_see_what_playhouse_does(squawk):
    """NOT NULL by a second statement reads every row under the strongest lock."""
    assert "adding-not-nullable-field" in squawk("ALTER TABLE item ALTER COLUMN a SET NOT NULL")
