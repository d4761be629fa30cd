"""One case run by the engine on PostgreSQL and judged: schema, rows, steps, the way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from guarded.backends.postgresql.connect import locate
from guarded.patience import Patience
from guarded.project import Models, Project
from guarded.run import Runner
from guarded.steps import Action
from server.migrations.migrate import migrator
from tests.postgres import Server
from tests.simulator.operations import Due
from tests.simulator.postgresql.cases import MESSAGES, SCHEMAS, schema_of
from tests.simulator.postgresql.native import native
from tests.simulator.postgresql.reference import (
    Reference,
    sight,
    unmarked,
    unnamed,
    without_comments,
    work,
)
from tests.simulator.postgresql.wire import AT_COMMIT, Wire, Wired, hasty
from tests.simulator.reference import Sight
from tests.simulator.schema import quote
from tests.simulator.shrink import finding_of
from tests.simulator.trial import (
    Case,
    Counts,
    Finding,
    Unusable,
    _differ,
    _outcome,
    _refuse_crash,
    _steps,
    lost_by,
    sources,
)

IDLE = TransactionStatus.IDLE
ENGINE, JUDGE = "simulated", "judge"  # names of databases
VACUUM = "VACUUM " + ", ".join(
    f"pg_{name}"
    for name in (
        "class", "attribute", "attrdef", "constraint", "depend", "description", "index", "proc", "rewrite",
        "sequence", "shdepend", "trigger", "type",
    )
)  # fmt: skip
PASSING = re.compile(
    r"127\.0\.0\.1:\d+|pid \d+|/\S*/(?=backups)"
)  # what a message may say of this run


class Bench:
    """Two databases of one server, for one case after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        with server.connect() as admin:
            for name in (ENGINE, JUDGE):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        options = "-c TimeZone=UTC -c lock_timeout=20ms -c client_min_messages=error"
        self.engine, self.judge = (
            server.connect(name, options=options) for name in (ENGINE, JUDGE)
        )

        self.used = 0

    def finding_of(self, case: Case, counts: Counts | None = None) -> Finding | None:
        return finding_of(case, counts, partial(Trial, self))

    def tidy(self) -> None:
        """Take away now and then what dropped tables leave in the catalogue; each look pays for it."""
        self.used += 1
        if self.used % 20 == 0:
            for connection in (self.engine, self.judge):
                connection.execute(VACUUM)

    def close(self) -> None:
        self.engine.close()
        self.judge.close()


def made(connection: psycopg.Connection[Any], case: Case) -> None:
    """Make the database anew.  Raises Unusable."""
    schema = quote(schema_of(case))
    connection.execute("SET lock_timeout = '10s'")  # of a session that has just been ended
    connection.execute(
        f"DROP SCHEMA IF EXISTS {', '.join(map(quote, SCHEMAS))} CASCADE; CREATE SCHEMA {schema}; "
        f"SET search_path = {schema}"
    )
    connection.execute("SET lock_timeout = '20ms'")
    for sql in case.start:
        try:
            connection.execute(sql)
        except (psycopg.IntegrityError, psycopg.DataError) as exc:
            if not sql.startswith(("INSERT", "DELETE")):
                raise Unusable(f"{exc}: {sql}") from exc
        except psycopg.Error as exc:
            raise Unusable(f"{exc}: {sql}") from exc


