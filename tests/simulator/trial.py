"""One case run by the engine and judged: schema, rows, steps, the way back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
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
from tests.simulator.clock import CLOCK, SYSTEM, set_clock
from tests.simulator.disk import KINDS, POWER, Disk, files, put
from tests.simulator.draw import Draw
from tests.simulator.makers import MAKERS, migrations
from tests.simulator.operations import (
    HEAD,
    AddConstraint,
    DropConstraint,
    Due,
    Operation,
    RenameColumn,
    RenameTable,
)
from tests.simulator.reference import (
    Reference,
    Sight,
    copied,
    differences,
    make_ready,
    opened,
    sight,
    texts,
    work,
)
from tests.simulator.schema import Schema, quote
from tests.simulator.world import CALM, Schedule, Taken, World


@dataclass(frozen=True)
class Case:
    """All that happens; drawn from a seed, and made smaller by leaving parts out."""

    schema: Schema
    start: tuple[str, ...]
    migrations: tuple[tuple[Operation, ...], ...]
    work: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    schedule: Schedule = CALM


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
    drawn_ones, now = migrations(draw, schema, MAKERS, (1, 1, 2, 2, 3, 5, 9))
    writing = tuple(_writes(draw, now, 6)) if now.tables else ()
    schedule = _schedule(draw, schema)
    return Case(schema, start, drawn_ones, writing, tuple(settings), schedule)


def _schedule(draw: Draw, schema: Schema) -> Schedule:
    """Half of all runs are on Python's own SQLite, and undisturbed."""
    random = draw.random
    if draw.chance(0.5):
        return Schedule()
    made = Schedule(random.randrange(1 << 30), "apsw", draw.chance(0.5), jumps=draw.chance(0.3))
    if draw.chance(0.3):
        made = replace(made, cache=random.choice((5, 20)))
    if draw.chance(0.5):
        way = random.choice(("up", "up", "down"))
        point = 1.0 if draw.chance(0.4) else random.random()
        return replace(made, fault=random.choice((*KINDS, POWER)), point=point, way=way)
    writes = tuple(_writes(draw, schema, random.choice((0, 3, 6))))
    return replace(
        made, runners=random.choice((1, 2)), writes=writes, readers=random.choice((0, 1))
    )


def _writes(draw: Draw, schema: Schema, count: int) -> Iterator[str]:
    """Writes that ask every rule of the schema."""
    for _ in range(count):
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


def lost_by(case: Case) -> set[str]:
    """The parts of the sight that no ``down`` brings back, under the names of the start."""
    schema, lost = case.schema, set[str]()
    for operations in case.migrations:
        for one in operations:
            if one.fits(schema):
                lost |= {_at_start(case, part, schema) for part in one.lost(schema)}
                schema = one.after(schema)
    return lost


