"""Compare the schema of the database with the code of this process.

The code is what this process was started with: files that change beside it do not count.  Reads
only: the files of the migrations, the list of their names and the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guarded import history, plan
from guarded.backends.interface import Patience
from guarded.errors import DatabaseLocked, ForeignHistory, InconsistentHistory, UnusableDatabase
from guarded.listing import names_in
from guarded.scripts import Script, scripts
from server.db.served import Served

MIGRATE = Path(__file__).parent / "migrations" / "migrate.py"
COMMAND = "cd server && python migrations/migrate.py"


@dataclass(frozen=True)
class Readiness:
    """``pending``: what has to be applied before the server can work.  ``contradiction``: why this
    code and this database don't go together.  ``unreadable``: why the database can't be read now.
    ``newest``: the migration that was applied last."""

    pending: tuple[str, ...] = ()
    contradiction: str | None = None
    unreadable: str | None = None
    newest: str | None = None

    @property
    def is_current(self) -> bool:
        return not (self.pending or self.contradiction or self.unreadable)

    @property
    def state(self) -> str:
        """One word: current, pending, inconsistent or unreadable."""
        if self.contradiction:
            return "inconsistent"
        return "pending" if self.pending else "unreadable" if self.unreadable else "current"

    @property
    def message(self) -> str:
        """Why it is not current, and what to do."""
        if self.pending:
            return f"the database is behind: {', '.join(self.pending)} pending; run: {COMMAND}"
        return self.contradiction or self.unreadable or "the database is current"


def listed_now() -> tuple[Script, ...]:
    """The migrations of the code as it is on the disk now, with their checksums."""
    return scripts(MIGRATE.parent, names_in(MIGRATE))


def look(served: Served, listed: tuple[Script, ...]) -> Readiness:
    """A database that is not there is one without any migration; it is not created."""
    names = tuple(script.name for script in listed)
    try:
        with served.reading(Patience(wait=5)) as inspector:
            if inspector is None:
                return Readiness(pending=names)
            applied = history.applied(history.read(inspector))
    except UnusableDatabase as exc:
        return Readiness(unreadable=str(exc))
    except (DatabaseLocked, ForeignHistory, served.errors) as exc:
        return Readiness(unreadable=f"'{served.backend}' can't be read now: {exc}")
    newest = next(reversed(list(applied)), None)
    try:
        plan.check(listed, applied)
    except InconsistentHistory as exc:
        return Readiness(contradiction=str(exc), newest=newest)
    pending = tuple(script.name for script in plan.plan_up(listed, applied))
    return Readiness(pending=pending, newest=newest)
