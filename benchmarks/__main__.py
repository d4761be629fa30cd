"""``python -m benchmarks [--quick] [--write FILE]``: every timing in one run, as a table.

Ratios are of medians within the run.  ``--quick`` uses small databases, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from benchmarks import dataset, tools
from benchmarks.measure import Candidate, Timing, show, time_in_turn
from benchmarks.tools import OURS, PWMIGRATE, Migration, Tool
from server.migrations.migrate import MIGRATIONS

HERE = Path(__file__).parent
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
HEAD = [
    "A ratio is to the row of its block that has 1.00. Peak memory is at least that of",
    "the process that measures. No tool takes a backup, or keeps what it drops.",
    "",
    "| what | with | median | spread | ratio | peak memory | written | writers waited |",
    "|---|---|---|---|---|---|---|---|",
]


class Bench:
    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.database = folder / "run.sqlite"
        self.rows: list[str] = []

    def table(self, title: str, baseline: str, timings: Sequence[Timing]) -> None:
        base = next(t for t in timings if t.name == baseline)
        for timing in timings:
            ratio = timing.median / base.median if base.median else 1
            row = f"| {title} | {timing.name} | {show(timing.median)} | {timing.spread} |"
            row += f" {ratio:.2f} |"
            row += (
                f" {timing.peak:.0f} MB | {timing.written:.1f} MB |" if timing.peak else " – | – |"
            )
            row += f" {show(timing.stall)} |" if timing.stall is not None else " – |"
            print(row, flush=True)  # noqa: T201
            self.rows.append(row)

    def restore(self, source: Path | None) -> Callable[[], None]:
        """Before each run: the database as ``source`` has it; None for an empty file."""

        def prepare() -> None:
            for found in self.folder.glob("run.sqlite*"):
                found.unlink()
            if source is None:
                self.database.touch()
            else:
                shutil.copyfile(source, self.database)
                os.sync()

        return prepare

    def tool(self, name: str, migrations: list[Migration], source: Path | None) -> Candidate:
        made = Tool(name, self.folder / name, self.database)
        made.write(migrations)
        return Candidate(name, made.up, self.restore(source))

    # The scenarios.

    def no_op(self) -> None:
        """Four small migrations, all applied."""
        candidates = []
        for name in tools.installed():
            candidate = self.tool(name, [tools.small(n) for n in range(1, 5)], None)
            done = self.folder / f"done-{name}.sqlite"
            time_in_turn([candidate], 1)
            shutil.copyfile(self.database, done)
            candidates.append(Candidate(name, candidate.command, self.restore(done)))
        runs = 3 if self.quick else 15
        self.table("nothing to do", PWMIGRATE, time_in_turn(candidates, runs, warmup=1))

    def first_run(self) -> None:
        """Our migrations on an empty file."""
        forecast = dataset.statements_by_migration(self.folder / "none.sqlite")
        migrations = tools.first_run(forecast)
        candidates = [self.tool(name, migrations, None) for name in tools.installed()]
        runs = 3 if self.quick else 15
        self.table("first run", PWMIGRATE, time_in_turn(candidates, runs, warmup=1))

    def thousand(self) -> None:
        count = 50 if self.quick else 1000
        migrations = [tools.small(number) for number in range(1, count + 1)]
        candidates = [self.tool(name, migrations, None) for name in tools.installed()]
        title = f"{count} small migrations"
        self.table(title, PWMIGRATE, time_in_turn(candidates, 3))

    def many_applied(self) -> None:
        """Nothing to do, with 4 and with 10,000 applied."""
        count = 200 if self.quick else 10_000
        candidates = []
        for name, number in ((OURS, 4), (OURS, count), (PWMIGRATE, count)):
            made = Tool(name, self.folder / f"{name}-{number}", self.database)
            made.write([tools.small(n) for n in range(1, number + 1)])
            self.restore(None)()
            fake = ["fake" if part == "up" else part for part in made.up if part != "--discard"]
            time_in_turn([Candidate("fake", fake)], 1)
            done = self.folder / f"faked-{name}-{number}.sqlite"
            shutil.copyfile(self.database, done)
            title = f"{name}, {number:,} applied"
            candidates.append(Candidate(title, made.up, self.restore(done)))
        runs = 3 if self.quick else 9
        timings = time_in_turn(candidates, runs, warmup=1)
        self.table("nothing to do", timings[0].name, timings)

    def hybrid_storage(self, meetings: int, runs: int) -> None:
        """Migration 4 against its own statements by plain sqlite3, and against other tools."""
        source = self.source(meetings)
        statements = dataset.statements(source)
        bare = self.folder / f"bare-{meetings}.sqlite"
        shutil.copyfile(source, bare)
        dataset.without_history(bare)
        plain = self.plain("statements", statements)
        candidates = [
            Candidate("plain sqlite3, the same statements", plain, self.restore(bare)),
            *(
                self.tool(name, [tools.hybrid_storage(statements)], bare)
                for name in tools.installed()
            ),
        ]
        title = f"migration 4, {meetings:,} meetings"
        self.table(title, candidates[0].name, time_in_turn(candidates, runs))

    def add_column(self, meetings: int) -> None:
        """NOT NULL with a constant default, against a migration that does nothing."""
        nothing = Migration(ours("pass"), "", "", "")
        add = ours(
            "migrator.migrate(migrator.add_column('meetings', 'color', CharField(default='red')))"
        )
        source = self.source(meetings)
        candidates = []
        for name, text in (("a migration without steps", nothing.ours), ("add NOT NULL", add)):
            tool = Tool(OURS, self.folder / name.replace(" ", "-"), self.database)
            tool.write([Migration(text, "", "", "")])
            candidates.append(Candidate(name, tool.up, self.restore_history(source)))
        runs = 3 if self.quick else 7
        title = f"add a column, {meetings:,} meetings"
        self.table(title, candidates[0].name, time_in_turn(candidates, runs, warmup=1))

    def rebuild(self, meetings: int) -> None:
        """A rebuild against the same by hand, and with other settings of SQLite."""
        source = self.source(meetings)
        tool = Tool(OURS, self.folder / "rebuild", self.database)
        verb = "alter_column_type('meetings', 'max_participants', DecimalField(null=True))"
        tool.write([Migration(ours(f"migrator.migrate(migrator.{verb})"), "", "", "")])
        restore = self.restore_history(source)
        by_hand = dataset.rebuild_by_hand(source, "DECIMAL(10, 5)")
        candidates = [
            Candidate("hand-written SQL", self.plain("rebuild", by_hand), restore, self.database),
            Candidate("alter_column_type", tool.up, restore, self.database),
        ]
        others = [Candidate(p, tool.up, restore, None, p) for p in tools.PRAGMAS]
        title = f"rebuild, {meetings:,} meetings"
        timings = time_in_turn(candidates, 2) + time_in_turn(others, 1)
        self.table(title, candidates[0].name, timings)

    def settings(self, meetings: int) -> None:
        """A look at every row, with other settings of SQLite."""
        source = self.source(meetings)
        (change, *_) = tools.cheap_changes()
        tool = Tool(OURS, self.folder / "settings", self.database)
        tool.write([Migration(change.ours, "", "", "")])
        restore = self.restore_history(source)
        candidates = [Candidate("migrate.py", tool.up, restore)]
        candidates += [Candidate(p, tool.up, restore, None, p) for p in tools.PRAGMAS]
        title = f"{change.title}, {meetings:,} meetings"
        self.table(title, candidates[0].name, time_in_turn(candidates, 2 if self.quick else 3))

    def cheap_changes(self, meetings: int) -> None:
        """Changes that alter no stored value, against looking at the rows and against a rebuild."""
        source = self.source(meetings)
        restore = self.restore_history(source)
        nothing = Tool(OURS, self.folder / "cheap-nothing", self.database)
        nothing.write([Migration(ours("pass"), "", "", "")])
        by_hand = self.plain("by-hand", dataset.rebuild_by_hand(source))
        for number, change in enumerate(tools.cheap_changes()):
            fast, slow = [], []
            for name in tools.installed():
                text = {OURS: change.ours, PWMIGRATE: change.pwmigrate}.get(name, change.alembic)
                if text and name != tools.DBMATE:
                    tool = Tool(name, self.folder / f"cheap-{name}", self.database)
                    tool.write([Migration(change.ours, change.pwmigrate, change.alembic, "")])
                    # The others don't wait for a bystander, and fail.
                    beside = self.database if name == OURS else None
                    found = fast if name == OURS else slow
                    found.append(Candidate(name, tool.up, restore, beside))
            look = self.plain("look", [change.look])
            fast += [
                Candidate("plain SELECT over the rows", look, restore),
                Candidate("Python, nothing done", self.plain("nothing", ["SELECT 1"]), restore),
                Candidate("migrate.py, a migration without steps", nothing.up, restore),
            ]
            rebuilding = Tool(OURS, self.folder / f"cheap-{OURS}", self.database).up
            if number == 0:  # a rebuild takes as long whatever it changes
                rebuilding = Tool(OURS, self.folder / f"cheap-{OURS}", self.database).up
                slow += [
                    Candidate(
                        "migrate.py, rebuilding", rebuilding, restore, None, "rebuild=always"
                    ),
                    Candidate("hand-written rebuild", by_hand, restore, self.database),
                ]
            title = f"{change.title}, {meetings:,} meetings"
            timings = time_in_turn(fast, 2 if self.quick else 3) + time_in_turn(slow, 1)
            self.table(title, "plain SELECT over the rows", timings)

    def inside(self, meetings: int) -> None:
        """The same in one process, without the start of Python."""
        self.restore_history(self.source(meetings))()
        for change in tools.cheap_changes():
            title = f"{change.title}, {meetings:,} meetings"
            self.in_process(title, "inside.py", str(self.database), change.title)

    def drawn(self, seeds: int) -> None:
        """The migrations that the simulator draws, against its reference."""
        self.in_process(f"migrations of {seeds} seeds", "drawn.py", str(seeds))

    def in_process(self, title: str, script: str, *arguments: str) -> None:
        """The rows of a script that measures its own processor time."""
        command = [sys.executable, str(HERE / script), *arguments, "2" if self.quick else "5"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        timings = [Timing(name, tuple(s)) for name, s in json.loads(done.stdout).items()]
        self.table(f"{title}, processor time without start-up", timings[0].name, timings)

    def plain(self, name: str, statements: list[str]) -> list[str]:
        """The command that runs the statements without any tool."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(statements))
        return [sys.executable, str(HERE / "plain.py"), str(self.database), str(file)]

    def way_back(self, meetings: int) -> None:
        """Migration 4 with what it drops kept and not kept, and its down with the values."""
        source = self.source(meetings)
        undo = self.folder / "applied.sqlite"
        shutil.copyfile(source, undo)
        script = str(HERE.parent / "server" / "migrations" / "migrate.py")
        base = [sys.executable, script, "--database", str(self.database)]
        up = [*base, "up", MIGRATIONS[3], "--no-backup"]
        shutil.rmtree(self.folder / "backups", ignore_errors=True)
        self.restore(source)()
        subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
        shutil.copyfile(self.database, undo)
        (kept,) = self.folder.glob("backups/*.kept.*")
        values = kept.read_bytes()

        def applied() -> None:
            self.restore(undo)()
            kept.write_bytes(values)

        candidates = [
            Candidate("up --discard", [*up, "--discard"], self.restore(source)),
            Candidate("up, which keeps", up, self.restore(source)),
            Candidate("down, which puts back", [*base, "down", "--yes", "--no-backup"], applied),
        ]
        runs = 2 if self.quick else 3
        title = f"migration 4 and back, {meetings:,} meetings"
        self.table(title, candidates[0].name, time_in_turn(candidates, runs))

    def restore_history(self, source: Path) -> Callable[[], None]:
        bare = self.folder / "bare.sqlite"
        if not bare.exists():
            shutil.copyfile(source, bare)
            dataset.without_history(bare)
        return self.restore(bare)

    def source(self, meetings: int) -> Path:
        path = self.folder / f"source-{meetings}.sqlite"
        if not path.exists():
            dataset.before_hybrid_storage(path, meetings)
        return path


