"""Replace a database by a dump.

The dump goes into a new database, which is checked before anything is replaced.  Then the two get
each other's names in one transaction, and the old one is kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Identifier

from guarded import history
from guarded.backends.interface import Inspector, MayEnd
from guarded.backends.postgresql import programs
from guarded.errors import (
    BackupFailed,
    DatabaseLocked,
    RestoreRefused,
    UnusableDatabase,
)
from guarded.patience import Patience
from guarded.project import Project
from guarded.status import read_state

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer

LINGERING = 1.0
ENDING = 5.0  # seconds for the sessions of others to end
POLL = 0.02
LONGEST = 63  # bytes of a name
MAINTENANCE = ("postgres", "template1")  # databases to be connected to while others are renamed
# Entries of a dump that are about the database itself, not about what is in it.
ITSELF = re.compile(r" (DATABASE|DATABASE PROPERTIES|ACL - DATABASE|COMMENT - DATABASE) ")
STATEMENT = (
    r"^((?:CREATE|ALTER|COMMENT ON|(?:GRANT|REVOKE) [A-Z, ]+ ON) DATABASE) {}"
    r"((?:'(?:[^']|'')*'|[^';])*);"
)
OTHERS = """
SELECT concat('pid ', pid, ' (', usename, ', ', nullif(application_name, '') || ', ',
    'since ', backend_start::timestamp(0), ')')
FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() ORDER BY backend_start"""


def restore(
    project: Project,
    file: Path,
    server: PostgresqlServer,
    patience: Patience,
    may_end: MayEnd | None,
) -> str | None:
    """Replace the database by the content of ``file``; return the name under which the old one is
    kept, or None where there was none.

    Ends the sessions of others where ``may_end`` says so.  Refuses a file that is damaged, of
    something else, or of a newer version of this code.  Raises RestoreRefused and DatabaseLocked,
    and then nothing was touched.
    """
    if not file.is_file():
        raise RestoreRefused(file, "there is no such file", "name a backup")
    name = server.parameters["dbname"]
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dt%H%M%S")
    with _maintaining(server) as connection:
        is_there = _is_there(connection, name)
        if (others := _staying(connection, name)) and not (may_end and may_end(others)):
            raise DatabaseLocked(str(server), 0, others)
        new, kept = _named(name, "restoring", stamp), _named(name, "replaced", stamp)
        _create(server, connection, file, name, new)
        try:
            _fill(server.at(dbname=new), file)
            with server.at(dbname=new).reading(patience) as inspector:
                assert inspector is not None
                _check_content(project, file, inspector)
            _end(connection, new)
            _exchange(server, connection, name, new, kept if is_there else None)
        except BaseException:
            drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(Identifier(new)))
            raise
    return kept if is_there else None


@contextmanager
def _maintaining(server: PostgresqlServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection to another database of the server."""
    first: UnusableDatabase | None = None
    for name in MAINTENANCE:
        if name == server.parameters["dbname"]:
            continue
        try:
            connection = server.at(dbname=name).connect()
        except UnusableDatabase as exc:
            first = first or exc
            continue
        try:
            yield connection
        finally:
            connection.close()
        return
    assert first is not None
    raise first


def _create(
    server: PostgresqlServer, connection: psycopg.Connection[Any], file: Path, name: str, new: str
) -> None:
    """Create a database with the settings and grants of the one that was dumped."""
    for statement in _statements(server, file, new):
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as exc:
            if not statement.startswith("CREATE"):
                why = f"this role may not repeat: {statement}"
                connection.execute(SQL("DROP DATABASE {}").format(Identifier(new)))
                raise RestoreRefused(file, why, "restore as a role that may") from exc
            grant = SQL("ALTER ROLE {} CREATEDB").format(Identifier(connection.info.user))
            raise RestoreRefused(
                file, "this role may not create a database", grant.as_string(connection)
            ) from exc


