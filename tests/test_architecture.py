"""Imports point one way: from the edge to the ground."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MIGRATE, ROOT

ENGINE = "server.migrations.engine"
# From the ground up: a module may import only what stands before it.
ORDER = [
    "errors",
    "sql.names",
    "sql.tokens",
    "sql.create_table",
    "sql.edits",
    "introspection",
    "alter.compiling",
    "scripts",
    "history",
    "plan",
    "project",
    "state",
    "processes",
    "waiting",
    "write_lock",
    "findings",
    "care.backup",
    "care.restore",
    "care.leftovers",
    "care.surroundings",
    "record",
    "authorizer",
    "watch",
    "alter.rebuild",
    "alter.redefinition",
    "alter.alterations",
    "alter.columns",
    "operations",
    "execution",
    "forecast",
    "shape",
    "drift",
    "runner",
    "care.rehearsal",
    "care.doctor",
    "develop.check",
    "listing",
    "develop.source",
    "develop.field_source",
    "develop.verbs",
    "develop.renames",
    "develop.autowrite",
    "develop.authoring",
    "develop.changes",
    "develop.sample",
    "develop.lint",
    "develop.verify",
    "develop.picture",
]


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def engine_modules() -> list[str]:
    folder = ROOT / "server" / "migrations" / "engine"
    files = [file.relative_to(folder) for file in folder.rglob("*.py")]
    return sorted(".".join(file.with_suffix("").parts) for file in files if file.stem != "__init__")


def module_file(name: str) -> Path:
    return (ROOT / "server" / "migrations" / "engine").joinpath(*name.split(".")).with_suffix(".py")


def test_every_engine_module_has_its_place():
    assert engine_modules() == sorted(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_engine_module_imports_only_what_stands_below(name):
    file = module_file(name)
    below = {f"{ENGINE}.{module}" for module in ORDER[: ORDER.index(name)]}
    known = {f"{ENGINE}.{module}" for module in ORDER}
    assert imports_of(file) & known <= below


@pytest.mark.parametrize("name", ORDER)
def test_engine_knows_neither_the_application_nor_the_command_line(name):
    file = module_file(name)
    strangers = {
        module
        for module in imports_of(file)
        if module.split(".")[0] == "click"
        or (module.startswith("server") and not module.startswith(ENGINE))
    }
    assert strangers <= {"server.migrations"}


def test_database_package_knows_no_migration():
    for file in (ROOT / "server" / "db").glob("*.py"):
        assert not {m for m in imports_of(file) if m.startswith("server.migrations")}


def test_playhouse_is_imported_in_few_places():
    using = {
        str(file.relative_to(ROOT / "server"))
        for file in (ROOT / "server").rglob("*.py")
        if any(module.split(".")[0] == "playhouse" for module in imports_of(file))
    }
    assert using == {"migrations/engine/alter/redefinition.py", "migrations/engine/operations.py"}


def test_no_op_imports_neither_peewee_nor_a_migration(cli, path):
    assert cli().returncode == 0
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['migrate.py', '--database', {str(path)!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(MIGRATE)!r}, run_name='__main__')\n"
        "finally:\n"
        "    print(sorted({m.split('.')[0] for m in sys.modules} & {'peewee', 'playhouse'}))\n"
        "    print([m for m in sys.modules if 'hmac_auth' in m])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[0].startswith("nothing to do")
    assert done.stdout.splitlines()[1:] == ["[]", "[]"]
