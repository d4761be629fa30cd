"""One case run by the engine and judged: schema, rows, steps, the way back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import apsw

from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import MigrationError, MigrationFailed
from guarded.project import Models, Project
from guarded.run import Runner
from guarded.steps import Action
from server.migrations.migrate import migrator
from tests.simulator.draw import Draw
from tests.simulator.operations import HEAD, Due, Operation, operation
from tests.simulator.reference import Reference, Sight, differences, opened, sight, texts, work
from tests.simulator.schema import Schema, quote


@dataclass(frozen=True)
class Case:
    """All that happens; drawn from a seed, and made smaller by leaving parts out."""

    schema: Schema
    start: tuple[str, ...]
    migrations: tuple[tuple[Operation, ...], ...]
    work: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def drawn(seed: int) -> Case:
    draw = Draw(Random(seed))
    schema = draw.schema()
    start = tuple(draw.start(schema))
    settings = []
    if draw.chance(0.3):
        settings.append("PRAGMA journal_mode = WAL")
    if draw.chance(0.3):
        settings.insert(0, f"PRAGMA page_size = {draw.random.choice((512, 1024, 8192))}")
    if draw.chance(0.1):
        settings.insert(0, f"PRAGMA auto_vacuum = {draw.random.choice((1, 2))}")
    if draw.chance(0.05):
        settings.insert(0, "PRAGMA encoding = 'UTF-16'")
    migrations = []
    now, is_over = schema, False
    for _ in range(draw.random.choice((1, 1, 2))):
        operations = []
        for _ in range(draw.random.choice((1, 2, 3, 5))):
            made = operation(draw, now)
            if made is None or (not made.is_possible(now) and draw.chance(0.7)):
                continue
            operations.append(made)
            is_over = not made.is_possible(now)
            if is_over:
                break
            now = made.after(now)
        if operations:
            migrations.append(tuple(operations))
        if is_over:
            break
    writing = tuple(_writes(draw, now)) if now.tables else ()
    return Case(schema, start, tuple(migrations), writing, tuple(settings))


def _writes(draw: Draw, schema: Schema) -> Iterator[str]:
    """Writes that ask every rule of the schema."""
    for _ in range(6):
        table = draw.random.choice(schema.tables)
        plain = [c for c in table.columns if c.generated is None]
        column = draw.random.choice(plain)
        name, cell = quote(table.name), draw.value(column.type, strict=table.strict)
        one, value = quote(column.name), draw.random.choice((cell, "NULL", "'never'", "'a'"))
        some = [c for c in plain if draw.chance(0.8)] or plain
        values = ", ".join(draw.cell(schema, table, c) for c in some)
        yield draw.random.choice((
            f"INSERT INTO {name} ({', '.join(quote(c.name) for c in some)}) VALUES ({values})",
            f"INSERT INTO {name} ({one}) VALUES ({value})",
            f"UPDATE {name} SET {one} = {value}",
            f"DELETE FROM {name} WHERE {one} = {value}",
        ))  # fmt: skip


class Finding(Exception):
    """Something that must not be; ``oracle`` names the rule."""

    def __init__(self, oracle: str, words: str) -> None:
        super().__init__(f"{oracle}: {words}")
        self.oracle, self.words = oracle, words


@dataclass
class Counts:
    """How much was tried."""

    seeds: int = 0
    applied: int = 0
    refused: int = 0
    verbs: int = 0
    faults: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


def sources(case: Case) -> tuple[dict[str, str], list[Schema]]:
    """The migrations as files, and the schema after each."""
    schema, files, after = case.schema, {}, []
    for number, operations in enumerate(case.migrations):
        ups: list[tuple[bool, str]] = []
        downs: list[str] = []
        for one in operations:
            if not one.fits(schema):
                continue
            for place, line in enumerate(one.up(schema)):
                ups.append((one.joined and place == 0, line))
            if not one.is_possible(schema):
                break
            then = one.after(schema)
            downs[:0] = one.down(schema, then)
            schema = then
        body = "\n\n\ndef up(migrator, db):\n" + _lines(ups)
        body += "\n\n\ndef down(migrator, db):\n" + _lines([(False, line) for line in downs])
        files[f"change_{number}"] = f"{HEAD}{body}\n"
        after.append(schema)
    return files, after


def _lines(calls: Sequence[tuple[bool, str]]) -> str:
    groups: list[list[str]] = []
    for joined, line in calls:
        if joined and groups and not groups[-1][0].startswith("!") and not line.startswith("!"):
            groups[-1].append(line)
        else:
            groups.append([line])
    lines = [
        g[0][1:] if g[0].startswith("!") else f"migrator.migrate({', '.join(g)})" for g in groups
    ]
    return "\n".join(f"    {line}" for line in lines or ["pass"])


class Trial:
    """A case in a folder of its own."""

    def __init__(self, case: Case, folder: Path, counts: Counts) -> None:
        self.case, self.folder, self.counts = case, folder, counts
        self.path = folder / "data" / "base.sqlite"
        self.path.parent.mkdir()
        self.why = ""
        self.files, self.schemas = sources(case)
        (folder / "migrations").mkdir()
        for name, source in self.files.items():
            (folder / "migrations" / f"{name}.py").write_text(source)

    def make(self) -> None:
        with closing(apsw.Connection(str(self.path))) as connection:
            for setting in self.case.settings:
                connection.execute(setting).fetchall()
            connection.execute("PRAGMA foreign_keys = ON")
            for sql in self.case.start:
                try:
                    connection.execute(sql)
                except apsw.ConstraintError:
                    if not sql.startswith(("INSERT", "DELETE")):
                        raise Unusable(sql) from None
                except apsw.SQLError as exc:
                    raise Unusable(f"{exc}: {sql}") from exc

    def runner(self, listed: Sequence[str] | None = None, **options: Any) -> Runner:
        names = list(self.files) if listed is None else listed
        project = Project(
            name="simulated", version="1", directory=self.folder / "migrations", listed=names,
            models=lambda: Models(()), migrator=migrator, location=lambda: str(self.path),
        )  # fmt: skip
        return Runner(project, SqliteFile(self.path), Patience(0), **options)

    # The judgement.

    def run(self) -> None:
        """Raises Finding."""
        self.make()
        before = opened(self.path)
        was = sight(before)
        if was["integrity"] != ("ok",):
            raise Unusable("the start is damaged")
        before_texts = texts(before)
        wanted, due = self.expected(before)
        runner = self.runner()
        foreseen, plan_failed = _outcome(runner.forecast)
        done, failed = _outcome(runner.up)
        _refuse_crash("up", failed)
        _refuse_crash("plan", plan_failed)
        after = opened(self.path)
        now = sight(after)
        if failed is not None:
            self.judge_refusal(failed, plan_failed, due, was, now, before_texts, texts(after))
            return
        if due is Due.REFUSES:
            raise Finding("must refuse", f"up did what can't be done: {self.why}")
        if plan_failed is not None:
            raise Finding("plan is up", f"plan refused what up did: {plan_failed}")
        self.counts.applied += 1
        assert wanted is not None and done is not None
        _differ("rows and objects", sight(wanted.connection), now)
        self.judge_steps(foreseen, done)
        self.judge_texts(before_texts, texts(after))
        self.judge_history(after, [(name, "up") for name in self.files])
        if done.backup is not None:
            saved = opened(done.backup)
            _differ("the backup", was, sight(saved))
            if texts(saved) != before_texts:
                raise Finding("the backup", "its texts are others")
        self.judge_again(runner, now)
        self.judge_work(wanted, after)
        self.judge_down(runner, was, now)

    def expected(self, before: apsw.Connection) -> tuple[Reference | None, Due]:
        rows, due = Reference(self.case.schema, _copied(before)), Due.DOES
        for operations in self.case.migrations:
            for one in operations:
                if not one.fits(rows.schema):
                    continue
                self.counts.verbs += 1
                own = one.due(rows.schema, rows)
                if own is Due.REFUSES:
                    self.why = str(one)
                    return None, own
                if own is not Due.DOES:
                    due = Due.MAY
                try:
                    one.change(rows)
                except apsw.Error as exc:
                    self.why = f"{one}: {exc}"
                    return None, Due.REFUSES
        if rows.connection.execute("PRAGMA foreign_key_check").fetchall():
            due = Due.MAY
        return rows, due

    def judge_refusal(
        self, failed: BaseException, plan_failed: BaseException | None, due: Due, was: Sight, now: Sight,
        before: Any, after: Any,
    ) -> None:  # fmt: skip
        self.counts.refused += 1
        words = str(failed)
        _differ("refused is unchanged", was, now)
        if before != after:
            raise Finding("refused is unchanged", "texts are others")
        if any((self.path.parent / "backups").glob("*")):
            raise Finding("refused is unchanged", "a backup or kept file was left")
        if due is Due.DOES:
            raise Finding("must do", words)
        kind = re.sub(r"'[^']*'|\S+\.\S+|\d+", "…", words)[:70]
        self.counts.refusals[kind] = self.counts.refusals.get(kind, 0) + 1

    def judge_steps(self, foreseen: Any, done: Any) -> None:
        if foreseen.unforeseen:
            return
        for plan, outcome in zip(foreseen.outcomes, done.outcomes):
            planned, made = _steps(plan), _steps(outcome)
            if planned != made:
                pairs = itertools.zip_longest(planned, made)
                first = next(pair for pair in pairs if pair[0] != pair[1])
                raise Finding("plan is up", f"planned {first[0]}, done {first[1]}")

    def judge_texts(self, before: Any, after: Any) -> None:
        """What did not change has its text byte by byte."""
        old, new = self.case.schema, self.schemas[-1]
        olds, news = _rendered(old), _rendered(new)
        for key, sql in olds.items():
            if news.get(key) == sql and before.get(key) != after.get(key):
                if self.touches(key[1], old):
                    continue
                raise Finding(
                    "texts stay", f"{key}: {after.get(key)!r}, before {before.get(key)!r}"
                )
        for table in old.tables:
            if not new.has(table.number):
                continue
            then = new.table(table.number)
            text, old_text = after[("table", then.name)], before[("table", table.name)]
            for column in table.columns:
                if (
                    column.comment
                    and column.comment in old_text
                    and then.has(column.number)
                    and column.comment not in text
                ):
                    raise Finding("comments stay", f"{column.comment!r} is not in {text!r}")

    def touches(self, name: str, schema: Schema) -> bool:
        """Some operation is about the table of this name."""
        numbers = {o.table for ops in self.case.migrations for o in ops}
        return any(schema.names.get(n) == name for n in numbers)

    def judge_history(self, connection: apsw.Connection, wanted: list[tuple[str, str]]) -> None:
        rows = connection.execute(
            "SELECT migration, direction FROM schema_history ORDER BY id"
        ).fetchall()
        if rows != wanted:
            raise Finding("history", f"{rows}, wanted {wanted}")

    def judge_again(self, runner: Runner, now: Sight) -> None:
        """Twice is once, where no name is used for two things."""
        kinds = {type(o).__name__ for o in self.case.migrations[-1]}
        # What a later operation of the same migration undoes is done again.
        if kinds & {"RenameColumn", "RenameTable", "DropColumn", "DropTable", "Statement", "DropNotNull",
                    "SetDefault", "SetType", "CreateObject", "Fill", "DropConstraint", "DropIndex", "SetNotNull", "DropKey"} and len(self.case.migrations[-1]) > 1:  # fmt: skip
            return
        if kinds & {"CreateObject", "Statement"}:
            return
        name = list(self.files)[-1]
        done, failed = _outcome(lambda: runner.again(name))
        if failed is not None:
            raise Finding("twice is once", str(failed))
        acts = {s.action for o in done.outcomes for s in o.steps} - {Action.SKIP}
        if acts and kinds != {"Fill"}:
            raise Finding("twice is once", f"did {sorted(a.value for a in acts)}")
        _differ("twice is once", now, sight(opened(self.path)))

    def judge_work(self, wanted: Reference, after: apsw.Connection) -> None:
        """Every rule and trigger gives what it has to."""
        mine, theirs = work(wanted.connection, self.case.work), work(after, self.case.work)
        if mine != theirs:
            pair = next(p for p in zip(mine, theirs) if p[0] != p[1])
            raise Finding("the rules hold", f"{pair[1]}, wanted {pair[0]}")
        _differ("the rules hold", sight(wanted.connection), sight(after))

    def judge_down(self, runner: Runner, was: Sight, now: Sight) -> None:
        schema = self.case.schema
        lost: set[str] = set()
        for operations in self.case.migrations:
            for one in operations:
                if one.fits(schema):
                    lost |= {self.at_start(part, schema) for part in one.lost(schema)}
                    schema = one.after(schema)
        first = next(iter(self.files))
        _, failed = _outcome(lambda: runner.down(first))
        _refuse_crash("down", failed)
        back = sight(opened(self.path))
        if failed is not None:
            _differ("refused is unchanged", now, back)
            return
        ignored = {p for p in {*was, *back} if self.is_lost(p, lost)}
        _differ("down brings back", _freed(was, lost), _freed(back, lost), ignored)

    def at_start(self, part: str, schema: Schema) -> str:
        """The part of the sight under the name that its table had at the start."""
        kind, of, name = part.partition(" of ")
        start = self.case.schema
        for table in schema.tables:
            if of and table.name == name and start.has(table.number):
                return f"{kind} of {start.table(table.number).name}"
        return part

    def is_lost(self, part: str, lost: set[str]) -> bool:
        is_rows = part.startswith(("rows of", "id mark of"))
        if part.startswith("view "):
            return "views" in lost or "all rows" in lost
        return part in lost or (is_rows and "all rows" in lost)


class Unusable(Exception):
    """The start can't be made; no fault of the engine's."""


def _freed(found: Sight, lost: set[str]) -> Sight:
    """Without the rowids that nobody promised."""
    for item in lost:
        if item.startswith("rowids of "):
            part = f"rows of {item.removeprefix('rowids of ')}"
            found = found | {
                part: {
                    k[1:] if k and k[0][0] == "rowid" else k: n
                    for k, n in found.get(part, {}).items()
                }
            }
    return found


def _copied(source: apsw.Connection) -> apsw.Connection:
    memory = apsw.Connection(":memory:")
    with memory.backup("main", source, "main") as backup:
        backup.step()
    return memory


def _outcome(run: Any) -> tuple[Any, BaseException | None]:
    try:
        return run(), None
    except Exception as exc:
        return None, exc


CRASHES = ("KeyError", "AssertionError", "AttributeError", "TypeError", "StopIteration", "IndexError", "ValueError", "NameError", "UnreadableTable")  # fmt: skip


def _refuse_crash(command: str, failed: BaseException | None) -> None:
    if failed is None:
        return
    if not isinstance(failed, MigrationError):
        raise Finding("no crash", f"{command}: {type(failed).__name__}: {failed}") from failed
    if isinstance(failed, MigrationFailed) and any(f"{name}:" in str(failed) for name in CRASHES):
        raise Finding("no crash", f"{command}: {failed}") from failed


def _differ(oracle: str, wanted: Sight, found: Sight, ignored: Any = ()) -> None:
    if words := differences(wanted, found, ignored):
        raise Finding(oracle, "; ".join(words[:3]))


def _steps(outcome: Any) -> list[tuple[Any, ...]]:
    """Those that tell what is done; a fill of no row is a skip only once it ran."""
    found = []
    for step in outcome.steps:
        action = step.action
        is_empty = action is Action.SKIP and step.note == "no row to change"
        if is_empty or action in (Action.FILL, Action.RUN):
            action = None
        found.append((action and action.value, str(step.target), step.renamed_to))
    return found


def _rendered(schema: Schema) -> dict[tuple[str, str], str]:
    found = {("table", t.name): schema.created(t) for t in schema.tables}
    found |= {
        ("index", i.name): schema.created_index(t, i) for t in schema.tables for i in t.indexes
    }
    found |= {("view", v.name): schema.created_view(v) for v in schema.views}
    return found | {("trigger", t.name): schema.created_trigger(t) for t in schema.triggers}