class Trial:
    """A case with files in a folder of its own."""

    def __init__(self, bench: Bench, case: Case, folder: Path, counts: Counts) -> None:
        self.case, self.folder, self.bench, self.counts = case, folder, bench, counts
        self.files, self.schemas = sources(case)
        self.why = ""
        (folder / "migrations").mkdir()
        for name, source in self.files.items():
            (folder / "migrations" / f"{name}.py").write_text(source)
        self.wire = Wire(bench.judge)

    def runner(self) -> Runner:
        project = Project(
            name="simulated", version="1", directory=self.folder / "migrations", listed=list(self.files),
            models=lambda: Models(()), migrator=migrator, location=lambda: "",
        )  # fmt: skip
        parameters = dict(locate(self.bench.server.url(ENGINE)).parameters)
        path = quote(schema_of(self.case)).replace(" ", "\\ ")
        parameters["options"] = f"-cTimeZone=UTC -csearch_path={path}"
        server = Wired(parameters, folder=self.folder / "backups")
        server.wire = self.wire
        return Runner(project, server, Patience(600), backup=False)

    def sight(self) -> Sight:
        return sight(self.bench.engine)

    # The judgement.

    def run(self) -> None:
        """Raises Finding, with nothing in its words that another run would not say."""
        try:
            with hasty():
                self.judge()
        except Finding as found:
            raise Finding(found.oracle, PASSING.sub("…", found.words)) from found

    def judge(self) -> None:
        self.bench.tidy()
        made(self.bench.engine, self.case)
        if self.case.schedule.fault:
            self.judge_fault(self.case.schedule.way)
        else:
            self.judge_run(self.sight())

    def judge_run(self, start: Sight) -> None:
        """The run, alone or with others at work; then twice, others' work, and the way back."""
        runner = self.runner()
        foreseen, plan_failed = _outcome(runner.forecast)
        _refuse_crash("plan", plan_failed)
        _differ("plan changes nothing", start, self.sight())
        acknowledged = self.accompany()
        done, failed = _outcome(runner.up)
        _refuse_crash("up", failed)
        self.end()
        now = self.sight()
        was, wanted, due, worked = self.expected(acknowledged)
        is_alone = not acknowledged
        if failed is not None:
            self.judge_refusal(failed, due, was, now)
            is_told = plan_failed is not None or foreseen.unforeseen is not None
            if is_alone and not is_told and self.knows_rows():
                raise Finding("plan is up", f"plan foresees no refusal: {failed}")
            return
        if due is Due.REFUSES:
            raise Finding("must refuse", f"up did what can't be done: {self.why}")
        if plan_failed is not None and is_alone:
            raise Finding("plan is up", f"plan refused what up did: {plan_failed}")
        self.counts.applied += 1
        assert wanted is not None and done is not None
        if "Statement" in self.kinds():  # sequences are moved behind the ids that it gave
            _differ("rows and objects", unmarked(wanted), unmarked(now))
        else:
            _differ("rows and objects", wanted, now)
        if is_alone and not foreseen.unforeseen:
            for plan, outcome in zip(foreseen.outcomes, done.outcomes):
                self.judge_steps(_steps(plan), _steps(outcome))
        self.judge_history([(name, "up") for name in self.files])
        self.judge_again(runner, now)
        if "Statement" not in self.kinds():
            self.judge_work(worked, marks(self.bench.engine))
        self.judge_down(was, now)

    def knows_rows(self) -> bool:
        """``plan`` can see all the rows that the verbs ask about."""
        count = sum(map(len, self.case.migrations))
        return not self.kinds() & WRITE if count == 1 else self.kinds() <= READ

    def kinds(self) -> set[str]:
        return {type(o).__name__ for operations in self.case.migrations for o in operations}

    def accompany(self) -> list[str]:
        """Let a live application write while the run is on; gives what was acknowledged.

        ``readers`` of the schedule is for how many messages a transaction of it stays open.
        """
        schedule, found = self.case.schedule, list[str]()
        random, other = Random(schedule.seed), self.bench.engine
        self.wire.sent = 0

        def write(sql: str) -> None:
            before = marks(other)
            try:
                if schedule.readers and other.info.transaction_status is IDLE:
                    other.execute("BEGIN")
                    self.wire.after(schedule.readers, end)
                with other.transaction():
                    other.execute(sql)
                    other.execute("SET CONSTRAINTS ALL IMMEDIATE")
            except psycopg.Error:
                put_marks(other, before)
                return
            found.append(sql)

        def end() -> None:
            if other.info.transaction_status is not IDLE:
                other.execute("COMMIT")

        for sql in schedule.writes:
            self.wire.after(random.randrange(1, MESSAGES), partial(write, sql))
        self.end = end
        return found

    def expected(self, acknowledged: list[str]) -> tuple[Sight, Sight | None, Due, list[Any]]:
        """The database before and after by native statements, and what others' work gives then."""
        self.wire.others.clear()
        judge = self.bench.judge
        made(judge, self.case)
        for sql in acknowledged:
            judge.execute(sql)
        was = sight(judge)
        rows, due = Reference(self.case.schema, judge), Due.DOES
        try:
            with judge.transaction():
                for operations in self.case.migrations:
                    for one in operations:
                        if not one.fits(rows.schema):
                            continue
                        self.counts.verbs += 1
                        if not one.is_possible(rows.schema):
                            self.why = str(one)
                            return was, None, Due.REFUSES, []
                        own = one.due(rows.schema, rows)
                        if own is Due.REFUSES:
                            self.why = str(one)
                            return was, None, own, []
                        if own is not Due.DOES:
                            due = Due.MAY
                        self.why = str(one)
                        rows.do(native(one, rows.schema, rows))
                        rows.schema = one.after(rows.schema)
                judge.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as exc:
            self.why += f": {' '.join(str(exc).split())}"
            return was, None, Due.REFUSES, []
        wanted = sight(judge)
        return was, wanted, due, work(judge, self.case.work)

    def judge_refusal(self, failed: BaseException, due: Due, was: Sight, now: Sight) -> None:
        self.counts.refused += 1
        _differ("refused is unchanged", unmarked(was), unmarked(now))
        if left := self.left():
            raise Finding("refused is unchanged", f"left: {left}")
        if due is Due.DOES:
            raise Finding("must do", str(failed))
        kind = re.sub(r"'[^']*'|\S+\.\S+|\d+", "…", str(failed))[:70]
        self.counts.refusals[kind] = self.counts.refusals.get(kind, 0) + 1

    def left(self) -> list[str]:
        """Files of kept values, without their times."""
        return sorted(re.sub(r"\d{8}T[\d.]+Z", "", p.name) for p in self.kept())

    def kept(self) -> Iterator[Path]:
        return (self.folder / "backups").glob("*")

    def judge_steps(self, planned: list[Any], done: list[Any]) -> None:
        if planned != done:
            first = next(
                (pair for pair in zip(planned, done) if pair[0] != pair[1]), (planned, done)
            )
            raise Finding("plan is up", f"planned {first[0]}, done {first[1]}")

    def judge_history(self, wanted: list[tuple[str, str]]) -> None:
        rows = self.bench.engine.execute(
            "SELECT migration, direction FROM schema_history ORDER BY id"
        ).fetchall()
        if rows != wanted:
            raise Finding("history", f"{rows}, wanted {wanted}")

    def judge_again(self, runner: Runner, now: Sight) -> None:
        """Twice is once, where no name is used for two things."""
        kinds = {type(o).__name__ for o in self.case.migrations[-1]}
        if (kinds & AGAIN_ALONE and len(self.case.migrations[-1]) > 1) or kinds & NEVER_AGAIN:
            return
        done, failed = _outcome(lambda: runner.again(list(self.files)[-1]))
        if failed is not None:
            raise Finding("twice is once", str(failed))
        acts = {s.action for o in done.outcomes for s in o.steps} - {Action.SKIP}
        if acts and kinds != {"Fill"}:
            raise Finding("twice is once", f"did {sorted(a.value for a in acts)}")
        _differ("twice is once", now, self.sight())

    def judge_work(self, wanted: list[Any], marks: list[Any]) -> None:
        """Every rule and trigger gives what it has to."""
        engine = self.bench.engine
        found = work(engine, self.case.work)
        put_marks(engine, marks)
        if found != wanted:
            pair = next(p for p in zip(found, wanted) if p[0] != p[1])
            raise Finding("the rules hold", f"{pair[0]}, wanted {pair[1]}")

    def judge_down(self, was: Sight, now: Sight) -> None:
        """All comes back, or the way back is refused and nothing is changed."""
        first = next(iter(self.files))
        _, failed = _outcome(lambda: self.runner().down(first))
        _refuse_crash("down", failed)
        if failed is not None:
            _differ("refused is unchanged", unmarked(now), unmarked(self.sight()))
            return
        self.judge_back("down brings back", was)
        if left := self.left():
            raise Finding("down brings back", f"left: {left}")

    def judge_back(self, oracle: str, was: Sight) -> None:
        """What is there is what was, but for what nobody promised to bring back."""
        back, lost = self.sight(), lost_by(self.case)
        begins = tuple(f"column {part[11:]}." for part in lost if part.startswith("columns of "))
        begins += ("rows of", "mark of") if "all rows" in lost else ()
        ignored = {part for part in {*was, *back} if part in lost or part.startswith(begins)}
        if "names" in lost:
            was, back = unnamed(was), unnamed(back)
        if "marks" in lost:
            was, back = unmarked(was), unmarked(back)
        if "comments" in lost:
            was, back = without_comments(was), without_comments(back)
        _differ(oracle, was, back, ignored)

    def judge_fault(self, way: str) -> None:
        """A run over a wire that breaks; then a plain one finishes, and the way back is there."""
        was, wanted, due, _ = self.expected([])
        first, schedule = next(iter(self.files)), self.case.schedule
        if way == "down":
            _, failed = _outcome(self.runner().up)
            if failed is not None:
                return
            wanted = self.sight()
        known = self.left()
        # The last message is COMMIT, and nobody knows yet which number it has.
        point = AT_COMMIT if schedule.point == 1.0 else 1 + int(schedule.point * MESSAGES)
        self.wire = Wire(self.bench.judge, schedule.fault, point)
        _, failed = _outcome(self.way(way, first))
        self.wire = Wire(self.bench.judge)
        self.counts.faults += 1
        oracle = f"{way} over a wire that {schedule.fault}"
        _refuse_crash(oracle, failed)
        everything, history = set(self.files), self.applied()
        if history not in (set(), everything):
            raise Finding(oracle, f"the history has {sorted(history)}")
        is_done = history == (everything if way == "up" else set())
        if is_done and way == "up" and wanted is None:
            raise Finding("must refuse", f"up did what can't be done: {self.why}")
        if is_done and way == "down":
            self.judge_back(oracle, was)
        else:
            there = wanted if is_done or way == "down" else was
            assert there is not None
            _differ(oracle, unmarked(there), unmarked(self.sight()))
        if not is_done:
            if failed is None:
                raise Finding(oracle, "it told a success")
            if self.left() != known:
                raise Finding(oracle, f"left: {self.left()}")
            self.finish(oracle, self.way(way, first), due, was, wanted, way)
        elif way == "up" and wanted is not None:
            self.judge_down(was, wanted)

    def way(self, way: str, first: str) -> Callable[[], Any]:
        return self.runner().up if way == "up" else lambda: self.runner().down(first)

    def finish(
        self, oracle: str, run: Callable[[], Any], due: Due, was: Sight, wanted: Sight | None, way: str
    ) -> None:  # fmt: skip
        """A plain run after one that broke does what it has to."""
        _, failed = _outcome(run)
        _refuse_crash(way, failed)
        if failed is not None:
            if way == "up" and due is Due.DOES:
                raise Finding(oracle, f"the next run fails: {failed}")
            there = was if way == "up" else wanted
            assert there is not None
            _differ(oracle, unmarked(there), unmarked(self.sight()))
        elif way == "down":
            self.judge_back(oracle, was)
        elif wanted is None:
            raise Finding("must refuse", f"up did what can't be done: {self.why}")
        else:
            _differ(oracle, unmarked(wanted), unmarked(self.sight()))

    def applied(self) -> set[str]:
        engine = self.bench.engine
        if engine.execute("SELECT to_regclass('schema_history')").fetchall() == [(None,)]:
            return set()
        rows = engine.execute(
            "SELECT migration, direction FROM schema_history ORDER BY id"
        ).fetchall()
        return {name for name, direction in dict(rows).items() if direction == "up"}


