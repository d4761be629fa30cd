"""PostgreSQL's own programs, pg_dump and pg_restore, and how they are run.

A password reaches them in a file that only this user can read, never in their arguments.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from psycopg.conninfo import make_conninfo

from guarded.errors import BackupFailed

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer

# Where packages put versions that are not in the PATH.
FOLDERS = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/libpq/bin")
NEWEST = 30  # no such version yet


def find(name: str, server: PostgresqlServer) -> str:
    """The program, of the server's version or newer: an older one can't read the catalogue.

    Raises BackupFailed with the package to install.
    """
    major = server.major
    found = ""
    places = [os.environ.get("PATH", os.defpath)]
    places += [folder.format(version) for version in range(major, NEWEST) for folder in FOLDERS]
    for place in dict.fromkeys(places):
        program = shutil.which(name, path=place)
        if program is None:
            continue
        version = _major(program)
        if version >= major:
            return program
        found = found or f"'{program}' is of version {version}, and the server of {major}"
    package = f"install postgresql-client-{major} (Debian), postgresql{major} (Red Hat), or libpq"
    raise BackupFailed(Path(str(server)), f"{found or f'there is no {name} here'}: {package}")


def _major(program: str) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    version = re.search(r"\b(\d+)(\.|\w)", done.stdout)
    return int(version[1]) if version else 0


def connection_string(server: PostgresqlServer) -> str:
    """libpq's, without what is secret."""
    return make_conninfo(**server.public)


@contextmanager
def environment(*servers: PostgresqlServer) -> Iterator[Mapping[str, str]]:
    """The environment in which the programs find the passwords of these servers."""
    lines = []
    for server in servers:
        if password := server.parameters.get("password"):
            escaped = re.sub(r"([:\\])", r"\\\1", password)
            # The databases and hosts of a command line are all of one server, or told apart here.
            name = re.sub(r"([:\\])", r"\\\1", server.parameters["dbname"])
            lines.append(f"*:*:{name}:*:{escaped}\n")
    if not lines:
        yield os.environ
        return
    with tempfile.TemporaryDirectory(prefix="pgpass-") as folder:
        file = Path(folder) / "pgpass"
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.writelines(lines)
        yield {**os.environ, "PGPASSFILE": str(file)}


@contextmanager
def written(text: str) -> Iterator[Path]:
    """A file with this text, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="list-") as folder:
        file = Path(folder) / "list"
        file.write_text(text, encoding="utf-8")
        yield file


def run(command: Sequence[str], where: Path, *servers: PostgresqlServer) -> str:
    """Run to the end; gives what it printed.  Raises BackupFailed with the first error."""
    with (
        environment(*servers) as env,
        subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        try:
            out, err = process.communicate()
        except BaseException:
            process.kill()
            raise
    _check(process.returncode, err, where)
    return out.decode(errors="replace")


def copy(source: PostgresqlServer, target: PostgresqlServer) -> None:
    """Copy everything but owners, grants, publications and subscriptions into an empty database."""
    where = Path(str(target))
    dump = [find("pg_dump", source), "-Fc", "-Z0", "-d", connection_string(source)]
    dump += ["--no-publications", "--no-subscriptions"]
    restore = [find("pg_restore", source), "--exit-on-error", "-d", connection_string(target)]
    restore += ["--no-owner", "--no-acl"]
    with (
        environment(source, target) as env,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            dump, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as first,
        subprocess.Popen(
            restore, env=env, stdin=first.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as second,
    ):
        assert first.stdout is not None
        first.stdout.close()  # so that the first ends when the second does
        try:
            _, err = second.communicate()
            first.wait()
        except BaseException:
            first.kill()
            second.kill()
            raise
        _check(second.returncode, err, where)
        _check(first.returncode, _read(errors), where)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _check(status: int, errors: bytes, where: Path) -> None:
    if status:
        lines = errors.decode(errors="replace").splitlines()
        told = [line for line in lines if "error:" in line or "FATAL" in line] or lines
        why = re.sub(r"^\S+: (error: )?", "", told[0]) if told else f"it ended with {status}"
        raise BackupFailed(where, why)
