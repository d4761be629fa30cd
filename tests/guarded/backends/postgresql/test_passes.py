"""Steps that read or rewrite all rows of a table, for which others wait, are told beforehand."""

from __future__ import annotations

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.cli.output import step_line
from guarded.operate.rehearse import rehearse
from guarded.run import Runner
from guarded.steps import Pass
from tests.conftest import migration
from tests.postgres import FULL


@pytest.fixture
def server(postgres_url, tmp_path):
    found = locate(postgres_url, folder=tmp_path / "backups")
    with found.connected() as connection:
        connection.execute(
            "CREATE TABLE rooms (id int PRIMARY KEY, name varchar(20), size int, note text);"
            "CREATE TABLE desks (id int PRIMARY KEY, room int, tag text DEFAULT 'x');"
            "CREATE TABLE empty (id int PRIMARY KEY, name varchar(20));"
            "INSERT INTO rooms SELECT i, 'r' || i, i, 'n' FROM generate_series(1, 300) AS i;"
            "INSERT INTO desks SELECT i, 1 + i % 300 FROM generate_series(1, 200) AS i"
        )
    return found


@pytest.fixture
def runner(server, make_project):
    return lambda body: Runner(make_project({"a": migration(body)}), server, backup=False)


READ = (Pass("rooms", False, 300, "readers"),)
REWRITTEN = (Pass("rooms", True, 300, "readers"),)
CASES = {
    "a nullable column": ("add_column('rooms', 'x', TextField(null=True))", ()),
    "a constant default": ("add_column('rooms', 'x', TextField(default='red'))", ()),
    "a default for each row": (
        "add_column('rooms', 'x', TextField(constraints=[Default('gen_random_uuid()')]))",
        REWRITTEN,
    ),
    "not null": ("add_not_null('rooms', 'note')", READ),
    "a check": ("add_constraint('rooms', 'big', Check('size > 0'))", READ),
    "a longer varchar": ("alter_column_type('rooms', 'name', CharField(max_length=99))", ()),
    "text": ("alter_column_type('rooms', 'name', TextField())", ()),
    "bigint": ("alter_column_type('rooms', 'size', BigIntegerField())", REWRITTEN),
    "bigint of a key": ("alter_column_type('rooms', 'id', BigIntegerField())", REWRITTEN),
    "a default": ("add_column_default('rooms', 'size', 3)", ()),
    "an index": ("add_index('rooms', ('size',))", (Pass("rooms", False, 300, "writers"),)),
    "unique": ("add_unique('rooms', 'name')", READ),
    "a dropped column": ("drop_column('rooms', 'note')", ()),
    "a fill": ("fill('rooms', 'size', '7')", READ),
    "a default for rows": (
        "apply_default('rooms', 'note', TextField(default=str, unique=True))",
        READ,
    ),
    "a statement": ("sql('ALTER TABLE rooms ALTER size TYPE bigint')", REWRITTEN),
    "a statement that writes": ("sql('UPDATE rooms SET size = size + 1')", READ),
    "a statement that reads": ("sql('CREATE TABLE IF NOT EXISTS made AS SELECT * FROM rooms')", ()),
    "an empty table": ("alter_column_type('empty', 'id', BigIntegerField())", ()),
}
REHEARSED = ("a constant default", "not null", "bigint", "an index", "a fill")


def passes(outcomes):
    return tuple(each for o in outcomes for step in o.steps for each in step.passes)


@pytest.mark.parametrize("case", CASES)
def test_plan_and_rehearse_tell_what_goes_over_all_rows(runner, case):
    verb, expected = CASES[case]
    run = runner(f"migrator.migrate(migrator.{verb})")
    assert passes(run.forecast().outcomes) == expected
    if FULL or case in REHEARSED:
        done = rehearse(run, None, lambda done, total: None)
        assert passes(done.outcomes) == expected
    assert passes(run.up().outcomes) == ()


def test_a_foreign_key_reads_both_tables(runner):
    run = runner(
        "migrator.migrate(migrator.add_foreign_key_constraint('desks', 'room', 'rooms', 'id'))"
    )
    planned = passes(run.forecast().outcomes)
    assert Pass("desks", False, 200, "readers") in planned
    assert {each.waits for each in planned if each.table == "rooms"} <= {"writers"}
    rehearsed = passes(rehearse(run, None, lambda done, total: None).outcomes)
    assert Pass("desks", False, 200, "readers") in rehearsed


def test_a_table_keeps_its_rows_under_another_name(runner):
    run = runner(
        "migrator.migrate(migrator.rename_table('rooms', 'halls'),"
        " migrator.add_not_null('halls', 'note'))"
    )
    steps = run.forecast().outcomes[0].steps
    assert step_line(steps[1]) == (
        "alter   halls.note not null, reads 300 rows of rooms while readers wait"
    )


def test_the_line_of_a_step_tells_it(runner):
    lines = [
        step_line(step)
        for step in runner(
            "migrator.migrate(migrator.alter_column_type('rooms', 'size', BigIntegerField()),"
            " migrator.add_index('desks', ('tag',)), migrator.fill('desks', 'tag', \"'y'\"))"
        )
        .forecast()
        .outcomes[0]
        .steps
    ]
    assert lines == [
        "alter   rooms.size BIGINT, rewrites 300 rows while readers wait",
        "create  desks_tag, reads 200 rows of desks while readers wait",
        "fill    desks.tag, 200 rows, reads 200 rows while readers wait",
    ]
