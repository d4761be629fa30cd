"""Imports point one way: from the edge to the ground."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MIGRATE, ROOT

GUARDED = ROOT / "guarded"
# From the ground up: a module or package may import only what stands before it, except late, inside
# of a function, and for types.
ORDER = [
    "steps",
    "errors",
    "patience",
    "dates",
    "findings",
    "schema",
    "defaults",
    "changes",
    "project",
    "listing",
    "scripts",
    "backends.interface",
    "history",
    "plan",
    "status",
    "diff",
    "promises",
    "copies",
    "kept",
    "backends.sqlite",
    "backends.postgresql",
    "verbs",
    "forecast",
    "run",
    "operate",
    "author",
    "cli",
]


def modules_of(package: Path) -> list[Path]:
    return sorted(file for file in package.rglob("*.py"))


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(file: Path, *, late: bool = True) -> set[str]:
    """Modules and names that the file imports; without ``late``, only those at its import."""
    found = set()
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree) if late else _at_once(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _at_once(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _at_once(node)


def place_of(module: str) -> int | None:
    """The place in ORDER of a module of the engine."""
    for place, name in enumerate(ORDER):
        full = f"guarded.{name}"
        if module == full or module.startswith(f"{full}."):
            return place
    return None


def test_every_module_of_the_engine_has_its_place():
    rest = {name_of(file) for file in modules_of(GUARDED) if place_of(name_of(file)) is None}
    assert rest <= {"guarded", "guarded.backends", "guarded.__main__"}


@pytest.mark.parametrize("file", modules_of(GUARDED), ids=name_of)
def test_a_module_imports_only_what_stands_below_it(file):
    own = place_of(name_of(file))
    for module in imports_of(file, late=False):
        place = place_of(module)
        assert place is None or own is None or place <= own, f"{file} imports {module}"


KINDS = [GUARDED / "backends" / "sqlite", GUARDED / "backends" / "postgresql"]


@pytest.mark.parametrize("file", [file for kind in KINDS for file in modules_of(kind)], ids=name_of)
def test_a_backend_has_no_circle_in_itself(file):
    """Whatever a module of the backend imports at once, directly or not, is not the module."""
    names = {name_of(found): found for found in modules_of(file.parent)}
    waiting, seen = {name_of(file)}, set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= (imports_of(names[module], late=False) & names.keys()) - seen
        assert module == name_of(file) or name_of(file) not in imports_of(names[module], late=False)


@pytest.mark.parametrize("file", modules_of(GUARDED), ids=name_of)
def test_the_engine_knows_nothing_of_the_server(file):
    assert not {m for m in imports_of(file) if m.split(".")[0] in ("server", "tests")}
    if "cli" not in file.parts:
        assert not {m for m in imports_of(file) if m.split(".")[0] == "click"}


@pytest.mark.parametrize("file", modules_of(GUARDED) + modules_of(ROOT / "server"), ids=name_of)
def test_a_driver_is_imported_by_its_own_backend_only(file):
    drivers = {m.split(".")[0] for m in imports_of(file)} & {"sqlite3", "psycopg", "apsw"}
    allowed = {
        "guarded/backends/sqlite": {"sqlite3"},
        "guarded/backends/postgresql": {"psycopg"},
        "server/db": {"sqlite3", "psycopg"},
    }
    folder = file.parent.relative_to(ROOT).as_posix()
    assert drivers <= allowed.get(folder, set())


@pytest.mark.parametrize("file", modules_of(GUARDED), ids=name_of)
def test_only_a_backend_spells_names(file):
    """fold, quote and literal reach other modules through the backend."""
    if "backends" not in file.parts:
        assert not {m for m in imports_of(file) if m.endswith(("names.fold", "names.quote"))}


@pytest.mark.parametrize("file", modules_of(GUARDED), ids=name_of)
def test_a_backend_is_named_only_where_a_location_is_read(file):
    """Whatever is outside of a backend works through the interface."""
    if "backends" in file.parts:
        return
    is_late = name_of(file) == "guarded.cli.session"
    imported = imports_of(file, late=not is_late)
    kinds = tuple(name_of(kind / "__init__.py") for kind in KINDS)
    assert not {m for m in imported if m.startswith(kinds)}


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_a_backend_knows_no_other(kind):
    others = tuple(name_of(other / "__init__.py") for other in KINDS if other != kind)
    for file in modules_of(kind):
        assert not {m for m in imports_of(file) if m.startswith(others)}


def test_playhouse_is_called_by_the_project_and_named_once_more():
    using = {
        file.relative_to(ROOT).as_posix()
        for file in modules_of(GUARDED) + modules_of(ROOT / "server")
        if any(module.split(".")[0] == "playhouse" for module in imports_of(file))
    }
    assert using == {"server/migrations/migrate.py", "guarded/verbs/tables.py"}


def test_the_migrations_folder_has_migrations_and_nothing_else():
    folder = ROOT / "server" / "migrations"
    from server.migrations.migrate import EXCLUDED, MIGRATIONS

    files = {file.name for file in folder.iterdir() if file.name != "__pycache__"}
    known = {f"{name}.py" for name in (*MIGRATIONS, *EXCLUDED, "__init__", "migrate")}
    assert files - known == {"run_hybrid_storage_migration.py.standalone"}


def in_a_new_process(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_questions_load_neither_peewee_nor_playhouse():
    code = (
        "import sys, guarded.status, guarded.run, guarded.backends.sqlite.connect\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'peewee', 'playhouse', 'click'}))"
    )
    assert in_a_new_process(code) == ["[]"]


RUN = """
import sys, runpy
sys.argv = ['migrate.py', '--database', *sys.argv[1:]]
entered = set()
def trace(frame, event, _):
    if event == 'call' and frame.f_code.co_flags & 1:  # a function, not a module or a class
        entered.add(frame.f_code.co_filename)
sys.setprofile(trace)
try:
    runpy.run_path({script!r}, run_name='__main__')
finally:
    sys.setprofile(None)
    print(sorted({{m.split('.')[0] for m in sys.modules}} & {{'peewee', 'playhouse'}}))
    print([m for m in sys.modules if 'hmac_auth' in m])
    print(*sorted(f for f in entered if f.startswith({root!r}) and 'site-packages' not in f))
"""
FILES_OF_A_RUN = 20  # of the engine, and migrate.py


def test_no_op_imports_neither_peewee_nor_a_migration(cli, path):
    assert cli().returncode == 0
    lines = in_a_new_process(RUN.format(script=str(MIGRATE), root=str(ROOT)), str(path))
    assert lines[1].startswith("nothing to do")
    assert lines[2:4] == ["[]", "[]"]


def test_a_reader_follows_up_through_few_files(cli, path):
    assert cli("up", "add_meetings_system").returncode == 0
    arguments = (str(path), "up", "add_server_settings", "--no-backup")
    lines = in_a_new_process(RUN.format(script=str(MIGRATE), root=str(ROOT)), *arguments)
    assert lines[1] == "applying add_server_settings"
    files = [file for file in lines[-1].split() if "/guarded/" in file or file == str(MIGRATE)]
    assert "add_server_settings.py" in lines[-1] and str(MIGRATE) in files
    assert len(files) <= FILES_OF_A_RUN, files
