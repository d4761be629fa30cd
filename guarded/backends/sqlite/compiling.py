"""Statements compiled and not run: SQLite then tells what they need, and what is broken."""

from __future__ import annotations

from guarded.backends.interface import Execute
from guarded.backends.sqlite.inspect import SchemaObject, columns, compile_only, objects
from guarded.backends.sqlite.text import Token, quote, tokens


def broken(execute: Execute) -> dict[SchemaObject, str]:
    """Views and triggers that SQLite can't compile, with its reason.  Compiles, runs nothing."""
    found = {}
    for object_ in objects(execute, "view", "trigger"):
        if object_.kind == "view":
            statement = f"SELECT * FROM {quote(object_.name)}"
        else:
            statement = _firing(execute, object_)
        try:
            compile_only(execute, statement)
        except Exception as exc:  # whatever the driver raises: sqlite3's errors or Peewee's
            found[object_] = str(exc)
    return found


def _firing(execute: Execute, trigger: SchemaObject) -> str:
    """A statement that would fire the trigger."""
    target = quote(trigger.table)
    event, update_of = trigger_event(trigger)
    if event == "DELETE":
        return f"DELETE FROM {target} WHERE 1"
    if event == "INSERT":
        return f"INSERT INTO {target} DEFAULT VALUES"
    names = update_of or [c.name for c in columns(execute, trigger.table) if not c.generated]
    return f"UPDATE {target} SET {quote(names[0])} = NULL"


def trigger_event(trigger: SchemaObject) -> tuple[str, list[str]]:
    """DELETE, INSERT or UPDATE, and the columns after UPDATE OF."""
    words = tokens(trigger.sql or "")
    at = next(
        i
        for i, word in enumerate(words)
        if i > 2 and word.keyword in ("DELETE", "INSERT", "UPDATE")
    )
    names: list[str] = []
    rest: list[Token] = words[at + 1 :]
    if rest and rest[0].keyword == "OF":
        for token in rest[1:]:
            if token.keyword == "ON":
                break
            if token.name is not None:
                names.append(token.name)
    return words[at].keyword, names
