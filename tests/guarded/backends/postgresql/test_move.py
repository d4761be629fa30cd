"""A project moves from an SQLite file to PostgreSQL: all of it, or nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import peewee
import pytest

from guarded.backends.postgresql.connect import locate
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import BrokenPromise, Refused, UnusableDatabase, ValuesDoNotFit
from guarded.operate.move import Moved, Watch, move
from guarded.run import Runner
from guarded.steps import Kind
from server.db.model import PERSISTENT
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests.conftest import LEGACY, MIGRATE, copy_legacy, migration, populate
from tests.guarded.cli.test_live import at_a_terminal
from tests.postgres import FULL


def call(path, *arguments, **environment):
    command = [sys.executable, str(MIGRATE), "--database", str(path), *arguments]
    whole = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=whole)


def read_by_models(backend):
    """Every row of the server's tables as its models read it."""
    database = backend.database_to_migrate()
    with database.bind_ctx(PERSISTENT), database:
        return {
            model._meta.table_name: sorted(
                str({name: without_now(value) for name, value in row.items()})
                for row in model.select().dicts()
            )
            for model in PERSISTENT
        }


def without_now(value):
    """The time of the move, or of its migrations, is another one in each database."""
    if value == "CURRENT_TIMESTAMP":
        return "now"
    is_now = isinstance(value, datetime) and datetime.now(timezone.utc) - value < timedelta(hours=1)
    return "now" if is_now else value


def tables_of(url):
    with locate(url).connected() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        return sorted(name for (name,) in rows)


