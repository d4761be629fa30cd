"""Values of the engine as lines for people, and as parts of a JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from guarded.plan import Standing, State
from guarded.steps import Action, Direction, Outcome, Step

if TYPE_CHECKING:
    from guarded.author.verify import Verdict
    from guarded.diff import Difference
    from guarded.findings import Finding
    from guarded.history import Entry

FUTURE = {Direction.UP: "apply", Direction.DOWN: "undo", Direction.FAKE: "record"}
REHEARSED = {Direction.UP: "would do"}
PAST = {Direction.UP: "applied", Direction.DOWN: "undone", Direction.FAKE: "recorded"}
INDENT = " " * 11
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
        lines.append(f"{words[outcome.direction]:<8} {outcome.name}")
        for step in outcome.steps:
            lines.append(f"{INDENT}{step_line(step)}")
            if sql:
                lines += [
                    f"{INDENT}        {part}" for text in step.statements for part in _text(text)
                ]
    return lines


def step_line(step: Step) -> str:
    separator = ": " if step.action is Action.SKIP else " "
    note = f"{separator}{step.note}" if step.note else ""
    return f"{step.action.value:<7} {step.target}{note}"


def status_lines(standings: Iterable[Standing], excluded: Mapping[str, str]) -> list[str]:
    lines = []
    for standing in standings:
        since = f", applied {standing.at}" if standing.at else ""
        detail = DETAILS.get(standing.state, "").format(at=standing.at, since=since)
        lines.append(f"{standing.state.value:<9} {standing.name:<36} {detail}".rstrip())
    lines += [f"{'excluded':<9} {name:<36} {reason}" for name, reason in excluded.items()]
    return lines


def history_lines(entries: Iterable[Entry]) -> list[str]:
    return [
        f"{entry.id:>4}  {entry.at}  {PAST[entry.direction]:<8}  {entry.migration:<36}  "
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


def _text(statement: str) -> list[str]:
    lines = [line.rstrip() for line in statement.strip().splitlines() if line.strip()]
    return [*lines[:-1], f"{lines[-1]};"] if lines else []
