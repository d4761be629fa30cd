"""How the command line shows what the engine gives it: as lines for people, or as one document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from server.migrations.engine.plan import Standing

if TYPE_CHECKING:
    from server.migrations.engine.develop.verify import Verdict
    from server.migrations.engine.drift import Difference
    from server.migrations.engine.execution import Outcome
    from server.migrations.engine.findings import Finding
    from server.migrations.engine.history import Entry

FUTURE = {"up": "apply", "down": "undo", "fake": "record"}
REHEARSED = {"up": "would do"}
PAST = {"up": "applied", "down": "undone", "fake": "recorded"}
INDENT = " " * 11


def outcome_lines(outcomes: Iterable[Outcome], words: Mapping[str, str], sql: bool) -> list[str]:
    """A line for each migration and an indented one for each of its steps."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{words[outcome.direction]:<8} {outcome.name}")
        for step in outcome.steps:
            separator = ": " if step.action == "skip" else " "
            note = f"{separator}{step.note}" if step.note else ""
            lines.append(f"{INDENT}{step.action:<7} {step.subject}{note}")
            if sql:
                lines += [
                    f"{INDENT}        {part}" for text in step.statements for part in _text(text)
                ]
    return lines


def status_lines(standings: Iterable[Standing], excluded: Mapping[str, str]) -> list[str]:
    details = {
        "applied": "{at}",
        "changed": "applied {at}, edited since",
        "missing": "the file is missing{since}",
        "unlisted": "applied {at}, and this code does not list it",
    }
    lines = []
    for standing in standings:
        since = f", applied {standing.at}" if standing.at else ""
        detail = details.get(standing.state, "").format(at=standing.at, since=since)
        lines.append(f"{standing.state:<9} {standing.name:<36} {detail}".rstrip())
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
        lines.append(f"{finding.severity:<8} {finding.subject}: {finding.sentence}")
        if finding.remedy:
            lines.append(f"{INDENT}{finding.remedy}")
    return lines


def difference_lines(differences: Iterable[Difference]) -> list[str]:
    return [f"{difference.severity:<8} {difference.sentence}" for difference in differences]


def verdict_lines(verdicts: Iterable[Verdict]) -> list[str]:
    lines = []
    for verdict in verdicts:
        word = "holds" if verdict.holds else "broken"
        lines.append(f"{word:<8} {verdict.name} ({verdict.duration_ms} ms)")
        lines += [f"{INDENT}{f.severity:<7} {f.sentence}" for f in verdict.findings]
    return lines


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "direction": outcome.direction,
        "duration_ms": outcome.duration_ms,
        "steps": [
            {
                "action": step.action,
                "subject": step.subject,
                "note": step.note,
                "statements": list(step.statements),
            }
            for step in outcome.steps
        ],
    }


def entry_document(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "migration": entry.migration,
        "direction": entry.direction,
        "checksum": entry.checksum,
        "at": entry.at,
        "duration_ms": entry.duration_ms,
        "versions": entry.versions,
        "backup": entry.backup,
        "made": sorted(entry.made),
    }


def _text(statement: str) -> list[str]:
    lines = [line.rstrip() for line in statement.strip().splitlines() if line.strip()]
    return [*lines[:-1], f"{lines[-1]};"] if lines else []
