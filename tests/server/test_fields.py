from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from peewee import SqliteDatabase

from server.db.model import Meeting, ServerSettings
from tests.conftest import LEGACY, copy_legacy

UTC = timezone.utc
TEN = datetime(2025, 12, 12, 10, 0, tzinfo=UTC)


@pytest.fixture
def database():
    database = SqliteDatabase(":memory:")
    with database.bind_ctx([Meeting, ServerSettings]), database.connection_context():
        database.create_tables([Meeting, ServerSettings])
        yield database


def store(database, start_time, invited="[]"):
    database.execute_sql(
        "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time,"
        " invited_participants) VALUES ('mtg_1', 't', 'u', ?, '2025-12-12 11:00:00', ?)",
        (start_time, invited),
    )


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        pytest.param("2025-12-12 10:00:00.000 +00:00", TEN, id="the former ORM's"),
        pytest.param("2025-12-12 10:00:00", TEN, id="CURRENT_TIMESTAMP's"),
        pytest.param("2025-12-12T10:00:00.000Z", TEN, id="JavaScript's"),
        pytest.param("2025-12-12 12:00:00.000 +02:00", TEN, id="another zone"),
        pytest.param("2025-12-12 10:00:00.000000+00:00", TEN, id="ours"),
        pytest.param(
            "2025-12-12 10:00:00.026 +00:00", TEN + timedelta(milliseconds=26), id="milliseconds"
        ),
        pytest.param("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP", id="the old fault"),
        pytest.param("2025-02-30 10:00:00", "2025-02-30 10:00:00", id="no day of the calendar"),
        pytest.param("0001-01-01 00:00:00 +05:00", "0001-01-01 00:00:00 +05:00", id="before time"),
        pytest.param("soon", "soon", id="text"),
        pytest.param("", "", id="empty"),
        pytest.param(1765533600, 1765533600, id="a number"),
    ],
)
def test_a_stored_date_is_read_in_every_spelling(database, stored, read):
    store(database, stored)
    assert Meeting.get().start_time == read


def test_saving_a_row_keeps_a_text_that_is_no_date(database):
    store(database, "CURRENT_TIMESTAMP")
    meeting = Meeting.get()
    meeting.title = "new"
    meeting.save()
    assert database.execute_sql("SELECT title, start_time FROM meetings").fetchall() == [
        ("new", "CURRENT_TIMESTAMP")
    ]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(TEN.replace(tzinfo=None), id="naive is UTC"),
        pytest.param(TEN, id="aware"),
        pytest.param(TEN.astimezone(timezone(timedelta(hours=-5))), id="elsewhere"),
        pytest.param("2025-12-12T10:00:00.000Z", id="text in an old spelling"),
    ],
)
def test_dates_are_written_in_one_spelling(database, value):
    store(database, "2020-01-01 00:00:00")
    Meeting.update(start_time=value).execute()
    stored = database.execute_sql("SELECT start_time FROM meetings").fetchone()
    assert stored == ("2025-12-12 10:00:00.000000+00:00",)


def test_a_date_comes_back_as_it_was_written(database):
    moment = datetime.now(UTC)
    store(database, moment.isoformat())
    Meeting.update(end_time=moment).execute()
    assert Meeting.get().end_time == moment


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        pytest.param('["a","b"]', ["a", "b"], id="a list"),
        pytest.param("[]", [], id="empty"),
        pytest.param(None, [], id="NULL"),
        pytest.param("null", [], id="JSON's null"),
        pytest.param("a@example.com", ["a@example.com"], id="no JSON"),
        pytest.param('{"id": 1}', [{"id": 1}], id="no list"),
        pytest.param('["unclosed', ['["unclosed'], id="cut off"),
    ],
)
def test_a_json_column_reads_as_a_list(database, stored, read):
    store(database, "2025-12-12 10:00:00", stored)
    assert Meeting.get().invited_participants == read


def test_a_json_column_writes_a_list(database):
    store(database, "2025-12-12 10:00:00")
    Meeting.update(invited_participants=["é", 'say "hi"']).execute()
    assert database.execute_sql("SELECT invited_participants FROM meetings").fetchone() == (
        '["é","say \\"hi\\""]',
    )


@pytest.mark.parametrize("name", [name for name in LEGACY if name.startswith("after4")])
def test_old_rows_can_always_be_listed(name, path, connect):
    copy_legacy(name, path)
    database = SqliteDatabase(str(path))
    columns = {row[1] for row in connect().execute("PRAGMA table_info(meetings)")}
    assert "status" not in columns
    with database.bind_ctx([Meeting]), database.connection_context():
        meetings = list(Meeting.select())
    assert len(meetings) == 20
    assert {type(meeting.start_time) for meeting in meetings} == {datetime}
    assert {type(meeting.created_at) for meeting in meetings} == {datetime, str}