@pytest.mark.parametrize("name", [*(LEGACY if FULL else LEGACY[-1:]), "first_edition"])
def test_a_database_of_the_former_server_moves_as_it_is(path, tmp_path, postgres_url, name):
    copy_legacy(name, path)
    before, beside = path.read_bytes(), sorted(tmp_path.iterdir())
    done = call(path, "move", postgres_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "committed" in done.stdout.splitlines()[-2]
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == beside
    assert call(path, "up", "--no-backup").returncode == 0
    target = locate(postgres_url)
    assert read_by_models(target) == read_by_models(SqliteFile(path))
    for command in (["check", "--strict"], ["status"], ["doctor"]):
        found = call(postgres_url, *command)
        assert found.returncode == 0, found.stdout
    arrived, built = (Runner(PROJECT, where).state() for where in (target, SqliteFile(path)))
    assert [entry.migration for entry in arrived.entries] == MIGRATIONS
    checksums = {script.name: script.checksum for script in built.scripts}
    assert {e.migration: e.checksum for e in arrived.entries} == checksums


class File:
    """A file that nobody has open between two statements."""

    def __init__(self, path):
        self.path = path

    def execute(self, sql, values=()):
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(sql, values).fetchall()


@pytest.fixture
def current(path):
    """A database at the newest migration, with no rows but the settings."""
    Runner(PROJECT, SqliteFile(path)).up()
    return File(path)


MEETING = (
    "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time, created_at, "
    "allow_external, invited_participants, description) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def add_meeting(connection, number=1, **values):
    columns = {
        "meeting_id": f"mtg_{number}",
        "title": "Größe",
        "created_by": "ada",
        "start_time": "2025-12-12 10:00:00",
        "end_time": "2025-12-12 11:00:00",
        "created_at": "2025-12-12 10:00:00",
        "allow_external": 0,
        "invited_participants": "[]",
        "description": None,
        **values,
    }
    connection.execute(MEETING, tuple(columns.values()))


def test_every_spelling_of_a_value_arrives_as_what_it_means(current, path, postgres_url):
    add_meeting(current, 1, start_time="2025-12-12 10:00:00.000 +00:00", allow_external=1)
    add_meeting(current, 2, start_time="2025-12-12T10:00:00.000Z", allow_external="t")
    add_meeting(current, 3, start_time="2025-12-12 11:30:00+01:30", allow_external="f")
    add_meeting(current, 4, start_time="2025-12-12 10:00:00", invited_participants='["é","😀"]')
    add_meeting(current, 5, created_at="CURRENT_TIMESTAMP", invited_participants=None)
    add_meeting(current, 6, invited_participants='["a",  "b"]', description="%s \\N \t\n'x'")
    done = call(path, "move", postgres_url)
    assert done.returncode == 0, done.stderr
    replaced = "replaced meetings.created_at: the text CURRENT_TIMESTAMP, 1 row, by the time of"
    assert replaced in done.stdout
    with locate(postgres_url).connected() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            "SELECT start_time::text, allow_external, invited_participants, description, "
            "now() - created_at < interval '1 minute' FROM meetings ORDER BY meeting_id"
        ).fetchall()
    ten = "2025-12-12 10:00:00+00"
    assert rows == [
        (ten, True, "[]", None, False),
        (ten, True, "[]", None, False),
        (ten, False, "[]", None, False),
        (ten, False, '["é","😀"]', None, False),
        (ten, False, None, None, True),
        (ten, False, '["a",  "b"]', "%s \\N \t\n'x'", False),
    ]


def test_ids_go_on_where_they_were(current, path, postgres_url):
    insert = (
        "INSERT INTO Invitations (id, email, token, expires_at, invited_by) "
        "VALUES (?, 'a@b', ?, '2030-01-01 00:00:00', 'ada')"
    )
    current.execute(insert, (7, "aaaaaa"))
    current.execute(insert, (90, "bbbbbb"))
    current.execute("DELETE FROM Invitations WHERE id = 90")
    assert call(path, "move", postgres_url).returncode == 0
    with locate(postgres_url).connected() as connection:
        query = (
            'INSERT INTO "Invitations" (email, token, expires_at, invited_by) '
            "VALUES ('a@b', 'cccccc', now(), 'ada') RETURNING id"
        )
        assert connection.execute(query).fetchall() == [(91,)]
        query = 'INSERT INTO "ServerSettings" DEFAULT VALUES RETURNING id'
        assert connection.execute(query).fetchall() == [(2,)]


def test_values_that_do_not_fit_are_named_and_nothing_is_done(current, path, postgres_url):
    add_meeting(current, 1, start_time="soon")
    add_meeting(current, 2, title="x" * 256)
    add_meeting(current, 3, description="a\0b")
    add_meeting(current, 4, allow_external="maybe")
    current.execute("UPDATE meetings SET end_time = '2025-02-30 10:00:00' WHERE meeting_id='mtg_3'")
    before = path.read_bytes()
    done = call(path, "move", postgres_url)
    assert done.returncode == 2
    long = "'" + "x" * 39
    assert done.stderr.splitlines()[:-1] == [
        f"unfit    meetings.title where meeting_id = 'mtg_2': {long}… has 256 characters, and 255 "
        "fit",
        "unfit    meetings.description where meeting_id = 'mtg_3': 'a\\x00b' has the character NUL, "
        "which no text may have here",
        "unfit    meetings.start_time where meeting_id = 'mtg_1': 'soon' is no date that can be "
        "read",
        "unfit    meetings.end_time where meeting_id = 'mtg_3': '2025-02-30 10:00:00' is no date "
        "that can be read",
        "unfit    meetings.allow_external where meeting_id = 'mtg_4': 'maybe' is neither true nor "
        "false",
    ]
    assert done.stderr.splitlines()[-1].startswith("error: 5 values do not fit, the first: ")
    assert done.stderr.splitlines()[-1].endswith("; nothing was changed")
    assert tables_of(postgres_url) == [] and path.read_bytes() == before
    again = call(path, "move", postgres_url, "--unfit", "null")
    assert again.returncode == 2 and "4 values do not fit" in again.stderr
    assert tables_of(postgres_url) == [] and not list(path.parent.glob("*.unfit.*"))


def test_a_value_that_became_null_is_in_a_file(current, path, postgres_url):
    add_meeting(current, 1, description="a\0b")
    add_meeting(current, 2, description=b"\xff\xfe")
    add_meeting(current, 3, description="fine")
    done = call(path, "move", postgres_url, "--unfit", "null", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)["moved"]
    assert document["unfit"]["values"] == 2
    lines = Path(document["unfit"]["file"]).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "table": "meetings",
            "key": {"meeting_id": "mtg_1"},
            "column": "description",
            "value": "a\0b",
            "why": "has the character NUL, which no text may have here",
        },
        {
            "table": "meetings",
            "key": {"meeting_id": "mtg_2"},
            "column": "description",
            "value": {"bytes": "fffe"},
            "why": "has bytes that are no UTF-8",
        },
    ]
    with locate(postgres_url).connected() as connection:
        query = "SELECT description FROM meetings ORDER BY meeting_id"
        assert connection.execute(query).fetchall() == [(None,), (None,), ("fine",)]


