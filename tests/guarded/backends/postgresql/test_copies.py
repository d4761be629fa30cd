"""`backups`, `backups prune` and the page of a schema, on PostgreSQL."""

from __future__ import annotations

import json
import shutil

import pytest

from guarded.cli.commands import run as run_commands
from server.migrations.migrate import PROJECT


@pytest.fixture
def call(postgres_url, tmp_path, capsys):
    """The command line in this process; the backups are not those of this checkout."""
    project = PROJECT._replace(backups=tmp_path / "backups")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            run_commands(project, ["--database", postgres_url, *arguments])
        out, err = capsys.readouterr()
        assert (caught.value.code, err) == (0, "")
        return out

    return run


def test_the_history_tells_the_newest_migration_of_a_dump(call):
    for arguments in (["up", "add_server_settings"], ["backup"], ["up"]):
        call(*arguments)
    found = json.loads(call("backups", "--json"))["backups"]
    assert [(each["origin"], each["newest"], each["unreadable"]) for each in found] == [
        ("run", "add_server_settings", None),
        ("by hand", "add_server_settings", None),
    ]
    removed = json.loads(call("backups", "prune", "--keep", "0", "--json"))["removed"]
    assert removed == [found[0]["file"]]
    left = json.loads(call("backups", "--json"))["backups"]
    assert [each["file"] for each in left] == [found[1]["file"]]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_the_page_has_the_tables_and_the_migrations(call, tmp_path):
    call("up")
    call("schema", "--format", "html", str(tmp_path / "schema.html"))
    text = (tmp_path / "schema.html").read_text()
    assert "5 of 5 migrations applied" in text
    for name in ("meetings", "client_sessions", "user_links"):
        assert f">{name}</text>" in text
    assert ">create table client_sessions</summary>" in text
