"""A PostgreSQL database as a database of the engine's: from a URL to an open connection.

Secrets of the URL go to the driver and nowhere else: no message and no output shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from guarded.backends.interface import Origin
from guarded.backends.postgresql.connection import Connection
from guarded.errors import UnusableDatabase
from guarded.patience import Patience

if TYPE_CHECKING:
    from guarded.backends.interface import (
        Backup,
        Copy,
        Ddl,
        Inspector,
        KeptFile,
        Ledger,
        Load,
        Locks,
        MayEnd,
        OnProgress,
        Session,
    )
    from guarded.backends.postgresql.database import Database
    from guarded.findings import Finding
    from guarded.project import Project
    from guarded.schema import Schema
    from guarded.steps import Step

APPLICATION = "guarded"  # how others see our connections
OLDEST_SERVER = 150000  # as libpq counts
FORM = "write postgresql://user@host/name; in a password, %40 for @ and %2F for /"
LINE_ENDS = "an .env file with Windows line ends leaves \\r at the end of each value"
# libpq marks by these what a person should not see, and what is for experts.
SECRETS = {o.keyword.decode() for o in pq.Conninfo.get_defaults() if o.dispchar == b"*"} | {
    "scram_client_key",
    "scram_server_key",
}
PLACE = ("user", "host", "port", "dbname")
REMEDIES = {
    "password authentication failed": "check the user, and the password in ~/.pgpass or the URL",
    "no password supplied": "put the password into ~/.pgpass or into the URL",
    "no pg_hba.conf entry": "let the server accept this user from here, in its pg_hba.conf",
    "could not translate host name": "check the name of the host",
    "resolve host": "check the name of the host",
    "Connection refused": "start the server, or check host and port",
    "No such file": "start the server, or name its host",
    "timeout": "check host and port, and that nothing between blocks them",
    "is not permitted to log in": "use a role that may log in",
    "too many": "wait until others have closed their connections",
    "starting up": "wait a little, and try again",
    "not writable": "name the primary server",
    "read-only": "name the primary server",
    "hot standby": "name the primary server",
    "certificate": "check sslrootcert and the other options for TLS",
}


class PostgresqlServer:
    """A database on a PostgreSQL server, see ``guarded.backends.interface.Backend``."""

    name = "postgresql"
    lets_others_write = True

    def __init__(
        self,
        parameters: Mapping[str, str],
        register: Callable[[Any], None] | None = None,
        *,
        folder: Path = Path("backups"),
        scratch_url: str | None = None,
    ) -> None:
        """``parameters`` are libpq's.  ``folder`` is for backups and dropped values.
        ``scratch_url`` names a database to try things in, for a role that may not create one."""
        self.parameters, self.register = dict(parameters), register
        self.folder, self.scratch_url = folder, scratch_url
        self._version, self._major = "", 0

    def __str__(self) -> str:
        return shown(self.parameters)

    @property
    def names(self) -> Any:
        from guarded.backends.postgresql.text import PostgresqlNames

        return PostgresqlNames()

    @property
    def version(self) -> str:
        if not self._version:
            self.connect().close()
        return self._version

    @property
    def major(self) -> int:
        """The number of the server's version, 15 or more."""
        if not self._major:
            self.connect().close()
        return self._major

    @property
    def public(self) -> Mapping[str, str]:
        """The parameters without those that are secret."""
        return {name: value for name, value in self.parameters.items() if name not in SECRETS}

    @property
    def file_name(self) -> str:
        """How the names of its backups begin: two servers may have a database of one name."""
        host = self.parameters.get("host", "").partition(",")[0]
        place = "local" if not host or host.startswith("/") else host
        port = self.parameters.get("port", "").partition(",")[0]
        return "@".join(
            quote(part, safe=" ")
            for part in (self.parameters["dbname"], place + (f"-{port}" if port else ""))
        )

    @property
    def is_there(self) -> bool:
        """Always: a database that is missing is made by whoever may, and not by a run."""
        return True

    def size(self) -> int:
        with self.connected() as connection:
            query = "SELECT pg_database_size(current_database())"
            return sum(size for (size,) in connection.execute(query))

    def at(self, **parameters: str) -> PostgresqlServer:
        """Another database of this server, or this one with other parameters."""
        return type(self)(
            {**self.parameters, **parameters},
            self.register,
            folder=self.folder,
            scratch_url=self.scratch_url,
        )

    # Opening.

    def connect(self, **parameters: Any) -> Connection:
        """Open a connection in autocommit.  Raises UnusableDatabase."""
        whole = {**self.parameters, **parameters}
        whole.setdefault("application_name", APPLICATION)
        if "," in whole.get("host", ""):
            # Of several servers one is the primary, and a standby may be behind it.
            whole.setdefault("target_session_attrs", "primary")
        try:
            # A plan that the server has prepared fails once the table has changed.
            connection = Connection.connect(**whole, autocommit=True, prepare_threshold=None)
        except psycopg.Error as exc:
            raise self._unusable(str(exc)) from exc
        number = connection.info.server_version
        self._major = number // 10_000
        self._version = f"PostgreSQL {connection.info.parameter_status('server_version')}"
        if number < OLDEST_SERVER:
            connection.close()
            raise UnusableDatabase(
                str(self), f"is on {self._version}, and 15 is the oldest that works", "upgrade it"
            )
        if self.register is not None:
            self.register(connection)
        return connection

    @contextmanager
    def connected(self, **parameters: Any) -> Iterator[Connection]:
        connection = self.connect(**parameters)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def reading(self, patience: Patience = Patience(wait=5)) -> Iterator[Inspector | None]:  # noqa: B008
        """Every statement is a transaction of its own, so that nothing waits for this reader.

        Raises DatabaseFailed.
        """
        with self.connected() as connection:
            from guarded.backends.postgresql.inspect import Inspector

            user = connection.info.user
            try:
                connection.execute("SET default_transaction_read_only = on")
                yield Inspector(connection)
            except Exception as exc:
                from guarded.backends.postgresql.lock import failure

                if (failed := failure(self, exc, user)) is not None:
                    raise failed from exc
                raise

    def transaction(
        self, patience: Patience, on_commit: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Session]:
        from guarded.backends.postgresql.lock import transaction

        return transaction(self, patience, on_commit)

    def database_to_migrate(self) -> Database:
        """Unconnected, in autocommit."""
        from guarded.backends.postgresql.database import Database

        return Database(self.parameters["dbname"], self.connect)

    def clone(self, of: Inspector | None) -> AbstractContextManager[Session]:
        from guarded.backends.postgresql.scratch import clone

        return clone(self, of)

    def scratch(self) -> AbstractContextManager[PostgresqlServer]:
        from guarded.backends.postgresql.scratch import scratch

        return scratch(self)

    def copy(
        self, patience: Patience, on_progress: OnProgress
    ) -> AbstractContextManager[PostgresqlServer | None]:
        from guarded.backends.postgresql.scratch import copy

        return copy(self, on_progress)

    # What runs need.

    def declared(self, models: Sequence[Any]) -> Schema:
        from guarded.backends.postgresql.declare import declared_schema

        return declared_schema(self, models)

    def locks(self, steps: Iterable[Step], schema: Schema) -> Locks:
        from guarded.backends.postgresql.needed import locks

        return locks(steps, schema)

    def lock_tables(self, session: Session, locks: Locks, patience: Patience) -> None:
        from guarded.backends.postgresql.lock import lock_tables

        lock_tables(self, session, locks, patience)

    def ledger(self, session: Session, in_memory: Mapping[str, str]) -> Ledger:
        from guarded.backends.postgresql.ledger import PostgresqlLedger

        return PostgresqlLedger(session.database, in_memory)

    def ddl(self, session: Session, playhouse: Any, ledger: Ledger) -> Ddl:
        from guarded.backends.postgresql.ddl import PostgresqlDdl

        return PostgresqlDdl(session.database, playhouse, ledger)

    def loading(self, session: Session, marks: Mapping[str, int]) -> AbstractContextManager[Load]:
        from guarded.backends.postgresql.load import loading

        return loading(session, marks)

    def only_copies(self, inspector: Inspector, tables: Iterable[str]) -> Iterator[Finding]:
        """Nothing: ALTER TABLE is transactional here, so no tool moves rows to another table."""
        return iter(())

    # Care.

    def back_up(
        self,
        patience: Patience,
        on_progress: OnProgress,
        *,
        deep: bool = False,
        by_hand: bool = False,
    ) -> Backup | None:
        from guarded.backends.postgresql import backup

        return backup.take(self, on_progress, by_hand=by_hand)

    def copies(self) -> list[Copy]:
        from guarded import copies

        return copies.copies(self.folder, self.file_name, Origin.RUN, Origin.BY_HAND)

    @contextmanager
    def reading_copy(self, copy: Copy) -> Iterator[None]:
        """Nothing: only pg_restore reads a dump."""
        yield None

    def file_to_keep(self, migration: str) -> Path:
        from guarded import copies

        return self.folder / copies.kept_name(self.file_name, migration)

    def kept_files(self) -> list[KeptFile]:
        from guarded import copies

        return copies.kept_files(self.folder, self.file_name)

    def owner(self) -> Path | None:
        """None: the files are for whoever runs this."""
        return None

    def prune_backups(self, taken: Path) -> None:
        from guarded import copies

        copies.prune(self.folder, self.file_name, taken)

    def restore(
        self,
        project: Project,
        file: Path,
        patience: Patience,
        on_progress: OnProgress,
        may_end: MayEnd | None = None,
    ) -> str | None:
        from guarded.backends.postgresql.restore import restore

        return restore(project, file, self, patience, may_end)

    def examine(self, project: Project, patience: Patience) -> Iterator[Finding]:
        from guarded.backends.postgresql.examine import examine

        return examine(self, project)

    def _unusable(self, message: str) -> UnusableDatabase:
        name = self.parameters["dbname"]
        why = " ".join(message.split()).removeprefix("connection failed: ")
        for secret in SECRETS & self.parameters.keys():
            why = why.replace(self.parameters[secret], "…")
        if f'database "{name}" does not exist' in why:
            create = f"create it: CREATE DATABASE {psycopg.sql.Identifier(name).as_string()}"
            return UnusableDatabase(str(self), "does not exist on this server", create)
        if "not currently accepting connections" in why:
            allow = f"ALTER DATABASE {psycopg.sql.Identifier(name).as_string()}"
            return UnusableDatabase(
                str(self), why, f"a restore was cut off: {allow} ALLOW_CONNECTIONS true"
            )
        found = [remedy for words, remedy in REMEDIES.items() if words in why]
        remedy = found[0] if found else "check the URL and the server"
        return UnusableDatabase(str(self), f"can't be reached: {why}", remedy)