@pytest.mark.parametrize("made", ["CREATE TABLE other (a int)", "CREATE SEQUENCE other"])
def test_a_target_that_is_not_empty_is_refused(current, path, postgres_url, made):
    with locate(postgres_url).connected() as connection:
        connection.execute(made)
    done = call(path, "move", postgres_url)
    assert done.returncode == 2
    assert "is not empty: it has 'other'; name an empty database" in done.stderr
    assert tables_of(postgres_url) == ["other"]


def test_it_can_be_moved_once(current, path, postgres_url):
    assert call(path, "move", postgres_url).returncode == 0
    done = call(path, "move", postgres_url)
    assert done.returncode == 2 and "is not empty: it has 'schema_history'" in done.stderr


@pytest.mark.parametrize(
    ("database", "target", "why"),
    [
        pytest.param("{path}", "{path}2", "is sqlite, and the database to move is sqlite", id="to"),
        pytest.param("{url}", "{url}", "is postgresql, and the database to move is", id="from"),
        pytest.param("{path}3", "{url}", "does not exist; name another", id="no source"),
        pytest.param("{path}", "{url}_no", "does not exist on this server", id="no target"),
        pytest.param("{path}", "mysql://u:secret@h/d", "is not supported", id="another kind"),
    ],
)
def test_a_move_to_or_from_something_else_is_refused(
    current, path, postgres_url, database, target, why
):
    words = {"path": path, "url": postgres_url}
    done = call(database.format(**words), "move", target.format(**words))
    assert done.returncode == 2 and why in done.stderr
    assert len(done.stderr.splitlines()) <= 2 and "secret" not in done.stderr
    assert tables_of(postgres_url) == []


def test_a_source_that_another_process_uses_is_refused(current, path, postgres_url):
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE')\n"
    code += "print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        done = call(path, "move", postgres_url)
        process.stdin.close()
    assert done.returncode == 2
    assert f"is in use by process {process.pid}" in done.stderr and "stop the server" in done.stderr
    assert tables_of(postgres_url) == []


def test_what_is_only_in_the_log_of_a_killed_server_arrives(current, path, tmp_path, postgres_url):
    """And the file and its log stay as they are."""
    folder = tmp_path / "killed"
    folder.mkdir()
    source = folder / path.name
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE ServerSettings SET server_name = 'in the log'")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{source}{suffix}")
    before = {file: file.read_bytes() for file in folder.iterdir()}
    done = call(source, "move", postgres_url)
    assert done.returncode == 0, done.stderr
    assert {file: file.read_bytes() for file in before} == before
    left = {file.name.removeprefix(path.name) for file in folder.iterdir()}
    assert left <= {"", "-wal", "-shm"}  # the index of the log, which SQLite makes to read it
    with locate(postgres_url).connected() as connection:
        query = 'SELECT server_name FROM "ServerSettings"'
        assert connection.execute(query).fetchall() == [("in the log",)]


