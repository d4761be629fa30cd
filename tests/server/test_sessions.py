"""Signing in by e-mail, and the sessions of one's devices."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing

import pytest

from tests.conftest import copy_legacy
from tests.server.world import User, migrate, origin


def code_in_log(api, email: str, seconds: float = 3.0) -> str | None:
    """The newest code that the server wrote into its log for want of a mail server."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = re.findall(rf"to {re.escape(email)}: .*? (\d{{6}})\.", api.log.read_text())
        if found:
            return found[-1]
        time.sleep(0.02)
    return None


def sign_in(api, email: str) -> str:
    assert api("POST", "/sign-in", {"email": email}, **origin()).status == 202
    code = code_in_log(api, email.lower())
    assert code, api.log.read_text()
    return code


def session(api, email: str, code: str, **fields):
    return api("POST", "/sessions", {"email": email, "code": code, **fields}, **origin())


def test_an_address_signs_in_with_the_code_that_it_was_sent(shared):
    code = sign_in(shared, "Fresh@Example.org")
    made = session(shared, "fresh@example.org", code, device_info="a phone")
    assert made.status == 201
    assert made.body["user_id"] == "fresh@example.org"
    user = User(shared, "fresh@example.org", made.body["client_id"], made.body["session_secret"])
    (device,) = user("GET", "/sessions").body
    assert (device["device_info"], device["is_this"]) == ("a phone", True)
    assert session(shared, "fresh@example.org", code).status == 401  # a code counts once


def test_five_wrong_codes_end_the_right_one(shared):
    code = sign_in(shared, "tries@example.org")
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for _ in range(5):
        assert session(shared, "tries@example.org", wrong).code == "wrong_code"
    assert session(shared, "tries@example.org", code).code == "wrong_code"


def test_the_answer_is_the_same_for_every_address(serve, path):
    migrate(path)
    set_mode(path, "invitation_only")
    api = serve().ready()
    answers = [
        api("POST", "/sign-in", {"email": email}) for email in ("a@example.org", "b@example.org")
    ]
    assert answers[0][:2] == answers[1][:2]
    wrong = [
        api("POST", "/sessions", {"email": email, "code": "000000"})
        for email in ("a@example.org", "b@example.org")
    ]
    assert wrong[0][:2] == wrong[1][:2]
    assert code_in_log(api, "a@example.org", 0.3) is None


def set_mode(path, mode: str, suffixes: str = "[]") -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE ServerSettings SET registration_mode = ?, allowed_email_suffixes = ?",
            (mode, suffixes),
        )


def add_invitation(path, email: str, token: str, expires: str = "+1 day", used: int = 0) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO Invitations (email, token, expires_at, used, invited_by) "
            "VALUES (?, ?, datetime('now', ?), ?, 'u')",
            (email, token, expires, used),
        )


def test_each_mode_lets_in_whom_it_names(serve, path):
    migrate(path)
    api = serve(ADMINS="boss@elsewhere.org").ready()
    set_mode(path, "email_suffix", '["@example.org", ".example.net"]')
    add_invitation(path, "guest@elsewhere.org", "123456")
    add_invitation(path, "late@elsewhere.org", "123457", expires="-1 day")
    for mode, lets_in, keeps_out in (
        (
            "email_suffix",
            ["a@example.org", "b@deep.example.net", "boss@elsewhere.org"],
            ["a@evil-example.org", "a@sub.example.org", "x@elsewhere.org"],
        ),
        ("invitation_only", ["guest@elsewhere.org"], ["late@elsewhere.org", "c@example.org"]),
    ):
        set_mode(path, mode, '["@example.org", ".example.net"]')
        for email in lets_in + keeps_out:
            assert api("POST", "/sign-in", {"email": email}).status == 202
        for email in lets_in:
            assert code_in_log(api, email), email
        for email in keeps_out:
            assert code_in_log(api, email, 0.1) is None, email
        time.sleep(0.1)


def test_whoever_was_here_before_comes_in_whatever_the_mode_is_by_now(serve, path):
    migrate(path)
    api = serve().ready()
    assert session(api, "a@example.org", sign_in(api, "a@example.org")).status == 201
    set_mode(path, "invitation_only")
    before = code_in_log(api, "a@example.org")
    for _ in range(3):
        api("POST", "/sign-in", {"email": "a@example.org"})
    time.sleep(0.3)
    assert code_in_log(api, "a@example.org") != before