def marks(connection: psycopg.Connection[Any]) -> list[Any]:
    """What each sequence gave out last, which no rollback takes back."""
    return connection.execute(
        "SELECT c.oid, pg_sequence_last_value(c.oid), seqstart FROM pg_class AS c JOIN pg_sequence ON seqrelid = oid"
    ).fetchall()


def put_marks(connection: psycopg.Connection[Any], found: list[Any]) -> None:
    if found != marks(connection):
        for oid, last, start in found:
            connection.execute(
                "SELECT setval(%s::oid::regclass, %s, %s)", (oid, last or start, last is not None)
            )


# Verbs that would do it again after a later one of the same migration undid it.
AGAIN_ALONE = {
    "RenameColumn", "RenameTable", "DropColumn", "DropTable", "DropNotNull", "SetDefault", "SetType", "Fill",
    "DropConstraint", "DropIndex", "SetNotNull", "DropKey",
}  # fmt: skip
# What these do depends on rows that only the run itself has.
WRITE = {"Statement", "Raw", "Fill", "CreateObject"}
# After these the rows are what they were.
READ = {
    "AddConstraint", "AddIndex", "AddKey", "AddUnique", "DropConstraint", "DropIndex", "DropKey", "DropNotNull",
    "SetDefault", "SetNotNull",
}  # fmt: skip
NEVER_AGAIN = {"CreateObject", "Statement", "Raw"}


def as_test(case: Case, seed: int, found: Finding) -> str:
    """The source of a test that fails as the seed does, whatever the drawing becomes later."""
    return f'''"""Seed {seed}: {found.oracle}."""

from tests.simulator.operations import *
from tests.simulator.postgresql.operations import *
from tests.simulator.postgresql.schema import *
from tests.simulator.postgresql.trial import Case, Counts, Trial
from tests.simulator.schema import Constraint, Reference, Table, View
from tests.simulator.world import Schedule

CASE = {case!r}


def test_seed_{seed}(bench, tmp_path):
    Trial(bench, CASE, tmp_path, Counts()).run()
'''
