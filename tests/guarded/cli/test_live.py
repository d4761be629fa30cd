"""What a person sees of a run while it goes on, at a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from guarded.cli import output
from guarded.steps import Action, Step, column
from tests.conftest import ROOT, below_where, migration
from tests.guarded.test_run import ADD, CREATE, FAIL

SLOW = migration(
    """
    migrator.migrate(migrator.sql('''
        INSERT INTO tags (name, color)
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 6000000)
        SELECT 'a', max(n) FROM number
    '''))
    """
)
ROWS = migration("db.execute_sql(\"INSERT INTO tags (name) VALUES ('a'), ('b'), ('c')\")")
PROGRAM = """
from pathlib import Path
from guarded.cli.commands import run
from guarded.project import Models, Project

def migrator(database):
    from playhouse.migrate import SchemaMigrator
    return SchemaMigrator.from_database(database)

here = Path(__file__).parent
listed = {listed}
run(Project(name="test", version="1", directory=here, listed=listed, models=lambda: Models([]),
            migrator=migrator, location=lambda: str(here / "tags.sqlite")))
"""


@pytest.fixture
def program(tmp_path):
    """Write a project whose list is these files; return how to start it."""

    def make(files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / "migrate.py").write_text(PROGRAM.format(listed=list(files)))
        return [sys.executable, str(tmp_path / "migrate.py")]

    return make


UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS")  # xdist sets the last for its workers


def environment(**more):
    plain = {k: v for k, v in os.environ.items() if k not in UNSET}
    return {**plain, "PYTHONPATH": str(ROOT), "TERM": "xterm", **more}


def in_a_pipe(arguments, **more):
    return subprocess.run(
        arguments, env=environment(**more), capture_output=True, text=True, timeout=120
    )


def at_a_terminal(arguments, columns=80, input=b"", **more):
    """The exit status, and all that the terminal got; ``input`` is typed at once."""
    terminal, inside = pty.openpty()
    settings = termios.tcgetattr(inside)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(inside, termios.TCSANOW, settings)
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        arguments, env=environment(**more), stdin=inside, stdout=inside, stderr=inside
    )
    os.close(inside)
    os.write(terminal, input)
    got = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other side has been closed
            break
        if not part:
            break
        got += part
    os.close(terminal)
    return process.wait(), got.decode()


def test_a_pipe_gets_each_line_as_it_happens(program):
    arguments = program({"create": CREATE, "add": ADD, "slow": SLOW})
    with subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        seen = {line.strip(): time.monotonic() for line in process.stdout}
    assert process.returncode == 0
    names = [line for line in seen if line.startswith(("applying", "committed"))]
    assert names[:3] == ["applying create", "applying add", "applying slow"]
    assert re.fullmatch(r"committed 3 migrations in \d+\.\d\d s", names[3])
    (statement,) = [line for line in seen if "INSERT INTO tags" in line]
    assert seen[statement] - seen["applying slow"] > 0.5
    assert "\x1b" not in "".join(seen)


def test_a_terminal_shows_what_runs_and_for_how_long(program):
    status, got = at_a_terminal(program({"create": CREATE, "add": ADD, "slow": SLOW}))
    assert status == 0
    drawn = re.findall(r"\r\x1b\[Know  (run +INSERT INTO tags[^\r]*), (\d+\.\d) s", got)
    assert drawn
    assert all(len(f"now  {text}, {seconds} s") <= 80 for text, seconds in drawn)
    last = got[got.rindex("\x1b[K") :]  # the line is wiped before the next one
    assert last.startswith("\x1b[K           run     INSERT INTO tags")


MANY = migration(
    """
    db.execute_sql('''
        INSERT INTO tags (name)
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 200000)
        SELECT 'a' FROM number
    ''')
    """
)
FILL = migration(
    "migrator.migrate(migrator.fill('tags', 'name', 'substr(hex(randomblob(3000)), 5)'))"
)


def test_a_terminal_shows_how_far_a_fill_is(program):
    assert in_a_pipe(program({"create": CREATE, "add": ADD, "many": MANY})).returncode == 0
    files = {"create": CREATE, "add": ADD, "many": MANY, "fill": FILL}
    status, got = at_a_terminal([*program(files), "up", "--no-backup"])
    assert status == 0
    drawn = re.findall(r"now  fill +tags\.name[^\r]*, UPDATE about (\d+)%, \d+\.\d s", got)
    assert len(drawn) > 1, got
    assert [int(share) for share in drawn] == sorted(int(share) for share in drawn)


def test_a_run_that_fails_is_said_to_be_rolled_back(program):
    done = in_a_pipe(program({"create": CREATE, "fail": FAIL}))
    assert done.returncode == 2
    assert below_where(done.stdout).splitlines() == [
        "applying create",
        "           create  tags",
        "applying fail",
        "           add     tags.size",
        "rolled back",
    ]
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("; nothing was changed\n")


@pytest.mark.parametrize(
    ("variables", "is_terminal", "coloured"),
    [
        pytest.param({}, True, True, id="a terminal"),
        pytest.param({}, False, False, id="a pipe"),
        pytest.param({"NO_COLOR": "1"}, True, False, id="NO_COLOR"),
        pytest.param({"NO_COLOR": ""}, True, True, id="NO_COLOR that is empty"),
        pytest.param({"FORCE_COLOR": "1"}, False, True, id="FORCE_COLOR"),
        pytest.param({"TERM": "dumb"}, True, False, id="a dumb terminal"),
    ],
)
def test_colour(program, variables, is_terminal, coloured):
    arguments = program({"create": CREATE, "add": ADD})
    if is_terminal:
        status, out = at_a_terminal(arguments, **variables)
    else:
        done = in_a_pipe(arguments, **variables)
        status, out = done.returncode, done.stdout
    assert status == 0
    assert ("\x1b[32mapplying\x1b[0m create" in out) is coloured
    assert ("applying create" in out) is not coloured


def test_a_terminal_of_80_columns_is_enough(program):
    arguments = program({"create": CREATE, "add": ADD})
    assert in_a_pipe(arguments).returncode == 0
    reason = "a reason that is longer than any terminal is wide, " * 3
    path = Path(arguments[-1])
    excluded = f'listed=listed, excluded={{"old": "{reason}"}},'
    path.write_text(path.read_text().replace("listed=listed,", excluded))
    path.with_name("old.py").write_text(CREATE)
    for command in (["status"], ["plan"], ["history"], ["doctor"], ["down", "--yes", "-v"]):
        _, out = at_a_terminal([*arguments, *command])
        plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", out)
        long = [line for line in re.split(r"[\r\n]+", plain) if len(line) > 80]
        assert all(" " not in line.strip() for line in long), command


def test_steps_tell_their_rows_and_long_ones_their_time():
    step = Step(Action.FILL, column("tags", "color"), rows=5000)
    assert output.step_lines(step, False, 12.34) == [
        "           fill    tags.color, 5000 rows, 12.3 s"
    ]
    assert output.step_lines(step._replace(rows=1), False, 0.01) == [
        "           fill    tags.color, 1 row"
    ]
    kept = Step(Action.DROP, column("tags", "color"), "7 values kept", rows=7)
    assert output.step_line(kept) == "drop    tags.color, 7 values kept"


@pytest.mark.parametrize(
    ("sql", "lines"),
    [
        pytest.param(
            'CREATE TABLE "a" ("id" INTEGER, "b" DECIMAL(5, 2) DEFAULT \'x, (\', CHECK (b IN (1, 2)))',
            [
                'CREATE TABLE "a" (',
                '  "id" INTEGER,',
                "  \"b\" DECIMAL(5, 2) DEFAULT 'x, (',",
                "  CHECK (b IN (1, 2))",
                ");",
            ],
            id="a comma inside of a type, a string and a CHECK",
        ),
        pytest.param(
            'CREATE TABLE "a,(b" ("id" INTEGER) STRICT',
            ['CREATE TABLE "a,(b" (', '  "id" INTEGER', ") STRICT;"],
            id="a comma in a name, and an option",
        ),
        pytest.param(
            "CREATE TABLE a AS SELECT 1", ["CREATE TABLE a AS SELECT 1;"], id="no list of columns"
        ),
        pytest.param(
            "CREATE TABLE a (\n  b INTEGER\n)",
            ["CREATE TABLE a (", "  b INTEGER", ");"],
            id="lines of its own",
        ),
        pytest.param("CREATE TABLE a (b", ["CREATE TABLE a (b;"], id="cut off"),
        pytest.param("  ", [], id="nothing"),
    ],
)
def test_sql_has_a_line_for_each_column(sql, lines):
    assert output.sql_lines(sql) == lines


def test_plan_tells_the_rows_that_go_and_those_that_it_passes_over(program, tmp_path):
    drop = migration(
        """
        migrator.migrate(migrator.drop_column('tags', 'color'))
        migrator.migrate(migrator.fill('tags', 'name', "'b'"))
        """
    )
    files = {"create": CREATE, "add": ADD, "rows": ROWS}
    assert in_a_pipe(program(files)).returncode == 0
    done = in_a_pipe([*program({**files, "drop": drop}), "plan"])
    steps = [line.strip() for line in done.stdout.splitlines() if line.startswith(" " * 11 + "d")]
    assert steps == ["drop    tags.color, 3 rows"], done.stdout + done.stderr
    assert "           fill    tags.name, 3 rows\n" in done.stdout


def test_an_error_obeys_no_color_too(program):
    _, got = at_a_terminal([*program({"create": CREATE, "fail": FAIL}), "up"], NO_COLOR="1")
    assert "error: " in got
    assert "\x1b[3" not in got
