"""Statements that a migration may not run, each with the reason and the remedy.

A run is one transaction on one file, and it can be undone as a whole.
"""

from __future__ import annotations

from guarded.backends.sqlite.text import fold
from guarded.errors import Refused
from guarded.history import TABLE
from guarded.steps import Target

# Pragmas that have no effect inside of a transaction, or that would reach around the guards.
PRAGMAS = {
    "foreign_keys": "is ignored inside of a transaction; a run has foreign keys off, and checks "
    "them itself before it commits",
    "journal_mode": "can't change inside of a transaction; set it once by hand, while nobody uses "
    "the database",
    "page_size": "takes effect by VACUUM only, which can't run inside of a transaction; do both by "
    "hand, while nobody uses the database",
    "auto_vacuum": "takes effect by VACUUM only, which can't run inside of a transaction; do both "
    "by hand, while nobody uses the database",
    "encoding": "can't change once there is a table",
    "synchronous": "can't change inside of a transaction",
    "temp_store": "would drop temporary tables; leave it out",
    "writable_schema": "lets statements reach around every guard; use a verb",
    "legacy_alter_table": "would leave names behind in views and triggers; use a verb",
    "ignore_check_constraints": "would let rows in that the schema forbids; leave it out",
    "defer_foreign_keys": "has no effect: a run has foreign keys off and checks them before it "
    "commits",
    "locking_mode": "is of one connection; leave it out",
    "schema_version": "is SQLite's own; leave it out",
}


def taken(migration: str, wanted: Target, present: Target) -> Refused:
    return Refused(
        f"'{migration}' can't create {wanted.described}: the name belongs to {present.described}; "
        "rename or drop that first"
    )


def transaction(migration: str, statement: str | None) -> Refused:
    return Refused(
        f"'{migration}' may not {statement} the transaction: a run is one transaction, so that it "
        "can be undone as a whole; leave that out (executescript commits, too)"
    )


def outside_of_transaction(migration: str) -> Refused:
    return Refused(
        f"the transaction ended before '{migration}' did, as it does on a full disk; this "
        "statement would not be undone with the rest"
    )


def attach(migration: str) -> Refused:
    return Refused(
        f"'{migration}' may not attach another file; it would not be undone with the rest, and is "
        "in no backup"
    )


def part(migration: str, table: str, owner: str) -> Refused:
    return Refused(
        f"'{migration}' may not change '{table}', which is a part of the virtual table '{owner}'; "
        "change that one"
    )


def internal(migration: str, table: str) -> Refused:
    return Refused(f"'{migration}' may not change '{table}', which is SQLite's own")


def vacuum(migration: str) -> Refused:
    return Refused(
        f"'{migration}' may not VACUUM, which can't run inside of a transaction; do it by hand, "
        "while nobody uses the database"
    )


def pragma(migration: str, name: str) -> Refused:
    return Refused(f"'{migration}' sets PRAGMA {name}, which {PRAGMAS[fold(name)]}")


def history(migration: str) -> Refused:
    return Refused(
        f"'{migration}' may not change {TABLE}, which says what was applied; use fake or down"
    )