def _or_none(measured: float | None, text: str) -> str:
    return text if measured else "–"


def ours(body: str) -> str:
    return f'"""To measure."""\nfrom peewee import *\n\n\ndef up(migrator, db):\n    {body}\n'


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small databases, few runs")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        bench = Bench(Path(name), options.quick)
        bench.no_op()
        bench.many_applied()
        bench.first_run()
        bench.thousand()
        bench.hybrid_storage(2_000 if options.quick else 100_000, runs=3)
        large = 5_000 if options.quick else 1_000_000
        bench.hybrid_storage(large, runs=1)
        bench.add_column(large)
        bench.inside(large)
        bench.drawn(20 if options.quick else 200)
        bench.cheap_changes(large)
        bench.settings(large)
        bench.rebuild(large)
        bench.way_back(2_000 if options.quick else 100_000)
        if options.write:
            measured = f"{date.today()}, {tools.versions()}, {os.cpu_count()} cores; `make bench`."
            put(options.write, [measured, *HEAD, *bench.rows])


def put(page: Path, lines: Sequence[str], begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the marks of the page, and nothing else."""
    before, mark, rest = page.read_text().partition(begin)
    _, last, after = rest.partition(end)
    if not (mark and last):
        sys.exit(f"'{page}' has no {begin} … {end}")
    page.write_text("\n".join([before + mark, *lines, end + after]))


if __name__ == "__main__":
    main()
