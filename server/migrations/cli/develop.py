"""Commands for whoever edits the models: check, new, verify, schema."""

from __future__ import annotations

import sqlite3
import sys

import click

from server.db.connection import UnusableDatabase
from server.migrations.cli import report
from server.migrations.cli.console import Session, command


@command
@click.option("--strict", is_flag=True, help="What nobody declared counts, too.")
def check(session: Session, strict: bool) -> int:
    """Compare models, files, list, history and live schema; exit 1 when they disagree.

    Extras (tables, nullable columns and indexes that no model declares) are listed, and count only
    with --strict.  Takes no lock.

    Example: migrate.py check --strict
    """
    from server.migrations.engine.develop.check import check
    from server.migrations.engine.drift import EXTRA

    found = check(session.open())
    session.show(
        report.difference_lines(found) or ["no difference"],
        differences=[
            {
                "severity": d.severity,
                "table": d.table,
                "kind": d.kind,
                "subject": d.subject,
                "sentence": d.sentence,
            }
            for d in found
        ],
    )
    return int(any(strict or difference.severity != EXTRA for difference in found))


@command
@click.argument("name")
@click.option("--from-models", is_flag=True, help="Fill it in from the models.")
def new(session: Session, name: str, from_models: bool) -> None:
    """Write a migration file and add its name to the list in migrate.py.

    With --from-models, it makes what the models declare of what the listed migrations make.

    Example: migrate.py new add_meeting_color --from-models
    """
    from server.migrations.engine.develop import authoring, autowrite

    session.open()
    text = None
    if from_models:
        ask = _ask if sys.stdin.isatty() else lambda question: None
        text = authoring.from_models(session.project, name, session.file_at, ask)
        if text is None:
            session.show(["nothing to write: the migrations make what the models declare"])
            return
    path = authoring.create(session.project, name, text)
    lines = [f"wrote    {path}", f"listed   {name} in {session.project.listing}"]
    undecided = (text or "").count(autowrite.DECIDE)
    if undecided:
        lines.append(f"decide   {undecided} of its lines, which begin with {autowrite.DECIDE}")
    lines.append("next     read it, then migrate.py verify")
    session.show(lines, path=str(path), name=name, undecided=undecided)


def _ask(question: str) -> bool:
    return click.confirm(f"{question}?", err=True)


@command
def verify(session: Session) -> int:
    """Run every listed migration on scratch databases with rows: up, up again, down, up again.

    Reads its source, too.  Exit 1 when one breaks a promise.  Opens no database of yours.

    Example: migrate.py verify
    """
    from server.migrations.engine.develop.verify import verify

    session.open()
    verdicts = verify(session.project, session.file_at)
    session.show(
        report.verdict_lines(verdicts),
        verdicts=[
            {
                "name": verdict.name,
                "holds": verdict.holds,
                "duration_ms": verdict.duration_ms,
                "findings": [
                    {"severity": f.severity, "sentence": f.sentence} for f in verdict.findings
                ],
            }
            for verdict in verdicts
        ],
    )
    return int(not all(verdict.holds for verdict in verdicts))


@command
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "sql", "json"]),
    default="text",
    show_default=True,
)
def schema(session: Session, form: str) -> None:
    """Show the live schema, as text or in a format that other tools draw.

    Example: migrate.py schema --format mermaid
    """
    from server.migrations.engine import shape
    from server.migrations.engine.develop import picture

    def look(connection: sqlite3.Connection | None) -> tuple[list[str], dict[str, object]]:
        if connection is None:
            raise UnusableDatabase(runner.file.path, "is not there yet", "migrate first")
        if session.json:
            return [], {"tables": picture.as_values(shape.live_schema(connection.execute))}
        return [picture.draw(connection.execute, form)], {}

    runner = session.open()
    session.json |= form == "json"
    lines, document = runner.read(look)
    session.show(lines, **document)
