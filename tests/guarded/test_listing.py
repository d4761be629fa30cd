from __future__ import annotations

import pytest

from guarded.errors import UnusableMigration, UnusableName
from guarded.listing import check_name, names_in, read, spelled, with_name


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("MIGRATIONS = []\n", 'MIGRATIONS = [\n    "new",\n]\n', id="empty"),
        pytest.param("MIGRATIONS = [ ]\n", 'MIGRATIONS = [ "new"]\n', id="empty, and a blank"),
        pytest.param(
            "x = 1\r\nMIGRATIONS = []\r\n",
            'x = 1\r\nMIGRATIONS = [\r\n    "new",\r\n]\r\n',
            id="empty, Windows",
        ),
        pytest.param(
            'MIGRATIONS: list[str] = [\n    "a",\n]\n',
            'MIGRATIONS: list[str] = [\n    "a",\n    "new",\n]\n',
            id="with a type",
        ),
        pytest.param('MIGRATIONS = ["a"]\n', 'MIGRATIONS = ["a", "new"]\n', id="one line"),
        pytest.param(
            "MIGRATIONS = ['a', 'b',]\n", "MIGRATIONS = ['a', 'b', 'new',]\n", id="quotes"
        ),
        pytest.param(
            'x = 1\nMIGRATIONS = [\n    "a",\n    "é",  # last\n]\ny = 2\n',
            'x = 1\nMIGRATIONS = [\n    "a",\n    "é",  # last\n    "new",\n]\ny = 2\n',
            id="a comment",
        ),
        pytest.param(
            "MIGRATIONS = [\n\t'a'\n]\n",
            "MIGRATIONS = [\n\t'a',\n\t'new',\n]\n",
            id="no comma, tabs",
        ),
        pytest.param(
            'MIGRATIONS = [\r\n  "a",\r\n]\r\n',
            'MIGRATIONS = [\r\n  "a",\r\n  "new",\r\n]\r\n',
            id="Windows",
        ),
        pytest.param(
            'MIGRATIONS = [\n    "a",\n    # the end\n]\n',
            'MIGRATIONS = [\n    "a",\n    "new",\n    # the end\n]\n',
            id="a comment after the last",
        ),
        pytest.param(
            'MIGRATIONS = [\n    "a", "b",\n    "c", "d",\n]\n',
            'MIGRATIONS = [\n    "a", "b",\n    "c", "d", "new",\n]\n',
            id="two a line",
        ),
        pytest.param(
            'MIGRATIONS = [\n    "a"  # ,)\n    ,\n]\n',
            'MIGRATIONS = [\n    "a", "new"  # ,)\n    ,\n]\n',
            id="a comma on its own",
        ),
        pytest.param(
            'MIGRATIONS = [\n    ("a"),\n]\n',
            'MIGRATIONS = [\n    ("a"), "new",\n]\n',
            id="parentheses",
        ),
        pytest.param(
            '# \x0c \u2028 \x85\nMIGRATIONS = [\n    "a",\n]\n',
            '# \x0c \u2028 \x85\nMIGRATIONS = [\n    "a",\n    "new",\n]\n',
            id="what Python takes for no line end",
        ),
        pytest.param(
            'MIGRATIONS: list[str] = ["a"]\n', 'MIGRATIONS: list[str] = ["a", "new"]\n', id="a type"
        ),
        pytest.param(
            'MIGRATIONS: Final[\n    list[str]\n] = [\n    "a",\n]\n',
            'MIGRATIONS: Final[\n    list[str]\n] = [\n    "a",\n    "new",\n]\n',
            id="a type over several lines",
        ),
    ],
)
def test_a_name_is_added_and_nothing_else_changes(before, after):
    assert with_name(before, "new") == after


@pytest.mark.parametrize(
    "text",
    ["", "MIGRATIONS = ()", "OTHER = []", "MIGRATIONS = names()", "x =", "MIGRATIONS: list[str]"],
)
def test_a_file_without_a_list_is_refused(text):
    with pytest.raises(UnusableMigration, match="'new' can't be run: "):
        with_name(text, "new")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        pytest.param(b'MIGRATIONS = ["a"]\r\n', "utf-8", id="Windows' line ends"),
        pytest.param(b'\xef\xbb\xbfMIGRATIONS = ["a"]\n', "utf-8-sig", id="a byte order mark"),
        pytest.param(
            b'# coding: latin-1\nMIGRATIONS = ["a"]  # \xe4\n',
            "iso-8859-1",
            id="a declared encoding",
        ),
    ],
)
def test_a_file_is_read_as_python_reads_it_and_can_be_written_back(tmp_path, content, encoding):
    path = tmp_path / "migrate.py"
    path.write_bytes(content)
    text, found = read(path)
    assert found == encoding
    assert text.encode(found) == content
    assert names_in(path) == ["a"]
    assert with_name(text, "new").encode(found) == content.replace(b'"a"', b'"a", "new"')


@pytest.mark.parametrize("content", [b"# coding: nonsense\n", b"MIGRATIONS = ['\xff']\n"])
def test_a_file_in_no_encoding_is_refused(tmp_path, content):
    path = tmp_path / "migrate.py"
    path.write_bytes(content)
    with pytest.raises(UnusableMigration, match=r"'migrate\.py' can't be run: "):
        read(path)


@pytest.mark.parametrize(
    "name", ["", "1st", "add-x", "add x", "class", "Add_x", "ä", "../x", "x" * 101]
)
def test_a_bad_name_is_refused(tmp_path, name):
    with pytest.raises(UnusableName, match="no new migration can be named"):
        check_name(name, tmp_path, set())


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "there.py").touch()
    (tmp_path / "folder").mkdir()
    for name in ("there", "folder", "listed"):
        with pytest.raises(UnusableName, match="exists already|of that name"):
            check_name(name, tmp_path, {"listed"})
    check_name("free", tmp_path, {"listed"})


@pytest.mark.parametrize(
    "words", ["add meeting color", "Add meeting-color", " add_meeting_color ", "AddMeetingColor"]
)
def test_words_become_a_name(words):
    assert spelled(words) == "add_meeting_color"
