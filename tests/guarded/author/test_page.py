"""The page of a schema: one file that needs no network, written whole or not at all."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser

import pytest

from guarded.author.page import MARK
from tests.conftest import LEGACY, copy_legacy, schema_of

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
VOID = {"meta", "input", "br"}


class Nesting(HTMLParser):
    """Sees that every element that begins ends, and keeps what leads out of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.outside += [v for k, v in attrs if k in ("src", "href", "data") and v[0] != "#"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data.split()


@pytest.fixture
def page(tmp_path):
    return tmp_path / "schema.html"


def written(cli, page):
    done = cli("schema", "--format", "html", str(page))
    assert (done.returncode, done.stderr) == (0, "")
    return page.read_text()


def chapters(text):
    """The migrations of the page, each with its steps; those in brackets were there before."""
    found = {}
    for part in text.partition('<section id="migrations">')[2].split("<li><h3>")[1:]:
        steps = re.findall(r"<li( class=\"there\")?>(?:<details><summary>)?([^<]+)", part)
        found[part.partition("<")[0]] = [f"({step})" if there else step for there, step in steps]
    return found


@needs_dot
def test_the_page_has_tables_migrations_and_when_they_were_applied(cli, path, page):
    assert cli("up", "add_server_settings").returncode == 0
    text = written(cli, page)
    nesting = Nesting(text)
    assert (nesting.open, nesting.outside) == ([], [])
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in re.sub(r"url\(#\w+\)", "", text)
    assert text.count('<a href="#table-') >= 6
    assert "3 of 5 migrations applied" in text
    assert len(re.findall(r"<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</time>", text)) == 3
    story = chapters(text)
    assert story["add_hmac_auth"][0] == "create table client_sessions"
    assert "drop column meetings.status" in story["update_meetings_hybrid_storage"]
    assert (
        "<p>Add the tables for HMAC-signed sessions: client_sessions and nonce_cache.</p>" in text
    )


@needs_dot
@pytest.mark.parametrize("legacy", LEGACY)
def test_what_was_there_before_a_migration_is_told_apart(cli, path, page, connect, legacy):
    copy_legacy(legacy, path)
    columns = connect().execute("SELECT name FROM pragma_table_info('client_sessions')").fetchall()
    had_it = ("device_id",) in columns
    assert cli().returncode == 0
    story = chapters(written(cli, page))
    assert story["add_hmac_auth"][0] == "(create table client_sessions)"
    device = "add column client_sessions.device_id, to this database only"
    assert (device in story["add_hmac_auth"]) == (not had_it)
    assert "create table user_links" in story["add_user_links"]


@needs_dot
def test_names_are_text_and_no_markup(cli, path, page, connect):
    connect().executescript(
        """
        CREATE TABLE "<script>alert(1)</script>" (id INTEGER PRIMARY KEY, "a&b" TEXT DEFAULT '<i>');
        CREATE TABLE child (up INTEGER REFERENCES "<script>alert(1)</script>" (id), gone REFERENCES no);
        """
    )
    text = written(cli, page)
    assert "<script" not in text
    assert "<i>" not in text
    assert "foreign key (gone) to no, not here" in text
    assert text.count('class="key"') == 1
    assert Nesting(text).open == []


@needs_dot
def test_drawing_changes_nothing_and_can_be_done_again(cli, path, page, connect):
    copy_legacy("after3", path)
    before = path.read_bytes(), schema_of(connect())
    first = written(cli, page)
    second = written(cli, page)
    assert re.sub(r"drawn [^<]+", "", first) == re.sub(r"drawn [^<]+", "", second)
    assert (path.read_bytes(), schema_of(connect())) == before
    assert [file.name for file in page.parent.glob(".*")] == []


@needs_dot
def test_a_migration_that_can_not_be_read_leaves_the_rest(cli, path, page, make_project, capsys):
    from guarded.cli.commands import run
    from tests.guarded.test_run import CREATE

    project = make_project({"create": CREATE, "broken": "def up(:"})
    for arguments in (["up", "create"], ["schema", "--format", "html", str(page)]):
        with pytest.raises(SystemExit) as caught:
            run(project, ["--database", str(path), *arguments])
        assert caught.value.code == 0
    text = page.read_text()
    assert "not known without rows: &#x27;broken&#x27; can&#x27;t be run" in text
    assert list(chapters(text)) == ["create", "broken"]
    assert ">tags</h3>" in text


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("meetings.sqlite", "is there, and is no page of this command", id="database"),
        pytest.param("notes.html", "is there, and is no page of this command", id="another page"),
        pytest.param(".", "is a folder; name a file in it", id="folder"),
        pytest.param("no/page.html", "its folder does not exist; create the folder", id="nowhere"),
    ],
)
def test_no_other_file_is_overwritten(cli, path, name, says):
    copy_legacy("after1", path)
    path.with_name("notes.html").write_text("<!DOCTYPE html>\n<p>mine</p>")
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    done = cli("schema", "--format", "html", str(path.parent / name))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize(
    "arguments", [["--format", "html"], ["page.html"], ["--format", "sql", "page.html"]]
)
def test_html_and_a_file_go_together(cli, arguments):
    done = cli("schema", *arguments)
    assert done.returncode == 2
    assert done.stderr == "error: --format html and FILE go together (see --help)\n"


def test_without_graphviz_it_says_what_to_install(cli, path, page):
    copy_legacy("after1", path)
    done = cli("schema", "--format", "html", str(page), env={"PATH": "/nowhere"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "the program 'dot' is not installed" in done.stderr
    assert "apt install graphviz" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not page.exists()
    assert cli("schema", env={"PATH": "/nowhere"}).returncode == 0


def test_without_a_database_there_is_no_page(cli, path, page):
    done = cli("schema", "--format", "html", str(page))
    assert done.returncode == 2
    assert "does not exist; name another, or make it" in done.stderr
    assert not (path.exists() or page.exists())


@needs_dot
def test_the_document_names_the_page(cli, path, page):
    import json

    copy_legacy("after1", path)
    assert json.loads(cli("schema", "--format", "html", str(page), "--json").stdout)["page"] == str(
        page
    )
    assert page.read_text().startswith(MARK)
