"""The sdist and the wheel, built from a copy, and the wheel installed in a new environment."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import venv
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from server import settings
from tests.conftest import ROOT, below_where, project_files

BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist and the wheel of the project as it is."""
    source, folder = (tmp_path_factory.mktemp(name) for name in ("source", "built"))
    for name in project_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-c", BUILD, str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return folder


class Installation:
    """A new environment with the wheel, and a user who has a home and an application."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.environment = folder / "environment"
        venv.create(self.environment)
        self.python = self.environment / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
        self.home, self.scratch = folder / "home", folder / "scratch"
        for made in (self.home, self.scratch):
            made.mkdir()
        self._files = self.files()

    def files(self) -> dict[str, tuple[int, int]]:
        """All that is not the application's, with size and time."""
        return {
            str(file): (file.stat().st_size, file.stat().st_mtime_ns)
            for folder in (self.environment, self.home, self.scratch)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    def call(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, and see that it wrote in ``cwd`` alone."""
        paths = f"{self.environment / 'bin'}:{os.environ['PATH']}"
        environ = {"PATH": paths, "HOME": str(self.home), "TMPDIR": str(self.scratch)}
        program = str(self.environment / "bin" / command[0])
        done = subprocess.run(
            [program, *command[1:]], cwd=cwd, env=environ, capture_output=True, text=True
        )
        assert self.files() == self._files
        return done


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    (wheel,) = built.glob("*.whl")
    return Installation(wheel, tmp_path_factory.mktemp("installed"))


def test_the_sdist_has_every_file_of_the_project(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(project_files()) - names == set()


def test_the_wheel_has_both_packages_and_no_tests(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {
        file.relative_to(ROOT).as_posix()
        for package in ("guarded", "server")
        for file in (ROOT / package).rglob("*.py")
    }
    packaged |= {f"server/page/{file.name}" for file in (ROOT / "server" / "page").iterdir()}
    assert {name for name in names if ".dist-info/" not in name} == packaged
    assert "server-migrate = server.migrations.migrate:main" in _entry_points(wheel)


def _entry_points(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        return archive.read(name).decode()


MODELS = '''"""The tables of a shop."""

from peewee import CharField, Check, ForeignKeyField, IntegerField, Model


class Customer(Model):
    name = CharField(unique=True)

    class Meta:
        table_name = "customers"


class Order(Model):
    customer = ForeignKeyField(Customer, on_delete="CASCADE")
    pieces = IntegerField(constraints=[Check("pieces > 0")])

    class Meta:
        table_name = "orders"
'''


def test_a_project_of_ones_own_writes_in_its_own_folder_only(installed, tmp_path):
    def call(*arguments: str, status: int = 0) -> str:
        done = installed.call("python", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (status, ""), done.stderr
        return below_where(done.stdout)

    def migrate(*arguments: str, status: int = 0) -> str:
        return call("migrations/migrate.py", *arguments, status=status)

    (tmp_path / "shop.py").write_text(MODELS)
    call("-m", "guarded", "init")
    listing = tmp_path / "migrations" / "migrate.py"
    listing.write_text(
        listing.read_text().replace(
            "    return Models([])\n",
            "    from shop import Customer, Order\n\n    return Models([Customer, Order])\n",
        )
    )
    assert migrate("check", status=1).count("is missing") == 2
    assert "listed   add_shop in" in migrate("new", "add_shop", "--from-models")
    assert migrate("verify").startswith("holds    add_shop")
    assert migrate("up").startswith("applying add_shop\n")
    database = tmp_path / "database.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("INSERT INTO customers (name) VALUES ('Ada')")
        connection.execute("INSERT INTO orders (customer_id, pieces) VALUES (1, 3)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO orders (customer_id, pieces) VALUES (2, 3)")
    assert migrate("check") == "no difference\n"
    assert migrate() == "nothing to do: 1 of 1 applied, the newest is add_shop\n"

    field = '    note = CharField(default="")\n'
    (tmp_path / "shop.py").write_text(
        MODELS.replace("pieces = I", f"{field.strip()}\n    pieces = I")
    )
    migrate("new", "add_order_note", "--from-models")
    assert migrate("verify").count("holds") == 2
    assert "add     orders.note" in migrate("up")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT * FROM orders").fetchall() == [(1, 1, 3, "")]
    assert migrate("check") == "no difference\n"

    assert migrate("down", "--yes").startswith("undoing  add_order_note\n")
    done = installed.call("python", "migrations/migrate.py", "down", "--yes", cwd=tmp_path)
    assert below_where(done.stdout).startswith("undoing  add_shop\n")
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
    assert {name for (name,) in tables} == {"schema_history", "sqlite_sequence"}


def test_an_installed_server_keeps_its_data_in_the_working_directory(installed, tmp_path):
    done = installed.call("server-migrate", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "error: 'data/meetings.sqlite' can't be there: the folder 'data' does not exist; create "
        "the folder, or name another file"
    )
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "data").mkdir()
    assert installed.call("server-migrate", cwd=tmp_path).stdout.startswith(
        "database data/meetings.sqlite (new)\napplying add_hmac_auth"
    )
    done = installed.call("server-migrate", cwd=tmp_path)
    assert done.stdout.startswith("database data/meetings.sqlite\nnothing to do: ")
    assert (tmp_path / "data" / "meetings.sqlite").stat().st_size


def test_new_refuses_to_write_into_an_installed_package(installed, tmp_path):
    (tmp_path / "data").mkdir()
    done = installed.call("server-migrate", "new", "add_color", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "/server/migrations' is an installed package; work in a checkout" in done.stderr


def test_a_checkout_keeps_its_data_in_itself():
    assert settings.DEFAULT_DATABASE == ROOT / "data" / "meetings.sqlite"
