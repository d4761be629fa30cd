"""Why a database can't be used now, as its errors tell.

SQLite's errors are told apart by their words, PostgreSQL's by SQLSTATE:
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

from typing import NamedTuple


class Trouble(NamedTuple):
    """Why the database can't be used now; ``code`` is for programs."""

    code: str
    message: str


class Unusable(Exception):
    """The database can't be used; ``trouble`` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


BUSY = Trouble("busy", "another process is writing to the database; try again")
JUST_CHANGED = Trouble("not_ready", "the schema of the database has just changed; try again")
FULL = Trouble("disk_full", "the disk is full; nothing was written; make room")
# By the whole SQLSTATE, or by its class.
STATES = {
    "40P01": BUSY,
    "40001": BUSY,
    "55P03": BUSY,
    "57014": BUSY,
    "42P01": JUST_CHANGED,
    "42703": JUST_CHANGED,
    "53100": FULL,
    "53300": Trouble("busy", "the database server has no connection left; try again"),
    "25006": Trouble(
        "database_unreachable", "the database server takes no writes; waiting for its primary"
    ),
    "XX001": Trouble("database_damaged", "the database is damaged; restore a backup"),
    "XX002": Trouble("database_damaged", "an index of the database is damaged; REINDEX it"),
}
LOST = ("08", "57P")  # a connection that was lost, or ended by the server


def unreachable(why: str) -> Trouble:
    return Trouble("database_unreachable", f"the database server can't be reached: {why}")


def trouble_of(exc: BaseException) -> Trouble | None:
    """The trouble that an error of the database tells of; None for an error in our SQL.

    When a COMMIT fails, SQLite may have rolled back already, and Peewee's own ROLLBACK fails, too:
    the reason is then in the error before.
    """
    found = _by_state(exc) or _by_words(str(exc))
    if found is None and exc.__context__ is not None:
        return trouble_of(exc.__context__)
    return found


def _by_state(exc: BaseException) -> Trouble | None:
    # Peewee's error has psycopg's as its argument.
    for error in (exc, *exc.args):
        if not hasattr(error, "sqlstate"):
            continue
        state = error.sqlstate
        if state is None:  # the server did not get to say anything
            is_lost = type(error).__name__ in ("OperationalError", "InterfaceError")
            return unreachable(_line(error)) if is_lost else None
        if state in STATES:
            return STATES[state]
        if state.startswith(LOST):
            return unreachable(_line(error))
        if state == "42501":
            why = f"the database can't be used: {_line(error)}; grant it to the server's role"
            return Trouble("unreadable", why)
    return None


def _by_words(said: str) -> Trouble | None:
    if "locked" in said or "busy" in said:
        return BUSY
    if "full" in said:
        return FULL
    if "malformed" in said or "not a database" in said or "corrupt" in said:
        return Trouble("database_damaged", f"the database is damaged: {said}; restore a backup")
    if "no such table" in said or "no such column" in said or "has no column" in said:
        return JUST_CHANGED
    if "disk I/O error" in said:
        return Trouble("disk_error", "the disk under the database fails; see the system's log")
    if "readonly" in said or "unable to open" in said:
        return Trouble("unreadable", f"the database can't be used: {said}; check owner and mode")
    return None


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split())
