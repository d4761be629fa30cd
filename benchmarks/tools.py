"""The same migrations for each tool, in the way that its manual shows."""

from __future__ import annotations

import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

from server.migrations.migrate import MIGRATIONS, PROJECT

BIN = Path(sys.executable).parent
OURS, PWMIGRATE, ALEMBIC, DBMATE = "migrate.py", "pwmigrate", "alembic", "dbmate"
HERE = Path(__file__).parent

ALEMBIC_ENV = """
from alembic import context
from sqlalchemy import create_engine
connection = create_engine(context.config.get_main_option("sqlalchemy.url")).connect()
context.configure(connection=connection, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
"""
ALEMBIC_REVISION = """import sqlalchemy as sa
from alembic import op
revision = "r{number}"
down_revision = {before}


def upgrade():
{body}
"""
# Settings of SQLite that a run could have in place of its own, a cache of 16 MB.
PRAGMAS = ("cache_size=-2000", "cache_size=-64000", "mmap_size=1073741824", "temp_store=2")
DROPPED = ("status", "max_participants", "source_channel_id", "source_user_id")


@dataclass(frozen=True)
class Migration:
    """One migration for each tool: our file, pwmigrate's, the body for Alembic, SQL."""

    ours: str
    pwmigrate: str
    alembic: str
    sql: str


def small(number: int) -> Migration:
    model = (
        f"class T{number}(Model):\n    name = CharField()\n"
        f"    class Meta:\n        table_name = 't{number}'\n        database = db\n"
    )
    return Migration(
        _peewee(model + f"migrator.migrate(migrator.create_table(T{number}))"),
        _peewee(model + f"db.create_tables([T{number}])"),
        f"op.create_table('t{number}', sa.Column('id', sa.Integer, primary_key=True),"
        " sa.Column('name', sa.String(255), nullable=False))",
        f"CREATE TABLE t{number} (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL);",
    )


def hybrid_storage(statements: list[str]) -> Migration:
    """Our migration 4; ``statements`` are ours, and the others do the same in the same order."""
    fill = _fill(statements)
    return Migration(
        (PROJECT.directory / f"{MIGRATIONS[3]}.py").read_text(),
        _peewee(_hybrid_body(fill)),
        "with op.batch_alter_table('meetings') as batch:\n"
        "    batch.drop_index('meetings_status')\n"
        + "".join(f"    batch.drop_column('{name}')\n" for name in DROPPED)
        + "op.add_column('meetings', sa.Column('invited_participants', sa.Text,"
        " server_default='[]'))\n"
        f"op.execute({fill!r})\n"
        "op.drop_table('meeting_participants')",
        ";\n".join(statements) + ";",
    )


def _hybrid_body(fill: str) -> str:
    drops = "".join(f",\n    migrator.drop_column('meetings', '{name}')" for name in DROPPED)
    return (
        f"migrator.migrate(migrator.drop_index('meetings', 'meetings_status'){drops},\n"
        "    migrator.add_column('meetings', 'invited_participants',"
        " TextField(null=True, constraints=[Default(\"'[]'\")])))\n"
        f"db.execute_sql({fill!r})\n"
        "db.execute_sql('DROP TABLE meeting_participants')"
    )


def _fill(statements: list[str]) -> str:
    """The one that carries the invitees."""
    return next(sql for sql in statements if sql.startswith("UPDATE"))


def first_run(statements: list[list[str]]) -> list[Migration]:
    """Our migrations on an empty file.

    For pwmigrate with the same frozen models, as Peewee's manual has it; for the others as SQL,
    which is their quickest way.
    """
    found = []
    for name, part in zip(MIGRATIONS, statements):
        ours = (PROJECT.directory / f"{name}.py").read_text()
        models, _, _ = ours.partition("\n\ndef up(")
        names = ", ".join(re.findall(r"^class (\w+)\(Model\)", models, re.MULTILINE))
        body = f"with db.bind_ctx([{names}]):\n    db.create_tables([{names}])"
        if name == MIGRATIONS[2]:
            body += "\n    ServerSettings.insert(id=1).execute()"
        if name == MIGRATIONS[3]:
            body = _hybrid_body(_fill(part))
            models = "from peewee import *"
        pwmigrate = models + f"\n\ndef up(migrator, db):\n{indent(body, '    ')}\n"
        alembic = "\n".join(f"op.execute({sql!r})" for sql in part)
        found.append(Migration(ours, pwmigrate, alembic, ";\n".join(part) + ";"))
    return found


@dataclass(frozen=True)
class CheapChange:
    """A change that alters no stored value; empty where a tool has no way for it.  ``look`` is the
    SELECT that checks the rows for it, ``native`` the ALTER TABLE of SQLite from 3.53 on."""

    title: str
    ours: str
    pwmigrate: str
    alembic: str
    look: str
    native: str = ""


