"""Slips in the source of a migration, found without running it."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Collection, Iterator

from guarded.author.from_models import DECIDE
from guarded.findings import Finding, Severity

DDL = re.compile(r"\s*(CREATE|ALTER|DROP)\s", re.IGNORECASE)
# SQL that SQLite has and PostgreSQL has not, or not under this name.
ONE_DIALECT = re.compile(
    r"\b(INSERT\s+OR\s+\w+|REPLACE\s+INTO|json_each|json_group_array|json_valid|iif|PRAGMA"
    r"|sqlite_\w+|rowid|GLOB|datetime\s*\(|strftime)\b",
    re.IGNORECASE,
)


def lint(
    name: str,
    source: str,
    in_memory: Collection[str],
    own_packages: Collection[str],
    fold: Callable[[str], str],
) -> list[Finding]:
    """PROBLEM for what breaks a promise, NOTE for what holds on SQLite only.

    ``own_packages`` are those of the application.  Raises SyntaxError and ValueError for what is no
    Python.
    """
    tree = ast.parse(source)
    found = list(_structure(tree))
    lines = [line.strip() for line in source.splitlines()]
    for number, line in enumerate(lines, start=1):
        if line.startswith(DECIDE):
            more = itertools.takewhile(lambda text: text.startswith("# "), lines[number:])
            doubt = " ".join([line.removeprefix(DECIDE), *(text[2:] for text in more)])
            found.append(_problem(number, f"not decided: {doubt}"))
    memory = set(map(fold, in_memory))
    for node in ast.walk(tree):
        found += _imports(node, own_packages)
        if isinstance(node, ast.Call):
            found += _call(node, lambda table: fold(table) in memory)
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    dialect = sorted({m.group(1) for text in texts for m in ONE_DIALECT.finditer(str(text.value))})
    if dialect:
        found.append(
            Finding(Severity.NOTE, name, f"SQL that only SQLite knows: {', '.join(dialect)}")
        )
    return [Finding(f.severity, name, f.sentence, f.remedy) for f in found]


def _structure(tree: ast.Module) -> Iterator[Finding]:
    if not ast.get_docstring(tree):
        yield _problem(1, "there is no docstring: say in one line what changes for a user")
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in ("up", "down"):
        if name not in functions:
            yield _problem(1, f"there is no {name}(migrator, db)")


def _imports(node: ast.AST, own_packages: Collection[str]) -> Iterator[Finding]:
    modules = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    for module in modules:
        if module.split(".")[0] in own_packages:
            yield _problem(
                getattr(node, "lineno", 0),
                f"imports {module}, which will change: declare frozen models in the file",
            )


def _call(node: ast.Call, is_in_memory: Callable[[str], bool]) -> Iterator[Finding]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    first = node.args[0] if node.args else None
    text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    if name == "executescript":
        yield _problem(node.lineno, "executescript commits: use migrator.sql for each statement")
    if name in ("execute_sql", "execute") and DDL.match(text):
        yield _problem(node.lineno, f"raw DDL past the guards: use a verb for {text.split()[:3]}")
    on_table = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    if on_table and is_in_memory(text):
        yield _problem(node.lineno, f"table '{text}' is in memory only: change its model instead")


def _problem(line: int, sentence: str) -> Finding:
    return Finding(Severity.PROBLEM, "", f"line {line}: {sentence}")
