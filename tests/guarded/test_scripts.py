from __future__ import annotations

import pytest

from guarded.errors import UnusableMigration
from guarded.scripts import checksum, scripts, strays
from guarded.steps import Direction


def test_line_ends_do_not_change_the_checksum(tmp_path):
    unix, windows, other = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    unix.write_bytes(b'"""a"""\nx = 1\n')
    windows.write_bytes(b'"""a"""\r\nx = 1\r\n')
    other.write_bytes(b'"""a"""\nx = 2\n')
    assert checksum(unix) == checksum(windows) != checksum(other)
    assert len(checksum(unix)) == 64


def test_a_missing_file_has_no_checksum(tmp_path):
    assert scripts(tmp_path, ["a"])[0].checksum is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("def up(", "raised SyntaxError", id="syntax"),
        pytest.param("raise SystemExit(3)", "raised SystemExit in line 1: 3", id="an exit"),
        pytest.param("import no_such_module", "raised ModuleNotFoundError", id="import"),
        pytest.param("def down(migrator, db): pass", r"has no up\(migrator, db\)", id="no up"),
        pytest.param("up = 1", r"has no up\(migrator, db\)", id="up is no function"),
    ],
)
def test_a_file_that_can_not_run_is_named_with_the_reason(tmp_path, text, says):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(UnusableMigration, match=f"'a' can't be run: .*{says}"):
        scripts(tmp_path, ["a"])[0].function(Direction.UP)


def test_strays_are_python_files_neither_listed_nor_excluded(tmp_path):
    for name in ("a.py", "b.py", "c.py", "migrate.py", "__init__.py", "notes.txt", "d.py.old"):
        (tmp_path / name).touch()
    (tmp_path / "__pycache__").mkdir()
    assert strays(tmp_path, {"a", "b"}, tmp_path / "migrate.py") == ["c.py"]
