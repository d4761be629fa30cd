"""The command that somebody means who types another tool's word, or a slip."""

from __future__ import annotations

from collections.abc import Sequence

from guarded.errors import closest

# Words of Django, Alembic, Rails, Flyway, Knex, Prisma, Sequelize, dbmate and goose.
MEANT = {
    "help": "--help",
    "version": "--version",
    **dict.fromkeys(("migrate", "upgrade", "apply", "run", "deploy", "sync", "latest"), "up"),
    **dict.fromkeys(("downgrade", "rollback", "undo", "revert", "redo"), "down"),
    **dict.fromkeys(("make", "makemigrations", "generate", "revision"), "new --from-models"),
    **dict.fromkeys(("create", "add"), "new"),
    **dict.fromkeys(("current", "list", "show", "showmigrations", "heads", "info"), "status"),
    **dict.fromkeys(("preview", "sqlmigrate", "explain"), "plan"),
    **dict.fromkeys(("stamp", "baseline", "mark", "resolve"), "fake"),
    **dict.fromkeys(("diff", "drift", "compare"), "check"),
    **dict.fromkeys(("dump", "save"), "backup"),
    **dict.fromkeys(("validate", "test", "lint"), "verify"),
    **dict.fromkeys(("inspect", "erd", "describe"), "schema"),
    **dict.fromkeys(("log", "logs"), "history"),
    **dict.fromkeys(("prune", "clean"), "backups prune"),
    "health": "doctor",
}


def no_such_command(word: str, commands: Sequence[str], listed: Sequence[str] | None) -> str:
    """Say what may be meant.  ``listed`` has the migrations, None below a command."""
    wrong = f"No such command '{word}'"
    if listed and word in listed:
        return f"{wrong}; did you mean 'up {word}'?"
    foreign = {} if listed is None else MEANT
    near = closest(word, [*commands, *foreign])
    return wrong if near is None else f"{wrong}; did you mean '{foreign.get(near, near)}'?"
