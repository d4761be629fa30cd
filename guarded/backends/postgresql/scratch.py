"""Places to try things: a schema that is rolled back, and databases that are dropped.

A forecast needs no right to create a database: it works in a schema of its own, in a transaction
that is always rolled back, and stops when a statement reaches a table outside of that schema.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from guarded.backends.interface import OnProgress, Session
from guarded.backends.postgresql.definitions import Definition, definitions
from guarded.errors import Refused, UnusableDatabase

if TYPE_CHECKING:
    from guarded.backends.interface import Inspector as AnyInspector
    from guarded.backends.postgresql.connect import PostgresqlServer

PREFIX = "guarded_scratch_"  # of databases and schemas; doctor lists those that were left
LOCK_TIMEOUT = "1s"  # a forecast needs no lock that could take longer
IDENTITY = """
SELECT pg_postmaster_start_time()::text, oid FROM pg_database WHERE datname = current_database()"""
# Relations outside of our schema on which this transaction has more than the lock of a SELECT.
REACHED = """
SELECT c.oid::regclass::text FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.mode <> 'AccessShareLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND c.relkind IN ('r', 'p', 'm', 'v', 'S') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', {})
LIMIT 1"""


@contextmanager
def clone(server: PostgresqlServer, of: AnyInspector | None) -> Iterator[Session]:
    """The schema that ``of`` sees, without rows, in a transaction that is rolled back.

    Takes no lock that anyone would wait for.  Raises Refused where this role may not create a
    schema, or where a table can't be made anew.
    """
    from guarded.backends.postgresql.database import Database
    from guarded.backends.postgresql.inspect import Inspector

    schema = _new_name()
    reached = SQL(REACHED).format(Literal(schema)).as_string()

    def watch(connection: psycopg.Connection[Any]) -> None:
        if connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS:
            for (table,) in connection.execute(reached).fetchall():
                raise Refused(
                    f"the statement reaches '{table}', which is outside of the schema that is "
                    "tried; write its name without the schema"
                )

    # From the catalogue as ``of`` sees it: another connection may have to wait for its locks.
    wanted = definitions(of.execute) if of is not None else []
    database: Any = Database(server.parameters["dbname"], server.connect, watch)
    database.connect()
    try:
        connection = database.connection()
        database.begin()
        database.push_transaction(database.transaction())
        try:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            _enter(server, connection, schema)
            _make_tables(connection, wanted)
            yield Session(database, Inspector(connection))
        finally:
            database.pop_transaction()
    finally:
        database.close()  # ends the transaction


def _enter(server: PostgresqlServer, connection: psycopg.Connection[Any], schema: str) -> None:
    """Create the schema, and let it stand before those that the names were found in."""
    try:
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
    except psycopg.errors.InsufficientPrivilege as exc:
        grant = SQL("GRANT CREATE ON DATABASE {} TO {}").format(
            Identifier(server.parameters["dbname"]), Identifier(connection.info.user)
        )
        raise Refused(
            "a forecast works in a schema of its own, which this role may not create; "
            f"{grant.as_string(connection)}"
        ) from exc
    connection.execute(
        "SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), true)",
        (schema,),
    )


def _make_tables(connection: psycopg.Connection[Any], wanted: Sequence[Definition]) -> None:
    # The key to a table of another schema would lock that table.
    inside = [definition for definition in wanted if definition.kind != "foreign key outside"]
    connection.execute("SET LOCAL check_function_bodies = off")
    for definition, why in make(connection, inside):
        if definition.kind == "table":
            raise Refused(f"table '{definition.name}' can't be made anew for a forecast: {why}")


def make(
    connection: psycopg.Connection[Any], wanted: Sequence[Definition]
) -> list[tuple[Definition, str]]:
    """Make the objects in the current schema, each as soon as what it needs is there.

    Returns those that could not be made, with the reason.  Inside of a transaction.
    """
    failed: list[tuple[Definition, str]] = []
    waiting = list(wanted)
    while waiting:
        failed = list(_made_together(connection, waiting))
        if len(failed) == len(waiting):
            break
        waiting = [definition for definition, _ in failed]
    return failed


def _made_together(
    connection: psycopg.Connection[Any], wanted: Sequence[Definition]
) -> Iterator[tuple[Definition, str]]:
    """Make them by one message to the server; where one fails, each half by its own."""
    try:
        with connection.transaction():
            connection.execute(";\n".join(definition.sql for definition in wanted))
    except psycopg.Error as exc:
        if connection.closed:
            raise
        if len(wanted) == 1:
            yield wanted[0], " ".join(str(exc).split())
            return
        half = len(wanted) // 2
        yield from _made_together(connection, wanted[:half])
        yield from _made_together(connection, wanted[half:])


@contextmanager
def scratch(server: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """An empty database of its own; or with a scratch URL, an empty schema in that database.

    Raises UnusableDatabase where this role may do neither.
    """
    if server.scratch_url is not None:
        with _schema(server.scratch_url, server) as empty:
            yield empty
        return
    with _database(server) as empty:
        yield empty


@contextmanager
def copy(server: PostgresqlServer, on_progress: OnProgress) -> Iterator[PostgresqlServer]:
    """A whole copy in a database of its own, or in the one that the scratch URL names.

    Owners and grants are left out.
    """
    from guarded.backends.postgresql import programs

    if server.scratch_url is None:
        with _database(server, with_schema=False) as copied:
            programs.copy(server, copied)
            yield copied
        return
    copied = _other(server, server.scratch_url)
    with copied.connected() as connection:
        if found := _tables(connection):
            raise UnusableDatabase(
                str(copied), f"is not empty: it has '{found[0]}'", "name an empty database"
            )
    try:
        programs.copy(server, copied)
        yield copied
    finally:
        with copied.connected() as connection:
            _empty(connection)


@contextmanager
def _database(server: PostgresqlServer, *, with_schema: bool = True) -> Iterator[PostgresqlServer]:
    name = _new_name()
    with server.connected() as connection:
        (schema, encoding) = connection.execute(
            "SELECT current_schema(), current_setting('server_encoding')"
        ).fetchall()[0]
        create = SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}")
        try:
            connection.execute(create.format(Identifier(name), Literal(encoding)))
        except psycopg.errors.InsufficientPrivilege as exc:
            grant = SQL("ALTER ROLE {} CREATEDB").format(Identifier(connection.info.user))
            raise UnusableDatabase(
                str(server),
                "can't be tried: this role may not create a database",
                f"name an empty one with --scratch URL, or {grant.as_string(connection)}",
            ) from exc
    found = server.at(dbname=name)
    try:
        if with_schema and schema is not None:
            with found.connected() as connection:
                connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
        yield found
    finally:
        with server.connected() as connection:
            drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(Identifier(name)))


@contextmanager
def _schema(url: str, server: PostgresqlServer) -> Iterator[PostgresqlServer]:
    name = _new_name()
    place = _other(server, url)
    with place.connected() as connection:
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
    try:
        options = f"{place.parameters.get('options', '')} -csearch_path={name},public".strip()
        yield place.at(options=options)
    finally:
        with place.connected() as connection:
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(name)))


def _other(server: PostgresqlServer, url: str) -> PostgresqlServer:
    """The scratch database, which is not the database itself."""
    from guarded.backends.postgresql.connect import locate

    place = locate(url, server.register, folder=server.folder, scratch_url=url)
    if PREFIX in server.parameters.get("options", ""):  # a schema in it already
        return place
    with server.connected() as one, place.connected() as other:
        if one.execute(IDENTITY).fetchall() == other.execute(IDENTITY).fetchall():
            why = "is the database itself"
            raise UnusableDatabase(str(place), why, "name another one with --scratch")
    return place


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') "
        "AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema') "
        "AND relpersistence <> 't' AND relnamespace::regnamespace::text NOT LIKE 'pg_toast%'"
    )
    return [name for (name,) in rows]


def _empty(connection: psycopg.Connection[Any]) -> None:
    """Drop the schemas of people, and make the one that every database has anew."""
    rows = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' "
        "AND nspname <> 'information_schema'"
    ).fetchall()
    with connection.transaction():
        for (name,) in rows:
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(name)))
        connection.execute("CREATE SCHEMA IF NOT EXISTS public")


def _new_name() -> str:
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dt%H%M%S")
    return f"{PREFIX}{stamp}_{os.getpid()}_{secrets.token_hex(4)}"