def cheap_changes() -> list[CheapChange]:
    def both(verb: str) -> tuple[str, str]:
        text = _peewee(f"migrator.migrate(migrator.{verb})")
        return text, text

    def batch(call: str) -> str:
        return f"with op.batch_alter_table('meetings') as batch:\n    batch.{call}"

    nulls = "SELECT count(*) FROM meetings WHERE max_participants IS NULL"
    check = "SELECT count(*) FROM meetings WHERE NOT (max_participants < 99)"
    # Every meeting's token is its own, so that a key from it to itself holds.
    keys = (
        "SELECT count(*) FROM meetings WHERE meeting_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
        "meetings AS parent WHERE parent.meeting_id = meetings.meeting_id)"
    )
    column = "SELECT count(*) FROM meetings NOT INDEXED WHERE title IS X'00'"
    key = "add_foreign_key_constraint('meetings', 'meeting_id', 'meetings', 'meeting_id')"
    return [
        CheapChange(
            "NOT NULL",
            *both("add_not_null('meetings', 'max_participants')"),
            batch("alter_column('max_participants', nullable=False, existing_type=sa.Integer)"),
            nulls,
            "ALTER TABLE meetings ALTER COLUMN max_participants SET NOT NULL",
        ),
        CheapChange(
            "a CHECK",
            both("add_constraint('meetings', 'few', Check('max_participants < 99'))")[0],
            "",
            batch("create_check_constraint('few', 'max_participants < 99')"),
            check,
            "ALTER TABLE meetings ADD CONSTRAINT few CHECK (max_participants < 99)",
        ),
        CheapChange(
            "a foreign key",
            both(key)[0],
            "",
            batch("create_foreign_key('fk', 'meetings', ['meeting_id'], ['meeting_id'])"),
            keys,
        ),
        CheapChange(
            "a default",
            *both("add_column_default('meetings', 'title', 'Untitled')"),
            batch("alter_column('title', server_default='Untitled', existing_type=sa.String)"),
            column,
        ),
        CheapChange(
            "VARCHAR to TEXT",
            *both("alter_column_type('meetings', 'title', TextField())"),
            batch("alter_column('title', type_=sa.Text, existing_type=sa.String)"),
            "SELECT 1",
        ),
    ]


class Tool:
    """How one tool is set up in a folder, and called."""

    def __init__(self, name: str, folder: Path, database: Path) -> None:
        self.name, self.folder, self.database = name, folder, database

    def write(self, migrations: list[Migration]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for number, migration in enumerate(migrations, start=1):
            getattr(self, f"_write_{self.name.partition('.')[0]}")(number, migration)
        if self.name == ALEMBIC:
            (self.folder / "env.py").write_text(ALEMBIC_ENV)
            ini = f"[alembic]\nscript_location = {self.folder}\n"
            ini += f"sqlalchemy.url = sqlite:///{self.database}\n"
            (self.folder / "alembic.ini").write_text(ini)

    @property
    def up(self) -> list[str]:
        database, folder = str(self.database), str(self.folder)
        alembic, dbmate = ["-c", f"{folder}/alembic.ini"], ["--url", f"sqlite:{database}"]
        commands = {
            OURS: [sys.executable, str(HERE / "ours.py"), folder, "--database", database, "up"],
            PWMIGRATE: [str(BIN / "pwmigrate"), database, "up", "-d", folder],
            ALEMBIC: [str(BIN / "alembic"), *alembic, "upgrade", "head"],
            DBMATE: ["dbmate", *dbmate, "-d", folder, "--no-dump-schema", "up"],
        }
        if self.name == OURS:  # the others take no backup, and keep nothing that they drop
            commands[OURS] += ["--no-backup", "--discard"]
        return commands[self.name]

    def _write_migrate(self, number: int, migration: Migration) -> None:
        (self.folder / f"m{number:05}.py").write_text(migration.ours)

    def _write_pwmigrate(self, number: int, migration: Migration) -> None:
        (self.folder / f"{number:05}_m.py").write_text(migration.pwmigrate)

    def _write_alembic(self, number: int, migration: Migration) -> None:
        (self.folder / "versions").mkdir(exist_ok=True)
        before = repr(f"r{number - 1}") if number > 1 else None
        text = ALEMBIC_REVISION.format(
            number=number, before=before, body=indent(migration.alembic, "    ")
        )
        (self.folder / "versions" / f"m{number:05}.py").write_text(text)

    def _write_dbmate(self, number: int, migration: Migration) -> None:
        text = f"-- migrate:up\n{migration.sql}\n-- migrate:down\n"
        (self.folder / f"{number:014}_m.sql").write_text(text)


def installed() -> list[str]:
    """The tools that can be run here; ours and pwmigrate always can."""
    found = [OURS, PWMIGRATE]
    found += [ALEMBIC] if find_spec("alembic") else []
    found += [DBMATE] if shutil.which("dbmate") else []
    return found


def versions() -> str:
    names = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    names.append(f"Peewee {version('peewee')}")
    names += [f"Alembic {version('alembic')}"] if find_spec("alembic") else []
    if shutil.which("dbmate"):
        done = subprocess.run(["dbmate", "--version"], capture_output=True, text=True, check=True)
        names.append(done.stdout.strip().replace("version ", ""))
    return ", ".join(names)


def _peewee(body: str) -> str:
    text = '"""A migration to measure."""\nfrom peewee import *\n\n\ndef up(migrator, db):\n'
    return text + indent(body, "    ") + "\n"