def _statements(server: PostgresqlServer, file: Path, new: str) -> list[str]:
    """The statements of the dump about the database itself, for the new name."""
    program = programs.find("pg_restore", server)
    try:
        listed = programs.run([program, "--create", "--list", str(file)], file)
        entries = "".join(f"{line}\n" for line in listed.splitlines() if ITSELF.search(line))
        with programs.written(entries) as chosen:
            command = [program, "--create", "--use-list", str(chosen), "-f", "-", str(file)]
            script = programs.run(command, file)
    except BackupFailed as exc:
        raise RestoreRefused(file, exc.why, "name a backup that pg_dump -Fc made") from exc
    created = re.search(r"^CREATE DATABASE (\"(?:[^\"]|\"\")+\"|\S+) ", script, re.MULTILINE)
    if created is None:
        return [SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(new)).as_string()]
    about = re.compile(STATEMENT.format(re.escape(created[1])), re.MULTILINE)
    quoted = Identifier(new).as_string()
    return [f"{found[1]} {quoted}{found[2]}" for found in about.finditer(script)]


def _fill(server: PostgresqlServer, file: Path) -> None:
    program = programs.find("pg_restore", server)
    command = [program, "--exit-on-error", "-d", programs.connection_string(server), str(file)]
    try:
        programs.run(command, file, server)
    except BackupFailed as exc:
        raise RestoreRefused(file, exc.why, "mend that, or name another backup") from exc


def _check_content(project: Project, file: Path, inspector: Inspector) -> None:
    state = read_state(project, inspector)
    if unlisted := [name for name in state.applied if name not in project.listed]:
        why = f"it is ahead of this code, which does not list '{unlisted[0]}'"
        raise RestoreRefused(file, why, "update the code first")
    if not inspector.has_table(history.TABLE) and not any(
        _has_key(inspector, model) for model in project.models().persistent
    ):
        why = "it has none of this application's tables"
        raise RestoreRefused(file, why, "name a backup of this database")


def _has_key(inspector: Inspector, model: Any) -> bool:
    """Return True if there is the model's table, with its key, and not only the name."""
    table = inspector.table(model._meta.table_name)
    present = {column.name for column in table.columns} if table else set()
    return table is not None and present >= {
        field.column_name for field in model._meta.get_primary_keys()
    }


def _exchange(
    server: PostgresqlServer,
    connection: psycopg.Connection[Any],
    name: str,
    new: str,
    kept: str | None,
) -> None:
    """Let nobody in, end the sessions of the old database, and rename both in one transaction."""
    rename, allow = SQL("ALTER DATABASE {} RENAME TO {}"), SQL("ALTER DATABASE {} {}")
    opened, closed = SQL("ALLOW_CONNECTIONS true"), SQL("ALLOW_CONNECTIONS false")
    try:
        if kept is None:
            connection.execute(rename.format(Identifier(new), Identifier(name)))
            return
        connection.execute(allow.format(Identifier(name), closed))
        try:
            _end(connection, name)
            with connection.transaction():
                connection.execute(rename.format(Identifier(name), Identifier(kept)))
                connection.execute(rename.format(Identifier(new), Identifier(name)))
                connection.execute(allow.format(Identifier(kept), opened))
        except BaseException:
            connection.execute(allow.format(Identifier(name), opened))
            raise
    except psycopg.errors.ObjectInUse as exc:
        raise DatabaseLocked(str(server), ENDING, _others(connection, name)) from exc
    except psycopg.errors.InsufficientPrivilege as exc:
        why = " ".join(str(exc).split())
        raise RestoreRefused(Path(name), why, "restore as its owner") from exc


def _end(connection: psycopg.Connection[Any], name: str) -> None:
    """End the sessions of a database, and wait until they are gone."""
    until = time.monotonic() + ENDING
    while True:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            (name,),
        )
        if not _others(connection, name) or time.monotonic() > until:
            return
        time.sleep(POLL)


def _staying(connection: psycopg.Connection[Any], name: str) -> Sequence[str]:
    """The sessions of others; one that just ended is shown for a moment longer."""
    until = time.monotonic() + LINGERING
    while (found := _others(connection, name)) and time.monotonic() < until:
        time.sleep(POLL)
    return found


def _is_there(connection: psycopg.Connection[Any], name: str) -> bool:
    return bool(
        connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall()
    )


def _others(connection: psycopg.Connection[Any], name: str) -> Sequence[str]:
    return [who for (who,) in connection.execute(OTHERS, (name,))]


def _named(name: str, word: str, stamp: str) -> str:
    """A name that PostgreSQL does not cut."""
    end = f"_{word}_{stamp}"
    return name.encode()[: LONGEST - len(end)].decode(errors="ignore") + end
