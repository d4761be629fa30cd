"""docs/json.md tells the keys of every document that ``--json`` prints."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest

from guarded.cli.commands import cli as command_line
from tests.conftest import ROOT, copy_legacy, migration

PAGE = (ROOT / "docs" / "json.md").read_text()
# A section begins with the names of its commands.
SECTIONS = {
    heading: re.search(r"```json\n(.*?)```", text, re.DOTALL)[1]
    for heading, text in re.findall(
        r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}
NAMED = {"excluded", "rows"}  # objects whose keys are names of files or tables
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def keys(value: Any, path: str = "") -> set[str]:
    """Every key as a path; the items of a list share theirs."""
    if isinstance(value, list):
        return {key for item in value for key in keys(item, path)}
    if not isinstance(value, dict) or path.rpartition(".")[2] in NAMED:
        return set()
    return {f"{path}.{key}" for key in value}.union(
        *(keys(item, f"{path}.{key}") for key, item in value.items())
    )


def kinds(value: Any, path: str = "") -> dict[str, set[str]]:
    """The JSON types of the values at each path; an object's or a list's own is left out."""
    if isinstance(value, list):
        parts = [kinds(item, path) for item in value]
    elif isinstance(value, dict):
        parts = [kinds(item, f"{path}.{key}") for key, item in value.items()]
        if path.rpartition(".")[2] in NAMED:
            parts = [kinds(item, path) for item in value.values()]
    else:
        return {path: {type(value).__name__}}
    found: dict[str, set[str]] = {}
    for part in parts:
        for place, types in part.items():
            found[place] = found.get(place, set()) | types
    return found


def check(document: dict[str, Any], page: dict[str, Any]) -> None:
    """The document has the keys of the page, and values of the same types where both have some."""
    assert keys(document) == keys(page)
    told = kinds(page)
    for path, types in kinds(document).items():
        known = told.get(path, set()) - {"NoneType"}
        assert not known or types - {"NoneType"} <= known, path


def documented(command: str) -> dict[str, Any]:
    (text,) = [text for heading, text in SECTIONS.items() if f"`{command}`" in heading]
    return json.loads(text)


@pytest.fixture
def run(cli, path):
    """A command of the real command line on a database that has three of four migrations."""
    copy_legacy("after3", path)
    assert cli("up", "add_server_settings").returncode == 0

    def call(*arguments: str) -> dict[str, Any]:
        return json.loads(cli(*arguments, "--json").stdout)

    return call


COMMANDS = [
    *("up", "plan", "rehearse", "status", "history", "schema", "doctor", "check", "backup"),
    "verify",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_document_has_the_keys_that_the_page_tells(run, command):
    check(run(command), documented(command))


def test_the_document_of_fake_has_no_steps(run):
    done = run("fake")
    assert keys(done) == {key for key in keys(documented("fake")) if ".steps." not in key}
    assert [item for item in done["done"] if item["steps"]] == []


def test_a_dry_run_prints_the_document_of_plan(run):
    check(run("up", "--dry-run"), documented("plan"))


def test_the_document_of_down_is_that_of_up(run):
    run("up")
    check(run("down", "--yes"), documented("down"))


def test_the_document_of_restore_is_on_the_page(run):
    taken = run("backup")["backup"]
    check(run("restore", taken), documented("restore"))


def test_the_document_of_move_is_on_the_page(run, path, connect, postgres_url):
    connection = connect()
    connection.execute("UPDATE meetings SET created_at = 'CURRENT_TIMESTAMP', description = x'ff'")
    connection.commit()
    connection.close()
    check(run("move", postgres_url, "--unfit", "null"), documented("move"))


def test_the_document_of_an_error_is_on_the_page(run):
    check(run("up", "nope"), json.loads(SECTIONS["An error"]))
    check(run("fly"), json.loads(SECTIONS["An error"]))


def test_the_document_of_rename_is_on_the_page(make_project, path, capsys):
    from guarded.cli.commands import run as run_commands

    text = migration("pass", "pass")
    for name, arguments in (("old", ["up"]), ("new", ["rename", "old", "new"])):
        project = make_project({name: text})
        with pytest.raises(SystemExit):
            run_commands(project, ["--database", str(path), "--json", *arguments])
        (project.directory / f"{name}.py").unlink()
        printed = json.loads(capsys.readouterr().out)
    check(printed, documented("rename"))


@pytest.mark.parametrize("flags", [[], ["--from-models"]])
def test_the_document_of_new_is_on_the_page(make_project, path, capsys, flags):
    from guarded.cli.commands import run as run_commands

    project = make_project({"empty": migration("pass", "pass")})
    listing = project.directory / "migrate.py"
    listing.write_text('MIGRATIONS = ["empty"]\n')
    arguments = ["--database", str(path), "--json", "new", "add_color", *flags]
    with pytest.raises(SystemExit):
        run_commands(project._replace(listing=listing), arguments)
    check(json.loads(capsys.readouterr().out), documented("new"))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_the_document_of_a_page_is_on_the_page(run, tmp_path):
    done = run("schema", "--format", "html", str(tmp_path / "schema.html"))
    check(done, documented("schema --format html"))


def test_the_documents_of_backups_are_on_the_page(run):
    run("up")
    found = run("backups")
    check(found, documented("backups"))
    assert [each["origin"] for each in found["backups"]] == ["run", "run"]
    assert all(
        TIME.fullmatch(each["at"]) for part in ("backups", "dropped") for each in found[part]
    )
    pruned = run("backups", "prune", "--keep", "1")
    check(pruned, documented("backups prune"))
    assert pruned["removed"] == [found["backups"][1]["file"]]


def test_every_command_and_every_key_is_on_the_page():
    for name in command_line.list_commands(None):
        assert documented(name)["version"] == 1
    for heading, text in SECTIONS.items():
        section = PAGE[PAGE.index(f"## {heading}\n") :].partition("\n## ")[0]
        table = section + PAGE.partition("\n## ")[0]
        for key in keys(json.loads(text)):
            name = key.rpartition(".")[2]
            is_above = key.startswith((".plan.", ".rehearsal.done."))  # as told for `up`
            assert f"`{name}`" in table or is_above, f"{heading}: {name} is not explained"


def test_times_are_in_utc_and_say_so(run):
    (at, *_) = [row["at"] for row in run("history")["history"]]
    assert TIME.fullmatch(at)
    standings = run("status")["migrations"]
    applied = [s for s in standings if s["state"] == "applied"]
    assert len(applied) == 3
    assert all(TIME.fullmatch(s["at"]) for s in applied)
    assert {s["at"] for s in standings if s["state"] == "pending"} == {None}
