"""Faults that the simulator found on PostgreSQL, each as a start, a migration and its way back."""

from __future__ import annotations

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.errors import DatabaseFailed, MigrationError, MigrationFailed, RowsDoNotFit
from guarded.patience import Patience
from guarded.run import Runner
from tests.conftest import migration
from tests.simulator.postgresql.wire import CUT, FAIL, LOST, Wire, Wired

COLUMN = (
    "CREATE TABLE t (id int PRIMARY KEY, a {type}); INSERT INTO t VALUES (1, {value}), (2, NULL)"
)
DROP = "migrator.migrate(migrator.drop_column('t', 'a'))"
ADD = """
class Typed(Field):
    field_type = {type!r}

migrator.migrate(migrator.add_column('t', 'a', Typed(null=True)))
"""
# Values that Python has no equal of, or whose text says more.
VALUES = [
    ("timestamptz", "'infinity'"),
    ("timestamp", "'0044-03-15 12:00:00 BC'"),
    ("date", "'-infinity'"),
    ("date", "'12024-01-01'"),
    ("time", "'24:00:00'"),
    ("interval", "'1 mon -2 days'"),
    ("jsonb", "'{\"a\": [1, null]}'"),
    ("jsonb", "'[1, \"x\"]'"),
    ("jsonb", "'null'"),
    ("jsonb", "'\"text\"'"),
    ("jsonb", "'1.10'"),
    ("json", '\'{"b":  1, "a": 2, "a": 3}\''),
    ("int[]", "'[0:1]={7,8}'"),
    ("int[]", "'{{1,2},{3,4}}'"),
    ("text[]", "'{a,NULL,\"NULL\"}'"),
    ("inet", "'10.1.2.3/8'"),
    ("int4range", "'[3,)'"),
    ("real", "0.1"),
    ("numeric", "'NaN'"),
    ("numeric", "1.500"),
    ("char(5)", "'ü  '"),
    ("bytea", "'\\x00ff'"),
    ("bit(3)", "'101'"),
]


@pytest.fixture
def server(postgres_url, tmp_path):
    return locate(postgres_url, folder=tmp_path / "backups")


@pytest.fixture
def run(server, make_project):
    """Make the start, run ``up`` and, where there is one, ``down``."""

    def run(start: str, up: str, down: str | None = None) -> None:
        with server.connected() as connection:
            connection.execute(start)
        project = make_project({"a": migration(up, down or "pass")})
        runner = Runner(project, server, Patience(5), backup=False)
        runner.forecast()
        runner.up()
        if down is not None:
            runner.down()

    return run


def rows(server, query):
    with server.connected() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(("type_", "value"), VALUES)
def test_a_dropped_value_of_any_type_comes_back(server, run, type_, value):
    run(COLUMN.format(type=type_, value=value), DROP, ADD.format(type=type_))
    assert rows(server, f"SELECT id, a::text = {value}::{type_}::text FROM t ORDER BY id") == [
        (1, True),
        (2, None),
    ]


@pytest.mark.parametrize("type_", ["real", "timestamptz", "numeric"])
def test_a_row_is_found_by_a_key_of_any_type(server, run, type_):
    value = "'infinity'" if type_ == "timestamptz" else "0.1"
    start = f"CREATE TABLE t (id {type_} PRIMARY KEY, a text); INSERT INTO t VALUES ({value}, 'x')"
    run(start, DROP, ADD.format(type="text"))
    assert rows(server, "SELECT a FROM t") == [("x",)]


@pytest.mark.parametrize("schema", ["Mixed Case", "UPPER", "select", 'quo"te', "dot.ted"])
def test_a_schema_may_have_any_name(server, make_project, schema):
    quoted = '"' + schema.replace('"', '""') + '"'
    with server.connected() as connection:
        connection.execute(f"CREATE SCHEMA {quoted}; SET search_path = {quoted}")
        connection.execute(COLUMN.format(type="text", value="'x'"))
    found = server.at(options=f"-csearch_path={quoted}".replace(" ", "\\ "))
    project = make_project({"a": migration(DROP, ADD.format(type="text"))})
    runner = Runner(project, found, Patience(5), backup=False)
    assert len(runner.forecast().outcomes) == 1
    assert len(runner.up().outcomes) == 1
    runner.down()
    assert rows(found, "SELECT a FROM t ORDER BY id") == [("x",), (None,)]


def test_a_column_that_comes_back_moves_no_sequence(server, run):
    start = "CREATE TABLE t (id serial PRIMARY KEY, a text); INSERT INTO t VALUES (900, 'x')"
    run(start, DROP, ADD.format(type="text"))
    assert rows(server, "SELECT nextval('t_id_seq')") == [(1,)]


