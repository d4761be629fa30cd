"""A schema as one web page that needs no network: diagram, tables, migrations."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from html import escape
from pathlib import Path

from guarded.author import diagram, picture
from guarded.author.story import Chapter, Story, story
from guarded.author.style import STYLE
from guarded.errors import UnusableDatabase, UnusableFile
from guarded.plan import State
from guarded.run import Runner
from guarded.schema import Table
from guarded.steps import Action, Step

MARK = '<!DOCTYPE html>\n<html lang="en"><meta name="generator" content="guarded">'
HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
)
LEGEND = "PK primary key · FK foreign key · UK unique · ? may be NULL"
FEET = "bar: one · circle and bar: none or one · circle and foot: any number"


def write(runner: Runner, file: Path) -> None:
    """Write the page, whole or not at all; replaces an earlier page and no other file.

    Raises UnusableDatabase, UnusableFile and MissingProgram.
    """
    check(file)
    text = draw(runner)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent, text=True)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as out:
                out.write(text)
            partial.chmod(0o644)
            partial.replace(file)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()
    except OSError as exc:
        raise UnusableFile(file, f"can't be written: {exc.strerror}", "name another") from exc


def check(file: Path) -> None:
    """Raise UnusableFile unless the page may be written there."""
    if file.is_dir():
        raise UnusableFile(file, "is a folder", "name a file in it")
    if not file.parent.is_dir():
        raise UnusableFile(file, "can't be there: its folder does not exist", "create the folder")
    if file.exists() and not _is_page(file):
        raise UnusableFile(file, "is there, and is no page of this command", "name another")


def draw(runner: Runner) -> str:
    """Raises UnusableDatabase while there is no database, and MissingProgram."""
    told = story(runner)
    with runner.backend.reading(runner.patience) as inspector:
        if inspector is None:
            raise UnusableDatabase(str(runner.backend), "is not there yet", "migrate first")
        tables = list(inspector.schema().values())
        edges = picture.relations(inspector)
    anchors = {table.name: f"table-{number}" for number, table in enumerate(tables)}
    svg = diagram.draw(tables, edges, anchors) if tables else "<p>There is no table yet.</p>"
    title = f"{runner.project.name}: schema"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="facts">{_facts(runner, tables, told)}</p>',
        '<nav><a href="#diagram">Diagram</a> <a href="#tables">Tables</a> '
        '<a href="#migrations">Migrations</a></nav>',
        '<section id="diagram"><h2>Diagram</h2>',
        '<input type="checkbox" id="full"><label for="full">Full size</label>',
        f'<div class="canvas">{svg}</div>',
        f'<p class="legend">{LEGEND}<br>{FEET}</p></section>',
        '<section id="tables"><h2>Tables</h2>',
        *(_table(table, edges, anchors) for table in tables),
        '</section><section id="migrations"><h2>Migrations</h2>',
        *_migrations(told),
        "</section>",
    ]
    head = f"{HEAD}<title>{escape(title)}</title>\n<style>\n{STYLE}</style>"
    return "\n".join([MARK, head, *body, "</html>\n"])


def _is_page(file: Path) -> bool:
    try:
        with file.open("rb") as found:
            start = found.read(len(MARK))
    except OSError:
        return False
    return start in (MARK.encode(), b"")


def _facts(runner: Runner, tables: Sequence[Table], told: Story) -> str:
    applied = sum(c.standing.state is State.APPLIED for c in told.chapters)
    facts = (
        str(runner.backend),
        runner.backend.version,
        f"{len(tables)} tables",
        f"{applied} of {len(told.chapters)} migrations applied",
        f"drawn {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC",
    )
    return " · ".join(map(escape, facts))


def _table(table: Table, edges: Sequence[picture.Relation], anchors: Mapping[str, str]) -> str:
    rows = [
        f"<tr><td>{_marks(picture.keys_of(table, column))}</td><th>{escape(column.name)}</th>"
        f"<td>{escape(column.type)}</td><td>{escape(picture.properties(column))}"
        "</td></tr>"
        for column in table.columns
    ]
    notes = []
    for edge in edges:
        if edge.child == table.name:
            parent = _linked(edge.parent, anchors)
            own = escape(", ".join(edge.key.columns))
            other = escape(f"({', '.join(edge.key.parent_columns)}){picture.actions(edge.key)}")
            notes.append(f"<li>foreign key ({own}) to {parent} {other}</li>")
        if edge.parent == table.name and edge.child != table.name:
            notes.append(f"<li>referred to by {_linked(edge.child, anchors)}</li>")
    for index in picture.indexes_of(table):
        name = f"{index.name}: " if index.sql else ""  # of a constraint, nobody chose a name
        notes.append(f"<li>{escape(f'{name}{index}')}</li>")
    notes += [f"<li>check {escape(check.spelling)}</li>" for check in table.checks]
    notes += [f"<li>{escape(option.lower())}</li>" for option in sorted(table.options)]
    notes += [f"<li>not known here: {escape(table.unreadable)}</li>"] if table.unreadable else []
    return (
        f'<article id="{anchors[table.name]}"><h3>{escape(table.name)}</h3>'
        f'<div class="wide"><table>{"".join(rows)}</table></div>'
        f"<ul>{''.join(dict.fromkeys(notes))}</ul></article>"
    )


def _linked(table: str, anchors: Mapping[str, str]) -> str:
    name = escape(table)
    return f'<a href="#{anchors[table]}">{name}</a>' if table in anchors else f"{name}, not here"


def _marks(marks: Iterable[str]) -> str:
    return " ".join(f'<span class="badge">{mark}</span>' for mark in marks)


def _migrations(told: Story) -> list[str]:
    parts = ["<ol>", *map(_chapter, told.chapters), "</ol>"]
    if any(chapter.there for chapter in told.chapters):
        parts.append("<p>Grey steps found it done: this database had it before.</p>")
    if told.why is not None:
        parts.append(f"<p>The other steps are not known without rows: {escape(told.why)}</p>")
    return parts


def _chapter(chapter: Chapter) -> str:
    standing = chapter.standing
    at = f" <time>{escape(standing.at)} UTC</time>" if standing.at else ""
    took = "" if chapter.duration_ms is None else f", {chapter.duration_ms} ms"
    steps = [step for step in chapter.steps if step.action is not Action.SKIP]
    listed = "".join(_step(step, step in chapter.there) for step in steps)
    listed += "".join(
        f"<li>add {escape(f'{target.kind.value} {target}')}, to this database only</li>"
        for target in chapter.more
    )
    return (
        f"<li><h3>{escape(standing.name)}</h3>"
        f'<p><span class="badge {standing.state.value}">{standing.state.value}</span>{at}{took}'
        f"</p><p>{escape(chapter.summary)}</p><ul>{listed}</ul></li>"
    )


def _step(step: Step, is_there: bool) -> str:
    words = f"{step.action.value} {step.target.kind.value} {step.target} {step.note}".strip()
    there = ' class="there"' if is_there else ""
    if not step.statements:
        return f"<li{there}>{escape(words)}</li>"
    sql = escape(";\n".join(step.statements) + ";")
    return f"<li{there}><details><summary>{escape(words)}</summary><pre>{sql}</pre></details></li>"
