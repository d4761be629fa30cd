"""``python -m benchmarks.postgres [--quick] [--write FILE]``: the same on PostgreSQL.

Starts a server of its own with the settings of a fresh one, and compares with Alembic and Django.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from textwrap import indent

from peewee import CharField, PostgresqlDatabase
from playhouse.migrate import SchemaMigrator, migrate

from benchmarks.__main__ import ours, put
from benchmarks.measure import Candidate, Timing, show, time_in_turn
from benchmarks.tools import ALEMBIC, ALEMBIC_REVISION, OURS, small
from guarded.cli.session import locate
from guarded.project import Models
from guarded.run import Runner
from guarded.steps import Step, Watcher
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests import postgres

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DJANGO, PLAYHOUSE = "django", "playhouse's migrator"
MARKS = ("<!-- bench postgres -->", "<!-- /bench postgres -->")
HEAD = [
    "A ratio is to the row of its block that has 1.00. No tool takes a backup.",
    "",
    "| what | with | median | spread | ratio |",
    "|---|---|---|---|---|",
]
ALEMBIC_ENV = """
from alembic import context
from sqlalchemy import create_engine
connection = create_engine(context.config.get_main_option("sqlalchemy.url")).connect()
context.configure(connection=connection, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
"""
DJANGO_MANAGE = """
import sys
import django
from django.conf import settings
settings.configure(
    DATABASES={{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": {name!r},
        "USER": "postgres", "HOST": "127.0.0.1", "PORT": {port!r}}}}},
    INSTALLED_APPS=["app"], DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "migrate", "--verbosity", "0"])
"""
DJANGO_MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = {before}
    operations = [
{operations}
    ]
"""
DIRECT = """
import sys
from peewee import CharField, PostgresqlDatabase
from playhouse.migrate import SchemaMigrator, migrate
database = PostgresqlDatabase(sys.argv[1], prefer_psycopg3=True)
migrator = SchemaMigrator.from_database(database)
with database.atomic():
    migrate(migrator.add_column("meetings", "color", CharField(default="red")))
"""


@dataclass(frozen=True)
class Migration:
    """One migration for each tool: our file, the body for Alembic, Django's operations."""

    ours: str
    alembic: str
    django: str


def small_table(number: int) -> Migration:
    django = (
        f"migrations.CreateModel('T{number}', [('id', models.AutoField(primary_key=True)),"
        f" ('name', models.CharField(max_length=255))], options={{'db_table': 't{number}'}}),"
    )
    return Migration(small(number).ours, small(number).alembic, django)


def add_color() -> Migration:
    body = "migrator.migrate(migrator.add_column('meetings', 'color', CharField(default='red')))"
    django = (
        'migrations.RunSQL("ALTER TABLE meetings ADD COLUMN color varchar(255)'
        " DEFAULT 'red' NOT NULL\"),"
    )
    alembic = (
        "op.add_column('meetings', sa.Column('color', sa.String(255), nullable=False,"
        " server_default='red'))"
    )
    return Migration(ours(body), alembic, django)


def first_run(statements: Sequence[Sequence[str]]) -> list[Migration]:
    """Our migrations; the others run the same statements as SQL, which is their quickest way."""
    return [
        Migration(
            (PROJECT.directory / f"{name}.py").read_text(),
            "\n".join(f"op.execute(sa.text({sql!r}))" for sql in part) or "pass",
            "\n".join(f"migrations.RunSQL({sql!r})," for sql in part),
        )
        for name, part in zip(MIGRATIONS, statements)
    ]


