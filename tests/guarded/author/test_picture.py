"""Pictures of a schema: what they say is so in the database."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from guarded.author import picture
from guarded.backends.sqlite.inspect import Inspector

SCHEMA = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, "of a pet" TEXT);
CREATE TABLE pets (
    id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES Owners (id),
    vet INTEGER REFERENCES owners (id)
);
CREATE TABLE chips (pet INTEGER PRIMARY KEY REFERENCES pets (id), "no""te" TEXT UNIQUE);
CREATE TABLE beds (pet INTEGER UNIQUE REFERENCES pets (id));
CREATE TABLE toys (pet INTEGER REFERENCES pets (id), other INTEGER, UNIQUE (pet, other));
CREATE UNIQUE INDEX one_toy ON toys (pet) WHERE other IS NULL;
CREATE TABLE pairs (a INTEGER NOT NULL, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE notes (
    a INTEGER NOT NULL, b INTEGER, FOREIGN KEY (a, b) REFERENCES pairs (a, b)
);
"""
# Parent, its end, the end of the child, child.
FEET = [
    ("owners", "||", "o{", "pets"),
    ("owners", "|o", "o{", "pets"),
    ("pets", "||", "o|", "chips"),
    ("pets", "|o", "o|", "beds"),
    ("pets", "|o", "o{", "toys"),
    ("pairs", "|o", "o{", "notes"),
]


@pytest.fixture
def inspector(connect):
    connection = connect()
    connection.executescript(SCHEMA)
    return Inspector(connection.execute)


def test_the_crows_feet_say_how_many_rows_either_side_has(inspector):
    lines = picture.draw(inspector, "mermaid").splitlines()
    found = [line.split()[:3] for line in lines if "--" in line]
    assert sorted((p, f[:2], f[4:], c) for p, f, c in found) == sorted(FEET)


def test_dot_has_the_same_feet(inspector):
    ends = {"||": "teetee", "|o": "teeodot", "o|": "teeodot", "o{": "crowodot"}
    text = picture.draw(inspector, "dot")
    for parent, head, tail, child in FEET:
        (_, *lines) = text.split(f'"{child}" -> "{parent}" ')
        wanted = f"arrowhead={ends[head]}, arrowtail={ends[tail]}]"
        assert any(wanted in line.partition("\n")[0] for line in lines)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it(inspector):
    done = subprocess.run(
        ["dot", "-Tplain"],
        input=picture.draw(inspector, "dot"),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in done.stdout.splitlines() if line.startswith("edge ")]) == 6
