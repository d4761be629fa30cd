"""Wrong inputs: exit 2, one line or two, the remedy in them, and nothing made or changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from guarded.cli.commands import run as run_commands
from tests.conftest import MIGRATE, copy_legacy


def contents(folder: Path) -> dict[str, str]:
    """Every file below the folder, with what it holds; not the migration that is tried."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix != ".pyc" and file.name != "change.py"
    }


@pytest.fixture
def refuse(tmp_path):
    """Make a call that has to be refused; return its lines, without the name of the database."""

    def check(call) -> list[str]:
        before = contents(tmp_path)
        status, err = call()
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert status == 2, err
        assert lines[0].startswith("error: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("  run: "))
        assert "Traceback" not in err
        assert contents(tmp_path) == before
        return lines

    return check


# What is typed.  Without --database it is a database with rows.

TYPED = [
    (["statsu"], "did you mean 'status'?"),
    (["rollback"], "did you mean 'down'?"),
    (["up", "ADD_HMAC_AUTH"], "did you mean 'add_hmac_auth'?"),
    (["up", "add_usr_links"], "did you mean 'add_user_links'?"),
    (["up", "everything"], "there are add_hmac_auth, "),
    (["up", "add_hmac_auth", "add_user_links"], "unexpected extra argument (add_user_links)"),
    (["up", "--too"], "No such option '--too'"),
    (["up", "--wait"], "'--wait' requires an argument"),
    (["up", "--wait", "long"], "'long' is not a valid float"),
    (["up", "--wait", "-1"], "-1.0 is not in the range x>=0"),
    (["up", "--wait", "nan"], "not a number of seconds"),
    (["plan", "user_links"], "did you mean 'add_user_links'?"),
    (["down", "all"], "there are add_hmac_auth, "),
    (["down", "add_hmac_auth", "--force"], "No such option '--force'"),
    (["fake", "nothing"], "no migration is named 'nothing'"),
    (["rehearse", "nothing"], "no migration is named 'nothing'"),
    (["rename", "one", "two"], "no migration is named 'one'"),
    (["rename", "add_user_links"], "Missing argument 'NEW'"),
    (["new"], "Missing argument 'NAME'"),
    (["new", "add_user_links"], "there is a migration of that name"),
    (["new", "../add_color"], "a name is verb_object"),
    (["new", "2nd_color"], "a name is verb_object"),
    (["new", "class"], "a name is verb_object"),
    (["new", ""], "a name is verb_object"),
    (["restore"], "there is no backup of it; name a file"),
    (["restore", "no-such-file"], "there is no such file; name a backup"),
    (["restore", "text.txt"], "file is not a database; name a whole backup"),
    (["restore", "folder"], "there is no such file; name a backup"),
    (["backups", "prune", "--keep", "few"], "'few' is not a valid integer"),
    (["backups", "prune", "--keep", "-1"], "-1 is not in the range x>=0"),
    (["backups", "prune", "--include", "all"], "'all' is not one of 'by-hand'"),
    (["backup", "copy.sqlite"], "unexpected extra argument (copy.sqlite)"),
    (["schema", "--format", "pdf"], "'pdf' is not one of 'text', "),
    (["schema", "--format", "html"], "--format html and FILE go together"),
    (["schema", "--format", "html", "no/page.html"], "its folder does not exist"),
    (["status", "--database"], "'--database' requires an argument"),
    (["status", "--database", ""], "names no file"),
    (["status", "--database", "folder"], "is a directory; name the file in it"),
    (["up", "--database", "text.txt"], "is not an SQLite database; name another file"),
    (["up", "--database", "no/a.sqlite"], "the folder 'no' does not exist; create the folder"),
    (["up", "--database", ":memory:"], "names no file"),
    (["up", "--database", "sqlite:a"], "sqlite:///relative/path"),
    (["up", "--database", "sqlite://a.sqlite"], "write sqlite:///relative/path"),
    (["up", "--database", "sqlite:///a.sqlite?mode=ro"], "not understood"),
    (["up", "--database", "sqlite:///a.sqlite#old"], "not understood"),
    (["up", "--database", "mysql://host/a"], "not supported"),
    (["up", "--database", "postgresql://"], "names no database; write postgresql://user@host/name"),
    (["down", "--database", "a.sqlite"], "does not exist; name another, or make it"),
    (["backup", "--database", "a.sqlite"], "does not exist; name another, or make it"),
]


@pytest.mark.parametrize(("arguments", "says"), TYPED, ids=[" ".join(typed) for typed, _ in TYPED])
def test_what_is_typed(refuse, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    there = copy_legacy("after4", tmp_path / "there.sqlite")
    (tmp_path / "text.txt").write_text("hello\n")
    (tmp_path / "folder").mkdir()
    # A server of its own: a name that is taken for a good one would be written into it.
    server = shutil.copytree(
        MIGRATE.parents[1], tmp_path / "server", ignore=shutil.ignore_patterns("__pycache__")
    )
    if "--database" not in arguments:
        arguments = ["--database", there.name, *arguments]

    def call() -> tuple[int, str]:
        command = [sys.executable, str(server / "migrations" / "migrate.py"), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(MIGRATE.parents[2])},
        )
        losses = [x for x in done.stderr.splitlines() if not x.startswith("lost for good: ")]
        return done.returncode, "\n".join(losses)

    assert says in " ".join(refuse(call))


# What is written into a migration.  "tags" is a table of the migration before, with two rows.

CREATE = """
from peewee import *

class Tag(Model):
    name = CharField()
    class Meta:
        table_name = "tags"

def up(migrator, db):
    migrator.migrate(migrator.create_table(Tag))

def down(migrator, db):
    migrator.migrate(migrator.drop_table("tags"))
"""
HEAD = CREATE.partition("def up")[0] + "def up(migrator, db):\n"
WRITTEN = [
    ("migrator.add_colum('tags', 'x', CharField(null=True))", "did you mean 'add_column'?"),
    ("migrator.add_field('tags', 'x', CharField(null=True))", "did you mean 'add_column'?"),
    ("migrator.execute('DROP TABLE tags')", "did you mean 'sql'?"),
    ("migrator.add_column('tgas', 'x', CharField(null=True))", "did you mean 'tags'? (add_column,"),
    ("migrator.add_column('tags')", "it is add_column(table, column_name, field, "),
    ("migrator.add_column('tags', 'x', CharField)", "write CharField()"),
    ("migrator.add_column('tags', 'x', 'TEXT')", "needs a field such as CharField()"),
    ("migrator.add_column('tags', 'x', CharField())", "not null but has no default; give"),
    ("migrator.add_column('tags', 'x', ForeignKeyField('tags'))", "ForeignKeyField(Parent, field="),
    ("migrator.add_column(Tag, 'x', CharField(null=True))", "write 'tags', and not Tag"),
    ("migrator.add_column('tags', Tag.name, CharField())", "write 'name', and not the field"),
    ("migrator.create_table('tags')", "takes a model, and not 'tags'"),
    ("migrator.drop_table(Tag)", "write 'tags', and not Tag (drop_table,"),
    ("migrator.rename_column('tags', 'nme', 'title')", "did you mean 'name'?"),
    ("migrator.rename_column('tags', 'name', 'id')", "there is a column 'id' too"),
    ("migrator.add_index('tags', 'name')", "write ['name']"),
    ("migrator.add_index('tags', ['nme'])", "did you mean 'name'? (add_index,"),
    ("migrator.alter_column_type('tags', 'name', 'TEXT')", "needs a field such as CharField()"),
    ("migrator.add_constraint('tags', 'c', 'name > 1')", "write Check('name > 1')"),
    ("migrator.add_column_default('tags', 'name', None)", "use drop_column_default"),
    ("migrator.fill('tags', 'name', 1)", "takes a text in quotes, and not 1"),
    ("migrator.sql('UPDAT tags SET name = 1')", 'near "UPDAT": syntax error (sql, line '),
    ("migrator.sql('UPDATE tags SET nme = 1')", "no such column: nme; did you mean 'name'?"),
    ("migrator.sql('UPDATE tgas SET name = 1')", "no such table: tgas; did you mean 'tags'?"),
    ("[migrator.drop_table('tags')]", "write migrate(*…) for a list"),
    ("migrator.drop_table", "write migrator.drop_table(…)"),
    ("'DROP TABLE tags'", "hand SQL to it as migrator.sql('…')"),
    ("migrator.add_column('tags', 'x', CharFeild())", "did you mean 'CharField'?"),
    ("migrator.add_column('tags', 'x', Tag.nmae)", "did you mean 'name'?"),
]


@pytest.fixture
def run(tmp_path, make_project, capsys):
    """Run a migration with this body on the table that the one before it made."""
    database = tmp_path / "tags.sqlite"

    def up(project, *arguments: str) -> int:
        with pytest.raises(SystemExit) as caught:
            run_commands(project, ["--database", str(database), "up", *arguments])
        return int(caught.value.code or 0)

    assert up(make_project({"create": CREATE})) == 0
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO tags (name) VALUES ('a'), ('b')")
        connection.commit()

    def run(body: str) -> tuple[int, str]:
        capsys.readouterr()
        status = up(make_project({"create": CREATE, "change": f"{HEAD}    {body}\n"}))
        out, err = capsys.readouterr()
        return status, err if status else out

    return run


@pytest.mark.parametrize(("operation", "says"), WRITTEN)
def test_what_is_written(refuse, run, operation, says):
    (line,) = refuse(lambda: run(f"migrator.migrate({operation})"))
    assert says in line
    assert f"line {HEAD.count(chr(10)) + 1} of change.py" in line
    assert line.endswith("; nothing was changed")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("migrator.drop_table('tags')", "drop_table(…) was called, and not run; hand it to"),
        ("5 / 0", "ZeroDivisionError: division by zero (line "),
        ("db.execute_sql('UPDATE tgas SET name = 1')", "did you mean 'tags'? (line "),
        ("import nowhere", "No module named 'nowhere' (line "),
    ],
)
def test_what_stands_beside_the_verbs(refuse, run, body, says):
    (line,) = refuse(lambda: run(body))
    assert says in line


def test_the_line_of_an_operation_is_its_own(refuse, run):
    body = (
        "migrator.migrate(\n"
        "        migrator.add_index('tags', ['name']),\n"
        "        migrator.rename_column('tags', 'nme', 'title'),\n"
        "    )"
    )
    (line,) = refuse(lambda: run(body))
    assert f"(rename_column, line {HEAD.count(chr(10)) + 3} of change.py)" in line


def test_a_file_that_can_not_be_imported_names_its_line(refuse, run):
    (line,) = refuse(lambda: run("pass\n\ncolor = blue"))
    assert "raised NameError in line " in line


def test_a_drop_of_a_name_that_is_not_there_asks_for_the_one_that_is(run):
    status, out = run("migrator.migrate(migrator.drop_column('tags', 'nme'))")
    assert status == 0
    assert "skip    tags.nme: not there; did you mean 'name'?" in out
