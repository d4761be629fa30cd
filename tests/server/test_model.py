from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest
from peewee import IntegrityError, SqliteDatabase

from server.db.model import (
    IN_MEMORY,
    PERSISTENT,
    ExternalSession,
    Invitation,
    Meeting,
    ServerSettings,
    create_memory_tables,
    memory_database,
)
from tests.conftest import ROOT

GUEST = {
    "meeting_id": "mtg_1",
    "display_name": "Guest",
    "identity_key_public": "key",
    "signed_pre_key": "{}",
    "pre_keys": [{"id": 1}],
}


@pytest.fixture
def memory():
    create_memory_tables()
    create_memory_tables()  # safe twice
    yield
    memory_database.drop_tables(IN_MEMORY)


def test_every_thread_sees_the_guests(memory):
    ExternalSession.create(session_id="main", **GUEST)
    seen = []

    def guest(number):
        ExternalSession.create(session_id=str(number), **GUEST)
        seen.append(ExternalSession.get_by_id("main").pre_keys)
        memory_database.close()

    threads = [threading.Thread(target=guest, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[{"id": 1}]] * 8
    assert ExternalSession.select().count() == 9


def test_guests_outlive_the_connection_of_a_thread(memory):
    ExternalSession.create(session_id="main", **GUEST)
    memory_database.close()
    assert ExternalSession.select().count() == 1


def test_a_guest_stays_for_a_day_and_asks_for_nothing_yet(memory):
    session = ExternalSession.create(session_id="s", **GUEST)
    stay = session.expires_at - datetime.now(timezone.utc)
    assert timedelta(hours=23, minutes=59) < stay <= timedelta(hours=24)
    assert ExternalSession.get().admitted is None


def test_another_process_sees_no_guest(memory, tmp_path):
    ExternalSession.create(session_id="main", **GUEST)
    code = (
        "from server.db.model import *\n"
        "create_memory_tables()\n"
        "print(ExternalSession.select().count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "0\n", done.stderr
    assert list(tmp_path.iterdir()) == []  # and no file has its name


@pytest.fixture
def database():
    database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
    with database.bind_ctx(PERSISTENT), database.connection_context():
        database.create_tables(PERSISTENT)
        yield database


def test_settings_have_defaults(database):
    settings = ServerSettings.create()
    assert (settings.id, settings.server_name, settings.registration_mode) == (
        1,
        "Meeting Server",
        "open",
    )
    assert settings.allowed_email_suffixes == []


def test_two_invitations_to_one_address_but_never_one_token(database):
    later = datetime.now(timezone.utc) + timedelta(days=1)
    for token in ("123456", "123457"):
        Invitation.create(email="a@example.com", token=token, expires_at=later, invited_by="u")
    with pytest.raises(IntegrityError):
        Invitation.create(email="b@example.com", token="123457", expires_at=later, invited_by="u")


def test_invitation_tokens_of_meetings_are_unique(database):
    when = datetime.now(timezone.utc)
    row = {"title": "t", "created_by": "u", "start_time": when, "end_time": when}
    Meeting.create(meeting_id="mtg_1", invitation_token="x", **row)
    with pytest.raises(IntegrityError):
        Meeting.create(meeting_id="mtg_2", invitation_token="x", **row)