class WritesMeanwhile(Watch):
    """Somebody whom nobody saw, such as a server in another container."""

    def __init__(self, path):
        self.path = path

    def foretells(self, rows, seconds):
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("DELETE FROM ServerSettings")


def test_a_source_that_is_written_meanwhile_is_refused(current, path, postgres_url):
    runner, target = Runner(PROJECT, SqliteFile(path)), locate(postgres_url)
    with pytest.raises(UnusableDatabase, match="was written to meanwhile by another process; stop"):
        move(runner, target, watch=WritesMeanwhile(path))
    assert tables_of(postgres_url) == [] and not runner.committed


class Heard(Watch):
    def __init__(self):
        self.foretold, self.done = None, []

    def foretells(self, rows, seconds):
        self.foretold = rows, seconds

    def works(self, word, table, done, rows):
        self.done.append((word, table, done, rows))


def test_it_says_before_how_many_rows_and_how_long(path, postgres_url):
    copy_legacy("after3", path)
    populate(path, 6000)
    heard = Heard()
    done = move(Runner(PROJECT, SqliteFile(path)), locate(postgres_url), watch=heard)
    rows, seconds = heard.foretold
    assert rows == done.rows and rows["meetings"] > 6000
    assert 0 < seconds < 60
    assert ("copying", "meetings", 3000, rows["meetings"]) in heard.done
    assert ("comparing", "meetings", rows["meetings"], rows["meetings"]) in heard.done


def test_a_terminal_shows_how_far_it_is(path, postgres_url):
    copy_legacy("after3", path)
    populate(path, 40_000)
    command = [sys.executable, str(MIGRATE), "--database", str(path), "move", postgres_url]
    status, text = at_a_terminal(command)
    assert status == 0, text
    assert re.search(r"now  copying meetings: \d+000 of 40020 rows, \d+\.\d s", text), text
    assert re.search(r"moving   40085 rows in 6 tables, about \d+ s; keep the server", text), text


def test_other_things_of_the_file_are_told(path, postgres_url):
    copy_legacy("extra_tables", path)
    done = call(path, "move", postgres_url, "--json")
    assert done.returncode == 0, done.stderr
    left = {
        (each["kind"], each["name"]): each["count"]
        for each in json.loads(done.stdout)["moved"]["left"]
    }
    assert left["table", "user notes"] > 0 and left["table", "billing"] > 0
    assert ("table", "audit_log") not in left  # which is empty
    assert ("view", "v_meetings") in left or ("trigger", "trg_meetings_audit") in left


# Tables of its own, with what the server's do not have.


class Base(peewee.Model):
    class Meta:
        legacy_table_names = False


class Person(Base):
    id = peewee.AutoField()
    name = peewee.CharField(max_length=5)
    boss = peewee.ForeignKeyField("self", null=True, column_name="boss", backref="staff")
    born = peewee.DateField(null=True)
    at = peewee.TimeField(null=True)
    seen = peewee.DateTimeField(null=True)
    weight = peewee.FloatField(null=True)
    height = peewee.DoubleField(null=True)
    cost = peewee.DecimalField(max_digits=8, decimal_places=2, null=True)
    photo = peewee.BlobField(null=True)
    key = peewee.UUIDField(null=True)
    small = peewee.SmallIntegerField(null=True)
    big = peewee.BigIntegerField(null=True)
    facts = peewee.JSONField(null=True)
    since = peewee.TimestampField(null=True, default=None)


class Visit(Base):
    person = peewee.ForeignKeyField(Person, column_name="person", on_delete="CASCADE")
    day = peewee.DateField()
    note = peewee.TextField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("person", "day")
        table_name = "visit"


MODELS = "from tests.guarded.backends.postgresql.test_move import Person, Visit\n"
MAKE = MODELS + "migrator.migrate(migrator.create_table(Person), migrator.create_table(Visit))"


@pytest.fixture
def people(make_project, path, connect, postgres_url):
    """A project of two tables, moved by ``moved``."""
    return People(make_project, path, connect, postgres_url)


