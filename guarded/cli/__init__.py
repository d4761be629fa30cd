"""The command line of a project; ``guarded.cli.commands.run(PROJECT)`` runs it."""

import sys

try:
    import click  # noqa: F401
except ModuleNotFoundError:
    sys.stderr.write("error: this Python has no click; install it, or use the one of the project\n")
    sys.exit(2)
