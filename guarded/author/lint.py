"""Find mistakes in the source of a migration, without running it."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Callable, Collection, Iterator

from guarded.author.from_models import DECIDE
from guarded.findings import Finding, Severity

UNDECIDED = re.compile(rf"#+\s*{DECIDE.strip('#: ')}\b:?\s*(.*)")
DDL = re.compile(r"\s*(CREATE|ALTER|DROP)\s", re.IGNORECASE)
# SQL that SQLite has, and PostgreSQL does not, or not under this name.
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
    """Return a PROBLEM for what breaks a promise, a NOTE for what works on SQLite only,
    a WARNING for what is no migration yet.

    ``own_packages`` are those of the application.  Raises SyntaxError and ValueError when the
    source is not Python.
    """
    tree = ast.parse(source)
    found = list(_structure(tree))
    found += _undecided(source)
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


def _undecided(source: str) -> Iterator[Finding]:
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    for number, text in comments.items():
        if doubt := UNDECIDED.fullmatch(text):
            words = [doubt[1]]
            for line in itertools.count(number + 1):
                if line not in comments or UNDECIDED.fullmatch(comments[line]):
                    break
                words.append(comments[line].removeprefix("#").strip())
            yield _problem(number, f"not decided: {' '.join(words).strip()}")


def _structure(tree: ast.Module) -> Iterator[Finding]:
    if not ast.get_docstring(tree):
        yield _problem(1, "there is no docstring: say in one line what changes for a user")
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in ("up", "down"):
        if name not in functions:
            yield _problem(1, f"there is no {name}(migrator, db)")
    if "up" in functions and all(map(_does_nothing, functions["up"].body)):
        line = functions["up"].lineno
        sentence = f"line {line}: up is empty and changes nothing; write what it is for"
        yield Finding(Severity.WARNING, "", sentence)


def _does_nothing(node: ast.stmt) -> bool:
    """Of the template, nothing else is left."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        is_migrate = isinstance(call.func, ast.Attribute) and call.func.attr == "migrate"
        return is_migrate and not call.args and not call.keywords
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or is_text


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