class People:
    def __init__(self, make_project, path, connect, url):
        self._make, self._path, self.target = make_project, path, locate(url)
        self.project = self.made(MAKE)
        Runner(self.project, SqliteFile(path), backup=False).up()
        self.connection = connect()

    def made(self, *bodies):
        files = {f"change_{n}": migration(body) for n, body in enumerate(bodies)}
        return self._make(files, persistent=(Person, Visit))

    def add(self, **values):
        values = {"name": "ada", **values}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        sql = f"INSERT INTO person ({names}) VALUES ({marks})"
        self.connection.execute(sql, tuple(values.values()))

    def move(self, **options) -> Moved:
        self.connection.commit()
        return move(Runner(self.project, SqliteFile(self._path)), self.target, **options)

    def rows(self, query):
        with self.target.connected() as connection:
            return connection.execute(query).fetchall()


def test_every_kind_of_field_reads_as_it_did(people, path):
    people.add(
        born="1815-12-10",
        at="10:20:30.5",
        seen="2025-12-12 10:00:00.25",
        weight=0.1,
        height=1 / 3,
        cost=12.5,
        photo=b"\x00\xff\\",
        key="0123456789abcdef0123456789abcdef",
        small=-5,
        big=2**62,
        facts='{"b": [1, 2.50, "é"], "a": null}',
        since=1765533600,
    )
    # The model shows the day alone of a date with a time.
    people.add(name="", born="1815-12-10 10:00:00", cost="999999.99", height=-0.0)
    done = people.move()
    assert done.rows == {"person": 2, "visit": 0}
    (first, second) = people.rows(
        "SELECT born::text, at::text, seen AT TIME ZONE 'UTC' = '2025-12-12 10:00:00.25', weight, "
        "height, cost::text, photo, key::text, small, big, facts->'b'->>1, since FROM person "
        "ORDER BY id"
    )
    assert first[:7] == ("1815-12-10", "10:20:30.5", True, 0.1, 1 / 3, "12.50", b"\x00\xff\\")
    assert first[7:] == ("01234567-89ab-cdef-0123-456789abcdef", -5, 2**62, "2.50", 1765533600)
    assert (second[0], second[5]) == ("1815-12-10", "999999.99")


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        pytest.param("name", "adaada", "has 6 characters, and 5 fit", id="too long"),
        pytest.param("at", "25:00", "is no time that can be read", id="time"),
        pytest.param("seen", 1765533600, "is no date that can be read", id="a number for a date"),
        pytest.param("weight", 0.123456789, "has more digits than real keeps", id="rounded"),
        pytest.param("weight", 1e300, "is beyond the range of real", id="beyond real"),
        pytest.param("height", "x", "is text, not a number", id="no number"),
        pytest.param("height", 2**53 + 1, None, id="a whole number that SQLite makes a real"),
        pytest.param("cost", 1.005, "has more than 2 digits behind the point", id="scale"),
        pytest.param("cost", 1000000, "has more than 6 digits before the point", id="precision"),
        pytest.param("photo", "text", "is text, not bytes", id="no bytes"),
        pytest.param("key", "no", "is no UUID", id="no UUID"),
        pytest.param("small", 2**15, "is beyond the range of smallint", id="beyond smallint"),
        pytest.param("small", 1.5, "is a number, not a whole number", id="a fraction"),
        pytest.param("big", "7x", "is text, not a whole number", id="no whole number"),
        pytest.param("facts", "{", "is no JSON", id="no JSON"),
        pytest.param("facts", '"\\u0000"', "has the character NUL", id="NUL in JSON"),
        pytest.param("facts", "[NaN]", "is no JSON", id="NaN in JSON"),
        pytest.param("boss", 77, "refers to no row of 'person'", id="a key that dangles"),
    ],
)
def test_a_value_that_would_change_is_refused(people, column, value, why):
    people.connection.execute("PRAGMA foreign_keys = OFF")
    people.add(name="eve")
    people.add(**{column: value})
    if why is None:
        assert people.move().rows["person"] == 2
        return
    with pytest.raises(ValuesDoNotFit, match=f"person.{column} where id = 2: .* {why}"):
        people.move()
    assert people.rows("SELECT to_regclass('person')") == [(None,)]
    if column != "name":
        assert people.move(nulls=True).nulled == 1
        assert people.rows(f"SELECT id, {column} FROM person ORDER BY id")[1] == (2, None)