def test_an_invitation_counts_once_as_the_code(serve, path):
    migrate(path)
    set_mode(path, "invitation_only")
    api = serve().ready()
    add_invitation(path, "A@example.org", "123456")
    add_invitation(path, "b@example.org", "123457", expires="-1 minute")
    assert session(api, "b@example.org", "123456").status == 401  # of another address
    assert session(api, "b@example.org", "123457").status == 401  # over
    assert session(api, "a@example.org", "123456").status == 201
    assert session(api, "a@example.org", "123456").status == 401
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT used, used_at IS NOT NULL FROM Invitations ORDER BY id"
        assert connection.execute(sql).fetchall() == [(1, 1), (0, 0)]


def test_old_users_keep_their_ids(serve, path):
    copy_legacy("synced3", path)
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        email, uuid = connection.execute("SELECT email, uuid FROM Users LIMIT 1").fetchone()
        connection.execute("UPDATE Users SET active = 0 WHERE email = 'user1@example.com'")
        connection.execute(
            "INSERT INTO user_links (email, user_id) VALUES ('link@x.org', ?)", [uuid]
        )
    api = serve().ready()
    made = session(api, email.upper(), sign_in(api, email))
    assert made.body["user_id"] == uuid
    assert session(api, "link@x.org", sign_in(api, "link@x.org")).body["user_id"] == uuid
    user = User(api, uuid, made.body["client_id"], made.body["session_secret"])
    invited = api.user("host@example.org").meeting(invited_participants=[email])
    assert user("GET", f"/meetings/{invited['meeting_id']}").status == 200
    api("POST", "/sign-in", {"email": "user1@example.com"})
    assert code_in_log(api, "user1@example.com", 0.3) is None  # the account was closed


def test_a_code_is_good_again_when_the_sign_in_could_not_be_written(serve, path):
    migrate(path)
    api = serve(BUSY_TIMEOUT="0.2").ready()
    code = sign_in(api, "a@example.org")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert session(api, "a@example.org", code).code == "busy"
    assert session(api, "b@example.org", "000000").code == "wrong_code"  # takes no lock
    holder.close()
    assert session(api, "a@example.org", code).status == 201


def test_a_user_signs_out_own_devices_and_no_others(shared, user, other):
    tablet = shared.user(user.user_id)
    assert other("DELETE", f"/sessions/{tablet.client_id}").status == 404
    assert user("DELETE", f"/sessions/{tablet.client_id}").status == 204
    assert tablet("GET", "/sessions").code == "no_session"
    assert [d["client_id"] for d in user("GET", "/sessions").body] == [user.client_id]


def test_a_user_has_twenty_devices_at_most(serve, path):
    migrate(path)
    api = serve().ready()
    for number in range(20):
        api.user("a@example.org", last_used=f"2026-01-{number + 1:02} 00:00:00")
    assert session(api, "a@example.org", sign_in(api, "a@example.org")).status == 201
    with closing(sqlite3.connect(path)) as connection:
        oldest, count = connection.execute(
            "SELECT min(last_used), count(*) FROM client_sessions"
        ).fetchone()
    assert (oldest, count) == ("2026-01-02 00:00:00", 20)


def test_three_codes_in_ten_minutes_and_no_fourth_mail(shared):
    for _ in range(5):
        assert shared("POST", "/sign-in", {"email": "many@example.org"}, **origin()).status == 202
    time.sleep(0.3)
    assert shared.log.read_text().count("to many@example.org:") == 3


@pytest.mark.parametrize(
    ("where", "document", "most"),
    [
        ("/sign-in", {"email": "rate@example.org"}, 10),
        ("/sessions", {"email": "rate@example.org", "code": "000000"}, 20),
    ],
)
def test_signing_in_is_limited_for_each_address_of_the_network(shared, where, document, most):
    here = origin()
    found = [shared("POST", where, document, **here) for _ in range(most + 1)]
    assert found[most - 1].status in (202, 401)
    assert found[most].status == 429
    assert int(found[most].headers["Retry-After"]) <= 60
    assert shared("POST", where, document, **origin()).status in (202, 401)
