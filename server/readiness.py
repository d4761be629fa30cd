"""Whether the schema of the database is the one that this code was written for.

Reads only: the files of the migrations, the list of their names and the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guarded import history, plan
from guarded.backends.interface import Backend, Patience
from guarded.errors import DatabaseLocked, InconsistentHistory, UnusableDatabase
from guarded.listing import names_in
from guarded.scripts import scripts

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
    def message(self) -> str:
        """Why it is not current, and what to do."""
        if self.pending:
            return f"the database is behind: {', '.join(self.pending)} pending; run: {COMMAND}"
        return self.contradiction or self.unreadable or "the database is current"


def look(database: Backend) -> Readiness:
    """A database that is not there is one without any migration; it is not created."""
    listed = scripts(MIGRATE.parent, names_in(MIGRATE))
    names = tuple(script.name for script in listed)
    try:
        with database.reading(Patience(wait=5)) as inspector:
            if inspector is None:
                return Readiness(pending=names)
            applied = history.applied(history.read(inspector))
    except UnusableDatabase as exc:
        return Readiness(unreadable=str(exc))
    except DatabaseLocked as exc:
        return Readiness(unreadable=f"'{database}' can't be read now: {exc}")
    newest = next(reversed(list(applied)), None)
    try:
        plan.check(listed, applied)
    except InconsistentHistory as exc:
        return Readiness(contradiction=str(exc), newest=newest)
    pending = tuple(script.name for script in plan.plan_up(listed, applied))
    return Readiness(pending=pending, newest=newest)
