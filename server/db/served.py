"""The database that a server serves, whichever kind it is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from guarded.backends.interface import Backend, Inspector, Patience
from guarded.errors import UnusableDatabase
from server.db.troubles import Trouble


class AlreadyServed(Exception):
    """Another process serves this database."""

    def __init__(self, where: object) -> None:
        super().__init__(
            f"another process serves '{where}' already; guests live in the memory of one process, "
            "so start one worker, and stop the other server first"
        )


class Opened(Protocol):
    """A database that is open for work."""

    @property
    def database(self) -> Any:
        """Peewee's."""

    def connected(self) -> AbstractContextManager[Any]:
        """Yield the database with a connection for this thread.  Raises Unusable."""

    def writing(self) -> AbstractContextManager[Any]:
        """The same with one transaction that writes."""

    def trouble(self) -> Trouble | None:
        """The reason why it can't be used now."""

    def suspect(self) -> None:
        """Make the next ``trouble`` look at everything."""

    def leave(self) -> None:
        """Stop using a database that is no longer in its place."""

    def close(self) -> None: ...


class Served(Protocol):
    """The database that a server is for, which may not be there yet."""

    @property
    def backend(self) -> Backend: ...

    @property
    def version(self) -> tuple[str, str]:
        """The kind of database, as ``sqlite``, and its version."""

    @property
    def record(self) -> Path:
        """The file for used nonces."""

    @property
    def errors(self) -> type[Exception]:
        """The errors that its driver raises."""

    def prepare(self) -> str | None:
        """Make the places that are needed; a reason where there can't be a database."""

    def only_process(self) -> AbstractContextManager[None]:
        """Let no other process serve it in the block.  Raises AlreadyServed."""

    def reading(self, patience: Patience) -> AbstractContextManager[Inspector | None]:
        """For a look at the schema; None while there is no database.  Raises UnusableDatabase."""

    def open(self, *, timeout: float) -> Opened:
        """``timeout``: seconds to wait for a lock.  Raises Unusable."""

    def missing(self) -> Trouble | None:
        """The trouble if it is not there, for one that was there before."""

    def damage(self) -> Trouble | None:
        """The reason why it can't be read."""

    def space(self) -> int | None:
        """Free bytes beside it, where that can be known."""


def locate(location: str) -> Served:
    """The database of a URL or path.  Raises UnusableDatabase."""
    if location.partition(":")[0].lower().startswith("postgres"):
        try:
            from server.db.remote import ServedDatabase
        except ImportError as exc:
            why = f"needs the driver psycopg, which can't be loaded: {exc}"
            remedy = "pip install '.[server,postgresql]'"
            raise UnusableDatabase("postgresql:…", why, remedy) from exc

        return ServedDatabase(location)
    from server.db.opened import ServedFile

    return ServedFile(location)
