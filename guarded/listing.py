"""Add a name to the ordered list of migrations, in the file that holds it.

Comments, quotes and line ends of the file stay as they are.
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Collection
from pathlib import Path

from guarded.errors import UnusableMigration, UnusableName

LIST = "MIGRATIONS"


def spelled(words: str) -> str:
    """Return words as the name of a migration: ``Add meeting-color`` is ``add_meeting_color``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words.strip())
    return re.sub(r"[\s_-]+", "_", apart).lower()


def check_name(name: str, directory: Path, taken: Collection[str]) -> None:
    """Raise UnusableName when a new migration can't have this name."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name) or keyword.iskeyword(name):
        raise UnusableName(name, "a name is verb_object, of lower-case letters, digits and _")
    if name in taken:
        raise UnusableName(name, "there is a migration of that name, listed or excluded")
    if (directory / f"{name}.py").exists() or (directory / name).exists():
        raise UnusableName(name, f"'{directory / name}.py' exists already")


def names_in(path: Path) -> list[str]:
    """Return the names in the list of a file, without running the file.

    Raises UnusableMigration when the file has no such list.
    """
    text, _ = read(path)
    return _names(_find(text, path.name))


def read(path: Path) -> tuple[str, str]:
    """The text of a Python file with its line ends, and the encoding to write it back in.

    That is the one that Python itself would take, with a byte order mark where there is one.
    Raises UnusableMigration for a file that Python can't read either.
    """
    try:
        with path.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        with path.open(newline="", encoding=encoding) as text:
            return text.read(), encoding
    except (SyntaxError, UnicodeDecodeError) as exc:
        raise UnusableMigration(path.name, f"the file with the list has an error: {exc}") from exc


def with_name(source: str, name: str) -> str:
    """Return the text of the file with ``name`` at the end of its list.

    Raises UnusableMigration when the file has no such list.
    """
    found = _find(source, name)
    changed = _inserted(source, found, name)
    if _names(_find(changed, name)) != [*_names(found), name]:
        raise UnusableMigration(name, f"{LIST} is written in a way that is not understood")
    return changed


def _names(found: ast.List) -> list[str]:
    return [str(item.value) for item in found.elts if isinstance(item, ast.Constant)]


def _find(source: str, name: str) -> ast.List:
    try:
        tree = ast.parse(source)
    except SyntaxError as exc:
        raise UnusableMigration(name, f"the file with the list has an error: {exc}") from exc
    for node in tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        is_list = any(isinstance(target, ast.Name) and target.id == LIST for target in targets)
        if is_list and isinstance(node.value, ast.List):
            return node.value
    raise UnusableMigration(name, f"there is no list {LIST} = […] to be found")


def _inserted(source: str, found: ast.List, name: str) -> str:
    offsets = _Offsets(source)
    end = offsets.at(found.end_lineno, found.end_col_offset) - 1  # before the bracket
    if not found.elts and source[end - 1] == "[":  # one name a line from the beginning
        line_end = "\r\n" if "\r\n" in source else "\n"
        return f'{source[:end]}{line_end}    "{name}",{line_end}{source[end:]}'
    if not found.elts:
        return f'{source[:end]}"{name}"{source[end:]}'
    last = found.elts[-1]
    start = offsets.at(last.lineno, last.col_offset)
    after = offsets.at(last.end_lineno, last.end_col_offset)
    for found_mark in PUNCTUATION.finditer(source, after, end):
        after = found_mark.end() if found_mark.group() == ")" else after
    mark = source[start] if source[start] in "'\"" else '"'
    item = f"{mark}{name}{mark}"
    indent = source[source.rfind("\n", 0, start) + 1 : start]
    rest_of_line = OWN_LINE.match(source, after, end)
    if indent.strip() or rest_of_line is None or "," in source[rest_of_line.end() : end]:
        return f"{source[:after]}, {item}{source[after:]}"  # not one name a line
    rest = rest_of_line.group()
    kept = rest if rest_of_line["comma"] else f",{rest}"
    return (
        f"{source[:after]}{kept}{indent}{item},{rest_of_line['end']}{source[rest_of_line.end() :]}"
    )


PUNCTUATION = re.compile(r"#[^\n]*|[,)]")
OWN_LINE = re.compile(r"[ \t]*(?P<comma>,?)[ \t]*(#[^\r\n]*)?(?P<end>\r?\n)")


class _Offsets:
    """Places in a text, by line and column; a column counts UTF-8 bytes, as ast does."""

    def __init__(self, source: str) -> None:
        self._lines = list(io.StringIO(source, newline=""))  # as Python's own lines end

    def at(self, line: int | None, column: int | None) -> int:
        assert line is not None and column is not None
        before = sum(len(text) for text in self._lines[: line - 1])
        return before + len(self._lines[line - 1].encode()[:column].decode())