def locate(
    location: str,
    register: Callable[[Any], None] | None = None,
    *,
    folder: Path = Path("backups"),
    scratch_url: str | None = None,
) -> PostgresqlServer:
    """The database that a URL names, https://www.postgresql.org/docs/current/libpq-connect.html.

    Raises UnusableDatabase; it is not connected to yet.
    """
    scheme, _, rest = location.partition(":")
    location = f"{scheme.lower()}:{rest}"
    if not location.startswith(("postgresql://", "postgres://")):
        raise UnusableDatabase(f"{scheme}:…", "is no URL of PostgreSQL", FORM)
    if not location.isprintable():
        raise UnusableDatabase(f"{scheme}://…", "has a character that can't be printed", LINE_ENDS)
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(location).items()}
    except (psycopg.Error, ValueError) as exc:
        # What follows the colon may be a part of the password.
        why = str(exc).partition(":")[0]
        raise UnusableDatabase(f"{scheme}://…", f"is no URL: {why}", FORM) from exc
    if "@" in parameters.get("host", ""):  # a bare @ in the password: the rest of it became a host
        raise UnusableDatabase(f"{scheme}://…", "has more than one @", FORM)
    if not parameters.get("dbname"):
        raise UnusableDatabase(shown(parameters), "names no database", FORM)
    return PostgresqlServer(parameters, register, folder=folder, scratch_url=scratch_url)


def shown(parameters: Mapping[str, str]) -> str:
    """The URL without secrets; with a password from elsewhere it leads to the same database."""
    user = f"{quote(parameters['user'], safe='')}@" if "user" in parameters else ""
    hosts = parameters.get("host", "").split(",")
    behind = {k: v for k, v in parameters.items() if k not in SECRETS and k not in PLACE}
    if any(host.startswith("/") for host in hosts):  # a folder with a socket
        behind["host"] = parameters["host"]
        if "port" in parameters:
            behind["port"] = parameters["port"]
        place = ""
    else:
        ports = parameters.get("port", "").split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        place = ",".join(
            (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
            for host, port in zip(hosts, ports)
        )
    more = f"?{urlencode(behind, quote_via=quote, safe='/,')}" if behind else ""
    return f"postgresql://{user}{place}/{quote(parameters.get('dbname', ''), safe='')}{more}"
