"""The page of a schema in a real browser: ``make test-browser``."""

from __future__ import annotations

import html
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, copy_legacy

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
MEASURE = (Path(__file__).parent / "measure.js").read_text()
NAMES = [
    "customers",
    "Überweisungen",
    "表とテーブルの名前",
    "line items",
    'a "quoted" <name> & more',
]
TYPES = [
    "INTEGER",
    "VARCHAR(255)",
    "DECIMAL(10, 2)",
    "",
    "A TYPE WITH A VERY LONG NAME THAT NOBODY WRITES",
]


def many_tables(seed: int, tables: int = 30) -> str:
    """A schema with keys to others, to itself and in circles, optional and single ones."""
    dice = random.Random(seed)
    names = [*NAMES, *(f"table_{n}{'_of_some_length' * dice.randint(0, 2)}" for n in range(tables))]
    statements = []
    for number, name in enumerate(names[:tables]):
        columns = ["id INTEGER PRIMARY KEY"]
        columns += [
            f'"column {place}{"_long" * dice.randint(0, 4)}" {dice.choice(TYPES)}'
            for place in range(dice.randint(1, 20))
        ]
        for place in range(dice.randint(0, 3) if number % 4 else 0):
            parent = dice.choice(names[:tables]).replace('"', '""')
            rule = dice.choice(["", "NOT NULL", "UNIQUE", "NOT NULL UNIQUE"])
            columns.append(f'parent_{place} INTEGER {rule} REFERENCES "{parent}" (id)')
        quoted = name.replace('"', '""')
        statements.append(f'CREATE TABLE "{quoted}" ({", ".join(columns)});')
    return "\n".join(statements)


def browse(page: Path, *flags: str) -> str:
    assert BROWSER, "no browser is installed: apt install chromium"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={page.parent / 'profile'}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def look(page: Path, width: int) -> dict:
    """Measure a copy of the page as it is drawn in a window of this width."""
    copy = page.with_name("measured.html")
    copy.write_text(page.read_text() + f"<script>{MEASURE}</script>")
    found = browse(copy, f"--window-size={width},900", "--dump-dom")
    return json.loads(html.unescape(re.search(r"<title>(\{.*?\})</title>", found, re.DOTALL)[1]))


@pytest.fixture
def page(tmp_path):
    return tmp_path / "schema.html"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overlaps_at_30_tables(cli, path, connect, page, seed, width):
    connection = connect()
    connection.executescript(many_tables(seed))
    assert cli("schema", "--format", "html", str(page)).returncode == 0
    seen = look(page, width)
    keys = connection.execute(
        "SELECT count(*) FROM sqlite_master m, pragma_foreign_key_list(m.name)"
    ).fetchone()[0]
    assert (len(seen["tables"]), len(seen["keys"])) == (30, keys)
    assert keys > 15
    assert seen["faults"] == []
    assert seen["loaded"] == []
    assert seen["wider"] <= 0


def test_the_page_of_the_server_tells_its_tables_and_migrations(cli, path, page):
    copy_legacy("after3", path)
    assert cli().returncode == 0
    assert cli("schema", "--format", "html", str(page)).returncode == 0
    seen = look(page, 1280)
    assert {"meetings", "client_sessions", "user_links"} <= set(seen["tables"])
    assert (seen["faults"], seen["loaded"]) == ([], [])
    assert len(seen["migrations"]) == seen["dated"] == 5
    assert ["url(#one)", "url(#many)"] in seen["feet"]


def test_a_picture_to_look_at(cli, path, connect, page):
    """`build/schema.png`, for a person."""
    connect().executescript(many_tables(1))
    assert cli("schema", "--format", "html", str(page)).returncode == 0
    picture = ROOT / "build" / "schema.png"
    picture.parent.mkdir(exist_ok=True)
    browse(page, "--window-size=2400,2400", f"--screenshot={picture}")
    assert picture.stat().st_size > 50_000
