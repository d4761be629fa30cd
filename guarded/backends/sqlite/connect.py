"""An SQLite file as a database of the engine's: from a URL or a path to an open connection.

A reader never creates, recovers or locks the file for writing where SQLite lets it do without.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from guarded.backends.sqlite.inspect import Inspector
from guarded.backends.sqlite.lock import is_locked, when_free
from guarded.backends.sqlite.text import SqliteNames, fold
from guarded.errors import UnusableDatabase
from guarded.patience import Patience

if TYPE_CHECKING:
    from peewee import SqliteDatabase

    from guarded.backends.interface import (
        Backup,
        Copy,
        KeptFile,
        Ledger,
        Locks,
        MayEnd,
        OnProgress,
        Session,
    )
    from guarded.backends.interface import Inspector as AnyInspector
    from guarded.backends.sqlite.ddl import SqliteDdl
    from guarded.backends.sqlite.ledger import SqliteLedger
    from guarded.findings import Finding
    from guarded.project import Project
    from guarded.schema import Schema
    from guarded.steps import Step

# STRICT, DROP COLUMN and the table list pragma: nothing older can keep what a rebuild must keep.
OLDEST_SQLITE = (3, 37, 0)
WAL_HEADER = b"\x02\x02"  # bytes 18 and 19 of the file, https://www.sqlite.org/fileformat.html
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # more letters than a drive of Windows has
COMPANIONS = ("-wal", "-shm", "-journal")


def companions(path: Path) -> list[Path]:
    """The files that SQLite keeps beside a database."""
    return [Path(f"{path}{suffix}") for suffix in COMPANIONS]


class SqliteFile:
    """An SQLite file that may not exist yet, see ``guarded.backends.interface.Backend``."""

    name = "sqlite"
    lets_others_write = False
    names = SqliteNames()
    version = f"SQLite {sqlite3.sqlite_version}"
    # For a run, in KiB with SQLite's minus.  Whenever its cache is full, SQLite syncs the journal,
    # and its 2 MB by default are full several hundred times in a run on a million rows.
    cache_size = -16_000

    def __init__(self, path: Path, register: Callable[[Any], None] | None = None) -> None:
        """``register`` gives a connection the application's own functions and collations."""
        self.path, self._register = path, register

    def register(self, connection: Any) -> None:
        # A text that is no UTF-8 comes back as it is stored; sqlite3 would raise an error.
        connection.text_factory = _decoded
        if self._register is not None:
            self._register(connection)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def is_there(self) -> bool:
        return self.path.exists()

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def at(self, path: Path) -> SqliteFile:
        """Another file of the same kind."""
        return type(self)(path, self._register)

    # Opening.

    @contextmanager
    def reading(self, patience: Patience = Patience(wait=5)) -> Iterator[Inspector | None]:  # noqa: B008
        """Take no write lock and change no byte, except that SQLite first has to undo what a killed
        process left in a hot journal.  While another process keeps readers out, as a large write
        does, it waits.  Raises UnusableDatabase and DatabaseLocked.
        """
        with self.connected(patience) as connection:
            if connection is None:
                yield None
                return

            def execute(*arguments: Any) -> Iterable[Any]:
                assert connection is not None
                return when_free(lambda: connection.execute(*arguments), self.path, patience)

            yield Inspector(execute)

    @contextmanager
    def connected(self, patience: Patience) -> Iterator[sqlite3.Connection | None]:
        """The same as a bare connection, which waits for nobody once it is open."""
        self.check()
        if not self.path.exists():
            yield None
            return
        connection = when_free(self._open_for_reading, self.path, patience)
        try:
            self.register(connection)
            yield connection
        finally:
            connection.close()

    @contextmanager
    def transaction(
        self, patience: Patience, on_commit: Callable[[], None] = lambda: None
    ) -> Iterator[Session]:
        from guarded.backends.interface import Session
        from guarded.backends.sqlite.lock import transaction

        database = self.database_to_migrate()
        with transaction(database, self.path, patience, on_commit):
            database.cache_size = self.cache_size  # reads the schema, so under the lock
            self.register(database.connection())
            yield Session(database, Inspector(database.connection().execute))

    def database_to_migrate(self) -> SqliteDatabase:
        """Unconnected, in autocommit, with foreign keys off; it does not wait for a lock."""
        from peewee import SqliteDatabase

        self.check()
        return SqliteDatabase(str(self.path), pragmas={"foreign_keys": 0}, timeout=0)

    @contextmanager
    def clone(self, of: AnyInspector | None) -> Iterator[Session]:
        from peewee import SqliteDatabase

        from guarded.backends.interface import Session
        from guarded.backends.sqlite.health import clone_schema

        database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 0})
        database.connect()
        self.register(database.connection())
        if of is not None:
            # By another connection: this one must know no more than the database's own does, and
            # a function that was there and was removed is not to SQLite what an unknown one is.
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as built:
                self.register(built)
                clone_schema(of.execute, built)
                built.backup(database.connection())
        database.begin()
        database.push_transaction(database.transaction())
        try:
            yield Session(database, Inspector(database.connection().execute))
        finally:
            database.pop_transaction()
            database.close()

    @contextmanager
    def scratch(self) -> Iterator[SqliteFile]:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="scratch-") as folder:
            yield self.at(Path(folder) / "scratch.sqlite")

    @contextmanager
    def copy(self, patience: Patience, on_progress: OnProgress) -> Iterator[SqliteFile | None]:
        """The copy lies beside the database where that folder may be written, else where temporary
        files do."""
        import tempfile

        from guarded.backends.sqlite import backup

        folder = self.path.parent if os.access(self.path.parent, os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix=".rehearsal-", dir=folder) as name:
            copy = Path(name) / self.path.name
            with self.connected(patience) as source:
                if source is not None:
                    backup.copy(source, copy, self.path, on_progress)
            yield self.at(copy) if source is not None else None

    # What runs need.

    def declared(self, models: Sequence[Any]) -> Schema:
        from guarded.backends.sqlite.declare import declared_schema

        return declared_schema(models, self.register)

    def locks(self, steps: Iterable[Step], schema: Schema) -> Locks:
        """None: the lock of runners is SQLite's write lock, on the whole file."""
        return {}

    def lock_tables(self, session: Session, locks: Locks, patience: Patience) -> None:
        """Nothing to do."""

    def ledger(self, session: Session, in_memory: Mapping[str, str]) -> SqliteLedger:
        from guarded.backends.sqlite.ledger import SqliteLedger

        return SqliteLedger(session.database.connection(), in_memory)

    def ddl(self, session: Session, playhouse: Any, ledger: Ledger) -> SqliteDdl:
        from guarded.backends.sqlite.ddl import SqliteDdl

        return SqliteDdl(session.database, playhouse, ledger)

    def only_copies(self, inspector: AnyInspector, tables: Iterable[str]) -> Iterator[Finding]:
        from guarded.backends.sqlite import leftovers

        present = {fold(target.table) for target in inspector.objects()}
        if any(fold(p.format(t)) in present for t in tables for p in leftovers.NAMES):
            yield from leftovers.only_copies(inspector.execute, tables)

    # Care.

    def back_up(
        self,
        patience: Patience,
        on_progress: OnProgress,
        *,
        deep: bool = False,
        by_hand: bool = False,
    ) -> Backup | None:
        from guarded.backends.sqlite import backup

        with self.connected(patience) as source:
            if source is None:
                return None
            return backup.take(source, self.path, on_progress, deep=deep, by_hand=by_hand)

    def copies(self) -> list[Copy]:
        from guarded.backends.sqlite import backup

        return backup.copies_of(self.path)

    @contextmanager
    def reading_copy(self, copy: Copy) -> Iterator[Inspector]:
        from guarded.backends.sqlite import backup

        try:
            # Nobody writes it, and so SQLite needs no files beside it.
            with closing(backup.open_read_only(copy.path, "immutable=1")) as connection:
                yield Inspector(connection.execute)
        except sqlite3.Error as exc:
            raise self.at(copy.path)._unreadable(exc) from exc

    def file_to_keep(self, migration: str) -> Path:
        from guarded import copies

        return self._folder / copies.kept_name(self.path.name, migration)

    def kept_files(self) -> list[KeptFile]:
        from guarded import copies

        return copies.kept_files(self._folder, self.path.name)

    @property
    def _folder(self) -> Path:
        return self.path.parent / "backups"

    def owner(self) -> Path | None:
        return self.path

    def prune_backups(self, taken: Path) -> None:
        from guarded import copies

        copies.prune(self._folder, self.path.name, taken)

    def restore(
        self,
        project: Project,
        file: Path,
        patience: Patience,
        on_progress: OnProgress,
        may_end: MayEnd | None = None,
    ) -> Path | None:
        from guarded.backends.sqlite.restore import restore

        return restore(project, file, self, patience, on_progress)

    def users(self) -> list[str]:
        from guarded.backends.sqlite.processes import openers

        return openers([self.path, *companions(self.path)])

    @contextmanager
    def watched(self, patience: Patience) -> Iterator[Callable[[], bool]]:
        with self.connected(patience) as connection:

            def version() -> Any:
                # Another one after each commit of others, https://www.sqlite.org/pragma.html.
                return connection and connection.execute("PRAGMA data_version").fetchone()

            before = version()
            yield lambda: version() != before

    def examine(self, project: Project, patience: Patience) -> Iterator[Finding]:
        from guarded.backends.sqlite.examine import examine

        return examine(self, project, patience)

    # Where there can be a database.

    def check(self) -> None:
        """Raise UnusableDatabase when no database can be here."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise UnusableDatabase(
                self.path,
                f"needs SQLite {oldest} or newer, and this Python has {sqlite3.sqlite_version}",
                "use a newer Python",
            )
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            if not self.path.parent.is_dir():
                raise UnusableDatabase(
                    self.path,
                    f"can't be there: the folder '{self.path.parent}' does not exist",
                    "create the folder, or name another file",
                ) from None
        except OSError as exc:
            raise UnusableDatabase(
                self.path, f"can't be reached: {exc.strerror}", "name another file"
            ) from exc
        else:
            if stat.S_ISDIR(mode):
                raise UnusableDatabase(self.path, "is a directory", "name the file in it")
            if not stat.S_ISREG(mode):
                raise UnusableDatabase(self.path, "is no regular file", "name another file")

    def _open_for_reading(self) -> sqlite3.Connection:
        try:
            return self._probe("mode=ro")
        except sqlite3.OperationalError as refused:
            if is_locked(refused):
                raise
            for mode in self._other_modes():
                try:
                    return self._probe(mode)
                except sqlite3.OperationalError:
                    continue
            raise self._unreadable(refused) from refused

    def _other_modes(self) -> list[str]:
        """A hot journal, or a write-ahead log without its index, has to be recovered by a
        connection that may write.  Without permission to write, a WAL database whose log is empty
        can be read as a file that nobody changes."""
        if os.access(self.path, os.W_OK):
            return ["mode=rw"]
        log = self.path.with_name(self.path.name + "-wal")
        is_logged = log.exists() and log.stat().st_size
        return ["mode=ro&immutable=1"] if self._is_wal() and not is_logged else []

    def _probe(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?{mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError as exc:
            connection.close()
            raise self._unreadable(exc) from exc
        return connection

    def _is_wal(self) -> bool:
        # Closing a file drops all locks that this process has on it, those of SQLite included
        # (https://www.sqlite.org/howtocorrupt.html, section 2.2): so only where it may not write.
        try:
            with self.path.open("rb") as file:
                return file.read(20)[18:] == WAL_HEADER
        except OSError:
            return False

    def _unreadable(self, exc: sqlite3.Error) -> UnusableDatabase:
        if "not a database" in str(exc):
            why, remedy = "is not an SQLite database", "name another file; this one was not touched"
        elif "malformed" in str(exc):
            why, remedy = f"is damaged: {exc}", "restore a backup"
        elif not os.access(self.path, os.R_OK):
            why, remedy = "may not be read by this user", "check its owner and mode"
        else:
            why = f"can't be read: {exc}"
            remedy = "check the owner and mode of the file, its folder and its -wal and -shm files"
        return UnusableDatabase(self.path, why, remedy, is_damage="malformed" in str(exc))


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def locate(location: str, register: Callable[[Any], None] | None = None) -> SqliteFile:
    """The SQLite file that a URL (``sqlite:///relative``, ``sqlite:////absolute``) or path names.

    Of a symbolic link, the file that it points at: what lies beside that belongs to it.  Raises
    UnusableDatabase for any other scheme and for a database in memory, which would be gone with the
    process.
    """
    if any(not character.isprintable() for character in location):
        raise UnusableDatabase(
            location.encode("unicode_escape").decode(),
            "has a character that can't be printed",
            "an .env file with Windows line ends leaves \\r at the end of each value",
        )
    scheme = SCHEME.match(location)
    if scheme is not None and not Path(location).exists():
        if scheme[1].lower() != "sqlite" or not location[scheme.end() :].startswith("//"):
            raise UnusableDatabase(
                f"{scheme[1]}:{'//' * ('://' in location)}…",  # the rest may hold a password
                "names a kind of database that is not supported",
                "give a path, or sqlite:///relative/path or sqlite:////absolute/path",
            )
        rest = location[scheme.end() + 2 :]
        if not rest.startswith("/"):
            raise UnusableDatabase(
                location, "names a host", "SQLite has none: write sqlite:///relative/path"
            )
        if mark := next((mark for mark in "?#" if mark in rest), None):
            raise UnusableDatabase(
                location,
                f"has something behind a '{mark}' that is not understood",
                "leave that out; in a file's name write %3F for ? and %23 for #",
            )
        location = unquote(rest[1:])
    if location in ("", ":memory:"):
        raise UnusableDatabase(
            location or "sqlite://", "names no file", "give the path of the database file"
        )
    path = Path(location).expanduser()
    return SqliteFile(Path(os.path.realpath(path)) if path.is_symlink() else path, register)