@pytest.mark.parametrize("type_", ["double precision", "text", "numeric"])
def test_a_numbered_column_may_have_any_type(server, run, type_):
    start = "CREATE TABLE t (id serial PRIMARY KEY, a text); INSERT INTO t (a) VALUES ('x')"
    field = f"type('Typed', (Field,), {{'field_type': {type_!r}}})()"
    run(
        start,
        f"migrator.migrate(migrator.alter_column_type('t', 'id', {field}), migrator.drop_column('t', 'a'))",
    )
    query = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'id'"
    assert rows(server, query) == [(type_,)]


@pytest.mark.parametrize(
    ("type_", "collation"), [("varchar(20)", "C"), ("text", "C"), ("int", None)]
)
def test_a_column_keeps_its_collation_with_another_type(server, run, type_, collation):
    field = f"type('Typed', (Field,), {{'field_type': {type_!r}}})()"
    run(
        COLUMN.format(type='varchar(10) COLLATE "C"', value="'7'"),
        f"migrator.migrate(migrator.alter_column_type('t', 'a', {field}, 'a::int' if {type_!r} == 'int' else None))",
    )
    query = "SELECT collname FROM pg_attribute LEFT JOIN pg_collation AS c ON c.oid = attcollation WHERE attrelid = 't'::regclass AND attname = 'a'"
    assert rows(server, query) == [(collation,)]


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("alter_column_type('t', 'a', IntegerField())", "invalid input syntax for type integer"),
        ("alter_column_type('t', 'a', IntegerField(), 'a::int')", "invalid input syntax"),
        ("alter_column_type('t', 'id', SmallIntegerField())", "smallint out of range"),
        ("add_constraint('t', 'c', Check('100 / (id - 2) < 7'))", "division by zero"),
    ],
)
def test_plan_and_up_name_a_value_that_does_not_fit(server, make_project, verb, words):
    with server.connected() as connection:
        connection.execute(COLUMN.format(type="text", value="'x'"))
        connection.execute("INSERT INTO t VALUES (70000, '7')")
    project = make_project({"a": migration(f"migrator.migrate(migrator.{verb})")})
    runner = Runner(project, server, Patience(5), backup=False)
    with pytest.raises(
        RowsDoNotFit, match=f"^a row of 't' has a value that does not fit: .*{words}"
    ):
        runner.forecast()
    with pytest.raises(MigrationError, match=words):
        runner.up()


def test_plan_does_not_hold_values_against_a_type_that_is_changed_first(run):
    start = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 7)"
    run(
        start,
        "migrator.migrate(migrator.alter_column_type('t', 'n', TextField()), "
        "migrator.add_constraint('t', 'c', Check(\"n <> 'a'\")))",
    )


def test_a_serial_column_with_a_constant_default_is_numbered_no_more(server, run):
    start = "CREATE TABLE t (id serial, a text); ALTER TABLE t ALTER id SET DEFAULT 5"
    run(start, "for _ in '12': migrator.migrate(migrator.add_column_default('t', 'id', 5))")
    assert rows(server, "SELECT count(*) FROM schema_history") == [(1,)]


@pytest.mark.parametrize(
    ("default", "value"),
    [("(1 < 2)", True), ("(0)", False), ("1", True), ("0 NOT NULL", False), ("(1 = 0)", False)],
)
def test_only_a_boolean_default_that_is_a_number_is_read_as_a_word(server, run, default, value):
    up = f"""
class Typed(Field):
    field_type = 'BOOLEAN'

migrator.migrate(migrator.add_column('t', 'b', Typed(null=True, constraints=[SQL('DEFAULT {default}')])))
"""
    run(COLUMN.format(type="text", value="'x'"), up)
    assert rows(server, "SELECT DISTINCT b FROM t") == [(value,)]


@pytest.mark.parametrize("kind", [CUT, LOST, FAIL])
def test_a_connection_that_fails_at_any_message_is_told_in_one_line(
    server, make_project, kind, capfd
):
    with server.connected() as connection, server.connected() as admin:
        connection.execute(COLUMN.format(type="text", value="'x'"))
        project = make_project({"a": migration(DROP)})
        wired = Wired(server.parameters, folder=server.folder)
        runner = Runner(project, wired, Patience(5), backup=False)
        for point in range(1, 1000):
            wired.wire = Wire(admin, kind, point)
            try:
                runner.forecast()
            except MigrationError as exc:
                assert isinstance(exc, (DatabaseFailed, MigrationFailed)) or kind == FAIL, point
                assert "\n" not in str(exc)
            if wired.wire.sent < point:
                break
        assert point > 20
    assert capfd.readouterr() == ("", "")