def _at_start(case: Case, part: str, schema: Schema) -> str:
    kind, of, name = part.partition(" of ")
    for table in schema.tables:
        if of and table.name == name and case.schema.has(table.number):
            return f"{kind} of {case.schema.table(table.number).name}"
    return part


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
        made = set[tuple[type[Operation], int, int]]()
        for one in operations:
            if not one.fits(schema):
                continue
            for place, line in enumerate(one.up(schema)):
                ups.append((one.joined and place == 0, line))
            if not one.is_possible(schema):
                break
            then = one.after(schema)
            # What the same migration made before is undone with that.
            if then != schema or (type(one), one.table, one.column) not in made:
                downs[:0] = one.down(schema, then)
            made.add((type(one), one.table, one.column))
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
        self.world = World(case.schedule, self.path)
        self.files, self.schemas = sources(case)
        (folder / "migrations").mkdir()
        for name, source in self.files.items():
            (folder / "migrations" / f"{name}.py").write_text(source)

    def make(self) -> None:
        with closing(apsw.Connection(str(self.path), vfs=SYSTEM)) as connection:
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

        if self.case.schedule.jumps:
            # Of a time when the clock was wrong.
            (self.path.parent / "backups").mkdir()
            for day in range(1, 6):
                old = self.path.parent / "backups" / f"{self.path.name}.2099010{day}T000000.000000Z"
                old.write_bytes(self.path.read_bytes())

    def runner(self) -> Runner:
        project = Project(
            name="simulated", version="1", directory=self.folder / "migrations", listed=list(self.files),
            models=lambda: Models(()), migrator=migrator, location=lambda: str(self.path),
        )  # fmt: skip
        wait = 600 if self.case.schedule.runners > 1 or self.case.schedule.readers else 0
        register = set_clock if self.case.schedule.driver == "python" else None
        return Runner(project, SqliteFile(self.path, register), Patience(wait))

    def engine(self, run: Any) -> tuple[Any, BaseException | None]:
        """What the engine gives, in the world of this case and with nobody else there."""
        with self.world.around():
            return _outcome(run)

    # The judgement.

    def run(self) -> None:
        """Raises Finding."""
        CLOCK.reset()
        self.judge()

    def judge(self) -> None:
        self.make()
        start = opened(self.path)
        if sight(start)["integrity"] != ("ok",):
            raise Unusable("the start is damaged")
        at_start = contents(self.path.parent)
        runner = self.runner()
        foreseen, plan_failed = self.engine(runner.forecast)
        _refuse_crash("plan", plan_failed)
        before, after, done, failed = self.up(start, runner)
        was, now = sight(before), sight(after)
        before_texts = texts(before)
        wanted, due = self.expected(before)
        is_alone = was == sight(start)
        if failed is not None:
            if not is_alone:
                plan_failed = None
            self.judge_refusal(failed, plan_failed, due, was, now, before_texts, texts(after))
            self.judge_fault("up", at_start, was, was, before_texts, None)
            return
        if due is Due.REFUSES:
            raise Finding("must refuse", f"up did what can't be done: {self.why}")
        if plan_failed is not None and is_alone:
            raise Finding("plan is up", f"plan refused what up did: {plan_failed}")
        self.counts.applied += 1
        assert wanted is not None and done is not None
        _differ("rows and objects", sight(wanted.connection), now)
        if is_alone:
            self.judge_steps(foreseen, done)
        after_texts = texts(after)
        self.judge_texts(before_texts, after_texts)
        self.judge_history(after, [(name, "up") for name in self.files])
        if done.backup is not None:
            if not done.backup.exists():
                raise Finding("the backup", "it is not there")
            saved = opened(done.backup)
            _differ("the backup", was, sight(saved))
            if texts(saved) != before_texts:
                raise Finding("the backup", "its texts are others")
        self.judge_again(runner, now)
        self.judge_work(wanted, after)
        at_end = contents(self.path.parent)
        back = self.judge_down(runner, was, now)
        if self.case.schedule.way == "up":
            self.judge_fault("up", at_start, was, now, after_texts, back)
        elif back is not None:
            self.judge_fault("down", at_end, now, back, texts(opened(self.path)), back)

    def expected(self, before: apsw.Connection) -> tuple[Reference | None, Due]:
        rows, due = Reference(self.case.schema, copied(before)), Due.DOES
        for operations in self.case.migrations:
            for place, one in enumerate(operations):
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
                    if _is_undone(one, operations[place + 1 :]):
                        due = Due.MAY
                        continue
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
        if left := self.left():
            raise Finding("refused is unchanged", f"left: {left}")
        if due is Due.DOES:
            raise Finding("must do", words)
        kind = re.sub(r"'[^']*'|\S+\.\S+|\d+", "…", words)[:70]
        self.counts.refusals[kind] = self.counts.refusals.get(kind, 0) + 1

    def left(self, known: Iterable[str] = ()) -> list[str]:
        """Backups and files of kept values that are none of these, without their times."""
        names = {path.name for path in (self.path.parent / "backups").glob("*")}
        new = (name for name in names - set(known) if ".2099" not in name)
        return sorted(re.sub(r"\.\d{8}T[\d.]+Z", "", name) for name in new)

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
                if self.touches(key[1], old) or self.spells_renamed(str(before.get(key)), old):
                    continue
                raise Finding(
                    "texts stay", f"{key}: {after.get(key)!r}, before {before.get(key)!r}"
                )
        for table in old.tables:
            if not new.has(table.number):
                continue
            then = new.table(table.number)
            text, old_text = after[("table", then.name)], before[("table", table.name)]
            comments = [column.comment for column in table.columns]
            for column in table.columns:
                comment = f"/* {column.comment} */"
                is_there = column.comment and comment in old_text and then.has(column.number)
                if is_there and comments.count(column.comment) == 1 and comment not in text:
                    raise Finding("comments stay", f"{column.comment!r} is not in {text!r}")

    def touches(self, name: str, schema: Schema) -> bool:
        """Some operation is about the table of this name."""
        numbers = {o.table for ops in self.case.migrations for o in ops}
        return any(schema.names.get(n) == name for n in numbers)

    def spells_renamed(self, text: str, schema: Schema) -> bool:
        """It has the name of what was renamed, perhaps away and back; SQLite spells that anew."""
        operations = itertools.chain.from_iterable(self.case.migrations)
        renamed = [o for o in operations if isinstance(o, (RenameTable, RenameColumn))]
        numbers = {o.column or o.table for o in renamed}
        return any(schema.names[n] in text for n in numbers & schema.names.keys())

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
        done, failed = self.engine(lambda: runner.again(name))
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

    def judge_down(self, runner: Runner, was: Sight, now: Sight) -> Sight | None:
        """Returns what is there then; None where it refused."""
        lost = lost_by(self.case)
        for table in self.case.schema.tables:
            if f"rows of {table.name}" in lost:  # others may have referred to them
                children = self.case.schema.children(table.number)
                lost |= {f"rows of {child.name}" for child, _ in children}
        first = next(iter(self.files))
        _, failed = self.engine(lambda: runner.down(first))
        _refuse_crash("down", failed)
        back = sight(opened(self.path))
        if failed is not None:
            _differ("refused is unchanged", now, back)
            return None
        ignored = {p for p in {*was, *back} if self.is_lost(p, lost)}
        raw = back
        was, back = (self.freed(found, lost) for found in (was, back))
        _differ("down brings back", was, back, ignored)
        return raw

    def is_lost(self, part: str, lost: set[str]) -> bool:
        is_rows = part.startswith(("rows of", "id mark of"))
        if part.startswith("view "):
            return "views" in lost or "all rows" in lost
        return part in lost or (is_rows and "all rows" in lost)

    def freed(self, found: Sight, lost: set[str]) -> Sight:
        """Without the rowids that nobody promised, and the rows that no key tells."""
        for item in lost:
            kind, _, name = item.partition(" of ")
            part = f"rows of {name}"
            rows = found.get(part, {})
            if kind == "rowids":
                rows = {k[1:] if k and k[0][0] == "rowid" else k: n for k, n in rows.items()}
            if kind == "null keys":
                tables = (t for t in self.case.schema.tables if t.name == name)
                keys = {t.column(k).name for t in tables for k in t.key}
                empty = {(key, "NoneType", None) for key in keys}
                rows = {k: n for k, n in rows.items() if empty.isdisjoint(k)}
            found = found | {part: rows}
        return found

    # Others, and faults of the disk.

    def up(
        self, start: apsw.Connection, runner: Runner
    ) -> tuple[apsw.Connection, apsw.Connection, Any, BaseException | None]:
        """The database before and after the run that counts, and what it gave."""
        schedule, world = self.case.schedule, self.world
        if schedule.driver == "python":
            done, failed = self.engine(runner.up)
            _refuse_crash("up", failed)
            return start, opened(self.path), done, failed
        disk = Disk(self.path.parent)
        with world.around(disk):
            results = world.run(lambda: _outcome(self.runner().up))
        self.operations = disk.done
        for _, failed in results:
            _refuse_crash("up", failed)
        acting = [n for n, (done, _) in enumerate(results) if done and done.outcomes]
        if len(acting) > 1:
            raise Finding("exclusive", "two runners did it")
        if not acting and all(failed is None for _, failed in results):
            raise Finding("exclusive", "no runner did it")
        chosen = acting[0] if acting else 0
        self.judge_events(start, chosen if acting else None)
        before, after, is_over = start, start, True
        for event in world.events:
            if isinstance(event, Taken) and event.runner == chosen:
                before, after, is_over = event.before, event.after, True
            elif isinstance(event, str):
                is_over = False
        if not is_over:  # what others wrote since is taken back
            with closing(apsw.Connection(str(self.path))) as file:
                copied(after, file)
        return before, after, *results[chosen]

    def judge_events(self, start: apsw.Connection, acting: int | None) -> None:
        """Acknowledged writes stay, runs are whole, and nobody sees a part of one."""
        seen = [texts(start)]
        now = copied(start)
        make_ready(now)
        for event in self.world.events:
            if isinstance(event, str):
                now.execute(event)
                continue
            _differ("acknowledged writes stay", sight(now), sight(event.before))
            if event.runner != acting:
                _differ("refused is unchanged", sight(event.before), sight(event.after))
            seen.append(texts(event.after))
            now = copied(event.after)
            make_ready(now)
        _differ("acknowledged writes stay", sight(now), sight(opened(self.path)))
        for first, second in self.world.seen:
            if first != second or first not in seen:
                raise Finding("atomic", "a reader saw a part of a run")

    def judge_fault(
        self, way: str, content: dict[str, bytes], was: Sight, now: Sight, final: Any, back: Sight | None
    ) -> None:  # fmt: skip
        """The run once more, with the fault; then a plain one, and the way ``back``."""
        schedule = self.case.schedule
        if not schedule.fault:
            return
        folder, first = self.path.parent, next(iter(self.files))
        put(folder, content)
        known = [Path(name).name for name in content]
        disk = Disk(folder, schedule.fault, 1 + int(schedule.point * self.operations))
        ups, downs = lambda: self.runner().up(), lambda: self.runner().down(first)
        initial = texts(opened(self.path))
        with self.world.around(disk):
            _, failed = _outcome(ups if way == "up" else downs)
        oracle = f"{way} on a disk that {schedule.fault}"
        if is_cut := disk.is_cut():
            disk.fall_back()
        else:
            _refuse_crash(oracle, failed)
        self.counts.faults += 1
        self.judge_backups(oracle, was, known)
        found = opened(self.path)
        history, everything = applied(found), set(self.files)
        unchanged, changed = (set(), everything) if way == "up" else (everything, set())
        is_done = history == changed
        if history != unchanged and not is_done:
            raise Finding(oracle, f"the history has {sorted(history)}")
        _differ(oracle, now if is_done else was, sight(found))
        if texts(found) != (final if is_done else initial):
            raise Finding(oracle, "texts are others")
        if failed is None and not is_done:
            raise Finding(oracle, "it told a success")
        if not is_done and not is_cut and (left := self.left(known)):
            raise Finding(oracle, f"left: {left}")
        if now is was:
            return
        if not is_done:
            self.finish(oracle, ups if way == "up" else downs, now)
        # A disk that fails once it is done is told as a failure, and what was kept may be gone.
        if way == "up" and back is not None and (is_cut or not is_done):
            self.finish(f"down after {oracle}", downs, back)

    def judge_backups(self, oracle: str, was: Sight, known: Sequence[str]) -> None:
        """What has the name of a backup, and is none of these, is one of the moment before."""
        name = re.compile(re.escape(self.path.name) + r"\.\d{8}T[\d.]+Z")
        for path in (self.path.parent / "backups").glob("*"):
            if name.fullmatch(path.name) and path.name not in known:
                try:
                    found = sight(opened(path))
                except apsw.Error as exc:
                    raise Finding(oracle, f"a backup is none: {exc}") from exc
                _differ(f"{oracle}: the backup", was, found)

    def finish(self, oracle: str, run: Any, wanted: Sight) -> None:
        _, failed = self.engine(run)
        if failed is not None:
            raise Finding(oracle, f"the next run fails: {failed}")
        _differ(oracle, wanted, sight(opened(self.path)))


class Unusable(Exception):
    """The start can't be made; no fault of the engine's."""


def _is_undone(one: Operation, later: Sequence[Operation]) -> bool:
    """A constraint that goes in the call in which it comes need never be there."""
    same_call = itertools.takewhile(lambda operation: operation.joined, later)
    return isinstance(one, AddConstraint) and any(
        isinstance(operation, DropConstraint) and operation.name == one.new.name
        for operation in same_call
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in files(folder)}


def applied(connection: apsw.Connection) -> set[str]:
    """What the history says."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_history'").get:
        return set()
    rows = connection.execute("SELECT migration, direction FROM schema_history ORDER BY id")
    return {name for name, direction in dict(rows).items() if direction == "up"}


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
