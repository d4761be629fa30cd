"""Actions by which SQLite's authorizer tells what a statement would do."""

from __future__ import annotations

import sqlite3

from guarded.steps import Kind

WRITES = {
    sqlite3.SQLITE_INSERT: "insert",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete",
}
# https://www.sqlite.org/c3ref/c_alter_table.html: the first argument has the name of what is
# created or dropped, the second that of its table; ALTER TABLE has the table in the second.
CREATES = {
    sqlite3.SQLITE_CREATE_TABLE: Kind.TABLE,
    sqlite3.SQLITE_CREATE_INDEX: Kind.INDEX,
    sqlite3.SQLITE_CREATE_TRIGGER: Kind.TRIGGER,
    sqlite3.SQLITE_CREATE_VIEW: Kind.VIEW,
    sqlite3.SQLITE_CREATE_VTABLE: Kind.TABLE,
}
DROPS = {
    sqlite3.SQLITE_DROP_TABLE: Kind.TABLE,
    sqlite3.SQLITE_DROP_INDEX: Kind.INDEX,
    sqlite3.SQLITE_DROP_TRIGGER: Kind.TRIGGER,
    sqlite3.SQLITE_DROP_VIEW: Kind.VIEW,
    sqlite3.SQLITE_DROP_VTABLE: Kind.TABLE,
}
