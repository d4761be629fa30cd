"""The README's console blocks print what they say, in a copy of the project; the pages are true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guarded.cli.commands import cli as command_line
from server.migrations.migrate import EXCLUDED, MIGRATIONS
from tests.conftest import ROOT, project_files

README = (ROOT / "README.md").read_text()
SCHEMA = (ROOT / "docs" / "schema.md").read_text()
# What the reader of a section does, one after the other: an edit of a model, a block of commands.
STEP = re.compile(
    r"In `(server/db/model.py)`, `(\w+)` gets `([^`]+)`|^```console\n(.*?)^```",
    re.MULTILINE | re.DOTALL,
)
SECTIONS = {
    section.partition("\n")[0]: STEP.findall(section)
    for section in README.split("\n## ")
    if "```console" in section
}


@pytest.fixture
def copy(tmp_path):
    """The project as a clone has it, set up already: its environment is this one."""
    for name in project_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (tmp_path / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    for mark in (".python", ".server", ".check"):
        (tmp_path / ".venv" / mark).touch()
    return tmp_path


def commands(block: str) -> list[tuple[str, str]]:
    """Each command of a block and what the block says it prints."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def same(text: str) -> str:
    """With dates and durations out of the way."""
    text = re.sub(r"\S*(data/backups/\w+\.sqlite\.)\S+", r"\1STAMP", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", "DATE", text)
    return re.sub(r"\d+(\.\d+)? m?s\b", "TIME", text)


def make_edit(file: Path, model: str, field: str) -> None:
    text = file.read_text()
    head = re.search(rf"class {model}\(.*?\n\n", text, re.DOTALL).group()
    file.write_text(text.replace(head, f"{head}    {field}\n"))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_prints_what_it_says(copy, section):
    folder = copy
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for file, model, field, block in SECTIONS[section]:
        if file:
            make_edit(copy / file, model, field)
        for command, printed in commands(block):
            if command.startswith("cd "):
                folder = folder / command[3:]
                continue
            if command == ". .venv/bin/activate":  # the environment is this one
                continue
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value.replace("$PWD", str(folder))
                continue
            # The whole test run can't be one of its own tests: make only says what it would do.
            command = command.replace("make check", "make --dry-run check")
            done = subprocess.run(
                command,
                shell=True,
                cwd=folder,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            assert done.returncode in (0, 1), done.stdout
            if printed:
                assert same(done.stdout) == same(printed), command


def test_every_command_is_in_the_reference():
    table = README[README.index("## Commands") : README.index("## The migrations")]
    for name in command_line.list_commands(None):
        assert f"`{name}" in table


def test_every_migration_and_excluded_file_is_named_with_its_reason():
    for number, name in enumerate(MIGRATIONS, start=1):
        assert f"{number}. `{name}`" in README
        assert f"{number}. `{name}`" in SCHEMA
    for name, reason in EXCLUDED.items():
        assert f"| {name} | {reason} |" in SCHEMA
        suffix = "" if "." in name else ".py"
        assert "Not run" in (ROOT / "server" / "migrations" / f"{name}{suffix}").read_text()


def test_the_picture_is_of_the_schema(cli):
    (picture,) = re.findall(r"^```mermaid\n(.*?)^```", SCHEMA, re.MULTILINE | re.DOTALL)
    assert cli().returncode == 0
    assert cli("schema", "--format", "mermaid").stdout == picture


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_page_leads_somewhere(page):
    for file, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", page.read_text()):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {anchor_of(heading) for heading in headings}


def anchor_of(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_page_is_linked_from_the_readme():
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name}" in README


def test_every_module_that_the_design_names_is_there():
    text = (ROOT / "docs" / "design.md").read_text()
    now = text.partition("## Where this differs")[0]
    folders = ("", "guarded", *BACKENDS, "guarded/verbs")
    for name in re.findall(r"`([\w/]+\.py)`", now):
        places = [ROOT / folder / name for folder in folders]
        assert any(place.exists() for place in places) or name == "migrate.py", name


BACKENDS = ("guarded/backends/sqlite", "guarded/backends/postgresql")
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text()
SHORT_TROUBLE = README[README.index("## Troubleshooting") : README.index("When in doubt")]


@pytest.mark.parametrize(
    ("table", "at_least"),
    [pytest.param(SHORT_TROUBLE, 6, id="README"), pytest.param(TROUBLE, 25, id="docs")],
)
def test_every_message_of_the_troubleshooting_is_one_of_ours(table, at_least):
    folders = (ROOT / "guarded", ROOT / "server")
    files = (file for folder in folders for file in folder.rglob("*.py"))
    sources = [*files, ROOT / "build-and-start.sh"]
    # A message may be put together from lines of source, and from SQLite's own words.
    ours = re.sub(r'"?\n\s*f?"', "", "".join(file.read_text() for file in sources))
    ours = re.sub(r"\{[^{}\n]*\}", "", ours)
    messages = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert len(messages) > at_least
    for message in messages:
        literal = max(re.split(r"'\w'|'…'|…|\bN\b|\bx\b|\by\b", message), key=len).strip(" (:;")
        foreign = ("attempt to write a readonly database", "exited (78)")
        # The command line says after some errors that nothing was changed.
        for part in literal.split("; "):
            assert part in foreign or part in ours, part


def test_every_message_of_the_readme_is_in_the_longer_table():
    for message in re.findall(r"^\| `([^`]+)`", SHORT_TROUBLE, re.MULTILINE):
        assert f"| `{message}`" in TROUBLE
