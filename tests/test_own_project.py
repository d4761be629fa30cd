"""docs/own-project.md is followed to the letter, in a new environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from guarded.project import Project
from tests.conftest import ROOT, project_files
from tests.test_readme import commands, same

PAGE = (ROOT / "docs" / "own-project.md").read_text()
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EDIT = re.compile(r"`Customer` gets `([^`]+)`")


def in_place(text: str) -> str:
    """Paths and dates as the page writes them."""
    text = re.sub(r"/\S+/shop/", "/…/shop/", text)
    return re.sub(r"(backups/database\.sqlite\.)\S+", r"\1STAMP", same(text))


@pytest.fixture
def shop(tmp_path):
    """An empty application, and this repository beside it."""
    for name in project_files():
        file = tmp_path / "meeting-server" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, file)
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def test_every_line_of_the_page_does_what_it_says(shop):
    path = f"{shop / '.venv' / 'bin'}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "HOME": str(shop.parent)}
    models, listing = shop / "shop.py", shop / "migrations" / "migrate.py"
    for match in BLOCK.finditer(PAGE):
        language, block = match.groups()
        before = PAGE[: match.start()].rpartition("```")[2]
        if (edit := EDIT.search(before)) is not None:
            last = "    name = CharField(unique=True)\n"
            models.write_text(models.read_text().replace(last, f"{last}    {edit.group(1)}\n"))
        if language == "python" and "`shop.py`" in before:
            models.write_text(block)
        elif language == "python":
            head, _, _ = block.partition("    from")
            text = listing.read_text()
            assert text.count(f"{head}    return Models([])\n") == 1
            listing.write_text(text.replace(f"{head}    return Models([])\n", block))
        for command, printed in commands(block) if language == "console" else ():
            done = subprocess.run(
                command,
                shell=True,
                cwd=shop,
                env=environ,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            if printed:
                assert in_place(done.stdout) == in_place(printed), command


def test_no_command_line_stands_outside_of_the_blocks_that_are_run():
    prose = BLOCK.sub("", PAGE)
    assert re.findall(r"`(?:python|pip|\$)[^`]*`", prose) == []


def test_the_page_names_every_part_that_a_person_fills_in():
    table = PAGE[PAGE.index("| `Project(…)` |") :]
    written = {"directory", "listing"}  # of the file itself, as `init` writes them
    for name in set(Project._fields) - written:
        assert f"`{name}`" in table
