"""The command line without a project: ``python -m guarded init`` starts one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from guarded.cli.session import COULD_NOT
from guarded.errors import MigrationError


class Start(click.Group):
    """Says where a project has its commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from guarded.cli.commands import cli as project

        if args[0] in project.commands:
            raise click.UsageError(f"a project's migrate.py has the command '{args[0]}'; run that")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Start,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Guard the migrations of a Peewee project.

    A project has a folder with a migrate.py, which has all other commands.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@click.argument("folder", default="migrations")
def init(folder: str) -> None:
    """Write FOLDER with a migrate.py to fill in; FOLDER is `migrations` if not given.

    Run it where the application's packages are.  Never overwrites.

    Example: python -m guarded init
    """
    from guarded.author.folder import create

    if not folder.strip():
        raise click.UsageError("FOLDER is empty")
    path, command = create(Path(folder))
    click.echo(f"wrote    {path}")
    click.echo(f"next     list your models in it, then {command} new NAME --from-models")


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 2 could not or wrong usage."""
    try:
        cli.main(prog_name="python -m guarded", standalone_mode=False)
    except MigrationError as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(COULD_NOT)
    except click.ClickException as exc:
        click.echo(f"error: {exc.format_message()} (see --help)", err=True)
        sys.exit(COULD_NOT)
    sys.exit(0)
