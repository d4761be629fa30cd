"""Values of the engine as lines for people, and as parts of a JSON document."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from guarded.plan import Standing, State
from guarded.steps import Action, Direction, Outcome, Step, Watcher

if TYPE_CHECKING:
    from guarded.author.verify import Verdict
    from guarded.cli.status_line import StatusLine
    from guarded.diff import Difference
    from guarded.findings import Finding
    from guarded.history import Entry

FUTURE = {Direction.UP: "apply", Direction.DOWN: "undo", Direction.FAKE: "record"}
REHEARSED = {Direction.UP: "would do"}
PRESENT = {Direction.UP: "applying", Direction.DOWN: "undoing"}
PAST = {Direction.UP: "applied", Direction.DOWN: "undone", Direction.FAKE: "recorded"}
INDENT = " " * 11
SQL_INDENT = INDENT + " " * 8
SLOW = 1.0  # seconds from which a step's time is told
# The colour of a line's first word; a terminal without colours loses nothing.
COLOURS = {
    word: colour
    for colour, words in (
        ("green", "applied applying committed holds ok restored"),
        ("yellow", "pending skip harmless warning note empty"),
        ("red", "changed missing unlisted broken problem breaking error rolled"),
    )
    for word in words.split()
}
# A quoted part, a comment, a parenthesis or a comma of SQL.
MARKS = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|[(),]""", re.DOTALL
)
DETAILS = {
    State.APPLIED: "{at}",
    State.CHANGED: "applied {at}, edited since",
    State.MISSING: "the file is missing{since}",
    State.UNLISTED: "applied {at}, and this code does not list it",
}


def outcome_lines(
    outcomes: Iterable[Outcome], words: Mapping[Direction, str], sql: bool
) -> list[str]:
    """Return a line for each migration, and an indented one for each of its steps."""
    lines = []
    for outcome in outcomes:
        lines.append(heading(words[outcome.direction], outcome.name))
        for step in outcome.steps:
            lines += step_lines(step, sql)
    return lines


def heading(word: str, name: str) -> str:
    return f"{word:<8} {name}"


def step_lines(step: Step, sql: bool, seconds: float = 0.0) -> list[str]:
    """Return the step as a line, with its time if it was long; then its SQL if that is wanted."""
    time = f", {seconds:.1f} s" if seconds >= SLOW else ""
    lines = [f"{INDENT}{step_line(step)}{time}"]
    if sql:
        lines += [f"{SQL_INDENT}{part}" for text in step.statements for part in sql_lines(text)]
    return lines


def step_line(step: Step) -> str:
    text = f"{step.action.value:<7} {step.target}"
    if step.note:
        is_count = step.note[0].isdigit()
        text += ": " if step.action is Action.SKIP else ", " if is_count else " "
        text += step.note
    if step.rows and str(step.rows) not in step.note:
        text += f", {counted(step.rows, 'row')}"
    for each in step.passes:
        verb = "rewrites" if each.rewrites else "reads"
        is_told = str(step.target).partition(".")[0] == each.table
        of = "" if is_told else f" of {each.table}"
        text += f", {verb} {counted(each.rows, 'row')}{of} while {each.waits} wait"
    return text


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def columns() -> int:
    """The width of the terminal, 80 where there is none."""
    return shutil.get_terminal_size().columns


def shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def colour() -> bool | None:
    """Return whether to colour whatever the stream is; None: as the terminal can.

    By the conventions of https://no-color.org and https://force-color.org.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def echo(lines: Sequence[str], file: IO[str] | None = None) -> None:
    """Print the lines; on a terminal, fold long ones and give the first word its colour."""
    out = file or sys.stdout
    if out is None:  # closed
        return
    wanted, is_terminal = colour(), out.isatty()
    if is_terminal:
        lines = [part for line in lines for part in folded(line, columns())]
    if wanted if wanted is not None else is_terminal:
        lines = [_coloured(line) for line in lines]
    click.echo("\n".join(lines), file=out, color=wanted)


def folded(line: str, width: int) -> list[str]:
    """Return the line as lines that fit; a word that is longer, such as a path, stays whole."""
    if len(line) <= width or "\n" in line:
        return [line]
    indent = SQL_INDENT if line.startswith(SQL_INDENT) else INDENT
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=f"{indent}  ",
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _coloured(line: str) -> str:
    if line.startswith(SQL_INDENT):
        return click.style(line, dim=True)
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    colour = COLOURS.get(word.rstrip(":"))
    return line.replace(word, click.style(word, fg=colour), 1) if colour else line


def sql_lines(statement: str) -> list[str]:
    """Return a statement as lines: as it was written if that is more than one, else with each
    column of a table on a line of its own."""
    text = statement.strip()
    if "\n" not in text and re.match(r"CREATE\s+(TEMP\w*\s+)?TABLE\b", text, re.IGNORECASE):
        text = _spread(text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return [*lines[:-1], f"{lines[-1]};"] if lines else []


def _spread(sql: str) -> str:
    """Put each part of the outermost list on its own line."""
    depth, begin = 0, 0
    parts: list[str] = []
    for mark in MARKS.finditer(sql):
        if mark[0] == "(":
            depth += 1
            if depth == 1 and not parts:
                parts.append(sql[: mark.end()])
                begin = mark.end()
        elif mark[0] == ")":
            depth -= 1
            if depth == 0 and len(parts) >= 1 and begin:
                parts += [f"  {sql[begin : mark.start()].strip()}", sql[mark.start() :]]
                return "\n".join(parts)
        elif mark[0] == "," and depth == 1:
            parts.append(f"  {sql[begin : mark.end()].strip()}")
            begin = mark.end()
    return sql


class Live(Watcher):
    """Prints each migration when it begins, and each step when it ends.

    On a terminal, one line more says what runs now, and for how long.
    """

    def __init__(self, *, sql: bool) -> None:
        self.printed = False
        self.failed: OSError | None = None  # nobody reads any more; the run goes on
        self._sql = sql
        self._status: StatusLine | None = None
        self._has_verb = False  # the step that works has one of ours
        if sys.stderr is not None and sys.stderr.isatty():
            from guarded.cli.status_line import StatusLine

            self._status = StatusLine()
            self.follows = True

    def begins(self, name: str, direction: Direction) -> None:
        self._print([heading(PRESENT[direction], name)])

    def works(self, step: Step) -> None:
        if self._status is not None:
            self._has_verb = step.action is not Action.RUN
            self._status.show(step_line(step))

    def advances(self, sql: str, share: float) -> None:
        if self._status is not None:
            # A step such as a rebuild has several statements, of which each begins at 0.
            verb = re.match(r"[A-Z]+(?: [A-Z]+)*|", sql)[0]  # type: ignore[index]
            of = f"{verb} " if verb and self._has_verb else ""
            self._status.reach(f"{of}about {share:.0%}")

    def ended(self, step: Step, seconds: float) -> None:
        self._print(step_lines(step, self._sql, seconds))

    def starts_over(self, why: str) -> None:
        self._print([heading("again", f"rolled back to start over: {why}")])

    def close(self) -> None:
        """Wipe the line.  Raises the error that the output met."""
        if self._status is not None:
            self._status.close()
        if self.failed is not None:
            raise self.failed

    def _print(self, lines: list[str]) -> None:
        if self._status is not None:
            self._status.wipe()
        if self.failed is not None:
            return
        try:
            echo(lines)
            self.printed = True
        except OSError as exc:
            self.failed = exc


def status_lines(standings: Iterable[Standing], excluded: Mapping[str, str]) -> list[str]:
    lines, standings = [], list(standings)
    width = max((len(n) for n in [*excluded, *(s.name for s in standings)]), default=0)
    for standing in standings:
        since = f", applied {standing.at}" if standing.at else ""
        detail = DETAILS.get(standing.state, "").format(at=standing.at, since=since)
        lines.append(f"{standing.state.value:<9} {standing.name:<{width}}  {detail}".rstrip())
    lines += [f"{'excluded':<9} {name:<{width}}  {reason}" for name, reason in excluded.items()]
    return lines


def history_lines(entries: Sequence[Entry]) -> list[str]:
    width = max((len(entry.migration) for entry in entries), default=0)
    return [
        f"{entry.id:>4}  {entry.at}  {PAST[entry.direction]:<8}  {entry.migration:<{width}}  "
        f"{entry.duration_ms:>6} ms  {entry.checksum[:12]}  {entry.versions}"
        for entry in entries
    ]


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{finding.severity.value:<8} {finding.subject}: {finding.sentence}")
        if finding.remedy:
            lines.append(f"{INDENT}{finding.remedy}")
    return lines


def difference_lines(differences: Iterable[Difference]) -> list[str]:
    return [f"{difference.severity.value:<8} {difference.sentence}" for difference in differences]


def verdict_lines(verdicts: Iterable[Verdict]) -> list[str]:
    lines = []
    for verdict in verdicts:
        word = "broken" if verdict.is_broken else "holds" if verdict.holds else "empty"
        lines.append(f"{word:<8} {verdict.name} ({verdict.duration_ms} ms)")
        lines += [f"{INDENT}{f.severity.value:<7} {f.sentence}" for f in verdict.findings]
    return lines


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "direction": outcome.direction.value,
        "duration_ms": outcome.duration_ms,
        "steps": [
            {
                "action": step.action.value,
                "subject": str(step.target),
                "kind": step.target.kind.value,
                "note": step.note,
                "rows": step.rows,
                "statements": list(step.statements),
                "passes": [each._asdict() for each in step.passes],
            }
            for step in outcome.steps
        ],
    }


def standing_document(standing: Standing) -> dict[str, Any]:
    at = None if standing.at is None else utc(standing.at)
    return {"name": standing.name, "state": standing.state.value, "at": at}


def difference_document(difference: Difference) -> dict[str, Any]:
    return {
        "severity": difference.severity.value,
        "table": difference.table,
        "kind": difference.kind,
        "subject": difference.subject,
        "sentence": difference.sentence,
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "subject": finding.subject,
        "sentence": finding.sentence,
        "remedy": finding.remedy,
    }


def entry_document(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "migration": entry.migration,
        "direction": entry.direction.value,
        "checksum": entry.checksum,
        "at": utc(entry.at),
        "duration_ms": entry.duration_ms,
        "versions": entry.versions,
        "backup": entry.backup,
        "made": sorted(f"{target.kind.value} {target}" for target in entry.made.targets),
    }


def utc(at: str) -> str:
    """A time of the history, as RFC 3339 with its zone: ``2026-11-22T10:15:00Z``."""
    return f"{at.replace(' ', 'T')}Z"


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