class Bench:
    def __init__(
        self, server: postgres.Server, folder: Path, quick: bool, runs: int | None
    ) -> None:
        """``runs``: of each candidate, in place of what is usual."""
        self.server, self.folder, self.quick, self.runs = server, folder, quick, runs
        self.rows: list[str] = []
        self._templates = 0

    def table(self, title: str, baseline: str, timings: Sequence[Timing]) -> None:
        base = next(t for t in timings if t.name == baseline)
        for timing in timings:
            ratio = timing.median / base.median
            row = f"| {title} | {timing.name} | {show(timing.median)} | {timing.spread} |"
            row += f" {ratio:.2f} |"
            print(row, flush=True)  # noqa: T201
            self.rows.append(row)

    def restore(self, template: str) -> Callable[[], None]:
        """Before each run: the database ``run`` as the template is."""

        def prepare() -> None:
            with self.server.connect() as connection:
                connection.execute("DROP DATABASE IF EXISTS run WITH (FORCE)")
                # By file, and written out, so that no run pays for it.
                how = f"TEMPLATE {template} STRATEGY FILE_COPY"
                connection.execute(f"CREATE DATABASE run {how}")
                connection.execute("CHECKPOINT")

        return prepare

    @contextmanager
    def template(self) -> Iterator[str]:
        """A new database that ``restore`` can copy."""
        self._templates += 1
        name = f"template_{self._templates}"
        with self.server.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield name

    def tool(self, name: str, migrations: Sequence[Migration], title: str) -> list[str]:
        """Write the migrations for a tool; gives its command."""
        folder = self.folder / f"{name}-{title}"
        folder.mkdir()
        if name == OURS:
            for number, migration in enumerate(migrations):
                (folder / f"m{number:05}.py").write_text(migration.ours)
            command = [sys.executable, str(HERE / "ours.py"), str(folder), "--database"]
            return [*command, self.server.url("run"), "up", "--no-backup"]
        if name == ALEMBIC:
            return self._alembic(folder, migrations)
        return self._django(folder, migrations)

    def _alembic(self, folder: Path, migrations: Sequence[Migration]) -> list[str]:
        (folder / "versions").mkdir()
        for number, migration in enumerate(migrations, start=1):
            before = repr(f"r{number - 1}") if number > 1 else None
            body = indent(migration.alembic, "    ")
            text = ALEMBIC_REVISION.format(number=number, before=before, body=body)
            (folder / "versions" / f"m{number:05}.py").write_text(text)
        url = self.server.url("run").replace("postgresql://", "postgresql+psycopg://")
        (folder / "env.py").write_text(ALEMBIC_ENV)
        ini = f"[alembic]\nscript_location = {folder}\nsqlalchemy.url = {url}\n"
        (folder / "alembic.ini").write_text(ini)
        return [str(BIN / "alembic"), "-c", f"{folder}/alembic.ini", "upgrade", "head"]

    def _django(self, folder: Path, migrations: Sequence[Migration]) -> list[str]:
        files = folder / "app" / "migrations"
        files.mkdir(parents=True)
        for made in (files, files.parent):
            (made / "__init__.py").touch()
        for number, migration in enumerate(migrations, start=1):
            before = [("app", f"m{number - 1:05}")] if number > 1 else []
            operations = indent(migration.django, "        ")
            text = DJANGO_MIGRATION.format(before=before, operations=operations)
            (files / f"m{number:05}.py").write_text(text)
        manage = folder / "manage.py"
        manage.write_text(DJANGO_MANAGE.format(name="run", port=str(self.server.port)))
        return [sys.executable, str(manage)]

    # The scenarios.

    def no_op(self) -> None:
        migrations = [small_table(number) for number in range(1, 5)]
        candidates = []
        for name in (OURS, ALEMBIC, DJANGO):
            command = self.tool(name, migrations, "no-op")
            with self.template() as empty:
                time_in_turn([Candidate(name, command, self.restore(empty))], 1)
            done = f"done_{len(candidates)}"
            with self.server.connect() as connection:
                connection.execute(f"ALTER DATABASE run RENAME TO {done}")
            candidates.append(Candidate(name, command, self.restore(done)))
        runs = self.runs or (2 if self.quick else 9)
        self.table("nothing to do", OURS, time_in_turn(candidates, runs, warmup=1))

    def first_run(self, statements: Sequence[Sequence[str]]) -> None:
        self._side_by_side("first run", first_run(statements), 2 if self.quick else 9)

    def thousand(self) -> None:
        count = 20 if self.quick else 1000
        migrations = [small_table(number) for number in range(1, count + 1)]
        self._side_by_side(f"{count} small migrations", migrations, 1 if self.quick else 3)

    def _side_by_side(self, title: str, migrations: Sequence[Migration], runs: int) -> None:
        with self.template() as empty:
            candidates = [
                Candidate(name, self.tool(name, migrations, title), self.restore(empty))
                for name in (OURS, ALEMBIC, DJANGO)
            ]
            self.table(title, OURS, time_in_turn(candidates, self.runs or runs))

    def add_column(self) -> None:
        """NOT NULL with a constant default; the process starts are in it, so also without steps."""
        count = 5_000 if self.quick else 1_000_000
        with self.template() as template:
            with self.server.connect(template) as connection:
                connection.execute(
                    "CREATE TABLE meetings (meeting_id varchar(255) PRIMARY KEY, title varchar(255)"
                    " NOT NULL, description text, created_by varchar(255) NOT NULL,"
                    " start_time timestamptz NOT NULL, is_instant_call bool NOT NULL)"
                )
                connection.execute(
                    "INSERT INTO meetings SELECT 'mtg_' || i, 'Meeting ' || i, 'Agenda of ' || i,"
                    f" md5(i::text), now(), false FROM generate_series(1, {count}) AS i"
                )
                connection.execute("VACUUM ANALYZE meetings")
            nothing = Migration(ours("pass"), "pass", "")
            candidates = [
                Candidate(
                    f"{name}{end}",
                    self.tool(name, [migration], f"column{end}"),
                    self.restore(template),
                )
                for name in (OURS, ALEMBIC, DJANGO)
                for end, migration in ((", without steps", nothing), ("", add_color()))
            ]
            direct = [sys.executable, "-c", DIRECT, self.server.url("run")]
            candidates.append(Candidate(PLAYHOUSE, direct, self.restore(template)))
            title = f"NOT NULL column with default, {count:,} rows"
            runs = self.runs or (1 if self.quick else 3)
            self.table(title, OURS, time_in_turn(candidates, runs))
            steps = {OURS: self.our_step, PLAYHOUSE: self.step_of_playhouse}
            seconds: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(runs):
                for name, step in steps.items():
                    self.restore(template)()
                    seconds[name].append(step())
            timings = [Timing(name, tuple(taken)) for name, taken in seconds.items()]
            self.table(f"{title}, the step alone", OURS, timings)

    def our_step(self) -> float:
        """The time from the step's first statement to its end, as the run tells it."""
        taken: list[float] = []

        class Clock(Watcher):
            def ended(self, step: Step, seconds: float) -> None:
                taken.append(seconds)

        folder = self.folder / f"{OURS}-column"
        project = PROJECT._replace(directory=folder, listed=["m00000"], models=lambda: Models(()))
        backend = locate(project, self.server.url("run"))
        Runner(project, backend, backup=False, watcher=Clock()).up()
        (seconds,) = taken
        return seconds

    def step_of_playhouse(self) -> float:
        database = PostgresqlDatabase(self.server.url("run"), prefer_psycopg3=True)
        migrator = SchemaMigrator.from_database(database)
        with database, database.atomic():
            started = time.perf_counter()
            migrate(migrator.add_column("meetings", "color", CharField(default="red")))
            return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small databases, few runs")
    parser.add_argument("--runs", type=int, help="how often each is run; the usual if not given")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this file")
    options = parser.parse_args()
    durable = {"fsync": "on", "full_page_writes": "on"}
    usual = {"shared_buffers": "128MB", "max_wal_size": "1GB", "max_connections": "100"}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        postgres.running(**durable, **usual) as server,
    ):
        bench = Bench(server, Path(name), options.quick, options.runs)
        bench.no_op()
        bench.first_run(statements(server))
        bench.thousand()
        bench.add_column()
        if options.write:
            names = [f"{each} {version(each.lower())}" for each in ("Alembic", "Django", "psycopg")]
            with server.connect() as connection:
                number = connection.info.parameter_status("server_version")
            measured = f"{date.today()}, PostgreSQL {number}, {', '.join(names)}, "
            measured += f"{os.cpu_count()} cores; `make bench-postgres`."
            put(options.write, [measured, *HEAD, *bench.rows], *MARKS)


def statements(server: postgres.Server) -> list[list[str]]:
    """What our migrations execute on an empty database."""
    with server.database() as name:
        forecast = Runner(PROJECT, locate(PROJECT, server.url(name))).forecast()
    return [[sql for step in o.steps for sql in step.statements] for o in forecast.outcomes]


if __name__ == "__main__":
    main()