def test_rows_that_refer_to_each_other_arrive_in_any_order(people):
    people.connection.execute("PRAGMA foreign_keys = OFF")
    people.add(id=1, boss=2)
    people.add(id=2, boss=1)
    people.add(id=3, boss=3)
    people.connection.execute("INSERT INTO visit VALUES (1, '2025-01-01', NULL)")
    assert people.move().rows == {"person": 3, "visit": 1}
    with pytest.raises(Exception, match="violates foreign key constraint"):
        people.rows("INSERT INTO visit VALUES (4, '2025-01-01', NULL) RETURNING 1")


def test_a_key_of_a_primary_key_that_dangles_is_refused_even_with_nulls(people):
    people.connection.execute("PRAGMA foreign_keys = OFF")
    people.connection.execute("INSERT INTO visit VALUES (4, '2025-01-01', NULL)")
    for nulls in (False, True):
        with pytest.raises(ValuesDoNotFit, match="visit.person where person = 4 and day = "):
            people.move(nulls=nulls)


TRIGGER = """
if type(db).__name__ == "SqliteDatabase":
    return
migrator.migrate(
    migrator.sql('''CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.name := 'x'; RETURN NEW; END $$'''),
    migrator.sql('''CREATE TRIGGER noting BEFORE INSERT ON person FOR EACH ROW
        EXECUTE FUNCTION note()'''),
    migrator.sql("ALTER TABLE person ENABLE ALWAYS TRIGGER noting"),
)
"""


def test_triggers_rest_and_are_as_they_were_afterwards(people):
    people.add()
    people.project = people.made(MAKE, TRIGGER)
    assert people.move().rows["person"] == 1
    assert people.rows("SELECT name FROM person") == [("ada",)]
    assert people.rows("SELECT tgenabled FROM pg_trigger WHERE tgname = 'noting'") == [("A",)]
    assert people.rows("INSERT INTO person (name) VALUES ('y') RETURNING name") == [("x",)]


PADDED = (
    MAKE
    + """
if type(db).__name__ != "SqliteDatabase":
    migrator.migrate(migrator.sql("ALTER TABLE person ALTER COLUMN name TYPE char(5)"))
"""
)


def test_a_column_that_reads_as_something_else_is_found(people):
    people.add()
    people.project = people.made(PADDED)
    people.connection.execute("DELETE FROM schema_history")
    with pytest.raises(BrokenPromise, match=r"column 'person.name' does not read as it did"):
        people.move()
    assert people.rows("SELECT to_regclass('person')") == [(None,)]


CHECKED = (
    MAKE
    + """
if type(db).__name__ != "SqliteDatabase":
    migrator.migrate(migrator.sql("ALTER TABLE person ADD CHECK (name <> 'ada')"))
"""
)


def test_a_row_that_breaks_a_constraint_is_refused_in_one_line(people):
    people.add()
    people.project = people.made(CHECKED)
    people.connection.execute("DELETE FROM schema_history")
    with pytest.raises(Refused, match="table 'person' does not take a row: new row .* check"):
        people.move()


def test_a_column_that_no_migration_makes_is_told_with_its_values(people):
    people.add()
    people.connection.execute("ALTER TABLE person ADD COLUMN extra TEXT")
    assert people.move().left == ()
    with people.target.connected() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    people.connection.execute("UPDATE person SET extra = 'x'")
    (left,) = people.move().left
    assert (left.kind, left.name, left.rows) == (Kind.COLUMN, "person.extra", 1)
