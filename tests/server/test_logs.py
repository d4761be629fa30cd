"""The log of the server: every line has a time, a request has an id, and nothing is secret."""

from __future__ import annotations

import re
import socket
import sqlite3
import time
from contextlib import closing

import pytest

from tests.server.world import Guest, migrate, origin

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4} [A-Z]+ (\[([\w.-]+)\] )?\S")


@pytest.fixture
def debug(serve, path):
    migrate(path)
    return serve(LOG_LEVEL="debug", TRUSTED_PROXIES="127.0.0.1").ready()


def test_an_answer_names_the_id_of_its_line_in_the_log(debug):
    first, second = (debug("GET", "/settings").headers["X-Request-ID"] for _ in range(2))
    assert first != second
    assert debug.logged(f"[{second}] GET /settings 200")


def test_a_line_tells_the_route_and_not_the_path(debug):
    debug("GET", "/join/the-token-of-a-meeting")
    assert debug.logged("GET /join/{token} 404")
    assert "the-token-of-a-meeting" not in debug.log.read_text()


def test_the_id_of_a_trusted_proxy_counts_if_it_is_one(debug):
    assert debug("GET", "/healthz", X_Request_ID="a1-b2").headers["X-Request-ID"] == "a1-b2"
    for bad in ("a b", "x" * 65, "é"):
        given = bad.encode("latin-1")
        assert debug("GET", "/healthz", X_Request_ID=given).headers["X-Request-ID"] != bad


def test_the_id_of_anybody_else_does_not_count(api):
    assert api("GET", "/healthz", X_Request_ID="mine").headers["X-Request-ID"] != "mine"


def test_what_is_changed_is_in_the_log_without_being_asked_for(api):
    user = api.user()
    meeting_id = user.meeting()["meeting_id"]
    user("GET", "/meetings")
    assert user("DELETE", f"/meetings/{meeting_id}").status == 204
    assert api.logged("DELETE /meetings/{meeting_id} 204")
    assert [re.sub(r"^.*\] | \d+ ms$", "", line) for line in api.logged("/meetings")] == [
        "POST /meetings 201",
        "DELETE /meetings/{meeting_id} 204",
    ]


def test_an_error_of_ours_has_a_traceback_with_the_id_of_the_answer(api, path):
    user = api.user()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON meetings "
            "BEGIN SELECT no_such_function(NEW.title); END"
        )
    answer = user("POST", "/calls", {})
    assert (answer.status, answer.code) == (500, "internal")
    known = answer.headers["X-Request-ID"]
    assert api.logged(f"ERROR [{known}] Error in ASGI Framework")
    assert api.logged(f"ERROR [{known}] POST /calls 500")
    assert "Traceback" in api.log.read_text()


def test_a_client_that_hangs_up_is_no_error_of_ours(debug):
    for where in ("/sign-in", "/join/x", "/meetings"):
        with closing(socket.create_connection(("127.0.0.1", debug.port))) as connection:
            head = f"POST {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
            connection.sendall(head.encode() + b'{"a')
            time.sleep(0.2)
    assert debug.logged("POST /sign-in 408")
    debug.stop()
    log = debug.log.read_text()
    assert "Traceback" not in log
    assert " 500 " not in log


def test_no_line_holds_a_secret_and_no_client_writes_a_line(debug, path):
    owner = debug.user()
    meeting = owner.meeting(title="one\\ntwo", allow_external=True)
    guest = Guest(debug, meeting["invitation_token"], "Gast")
    assert guest("POST", "/admission").status == 200
    here = f"/meetings/{meeting['meeting_id']}/guests/{guest.session_id}"
    assert owner("POST", f"{here}/admit").status == 200
    assert guest("GET", "?wait=1").body["admitted"] is True
    debug.raw("GET", "/settings?code=123456", None, **origin())
    debug.raw("POST", "/sessions", '{"email": "a@x.org", "code": "654321"}', **origin())
    debug.raw("GET", "/x%0A2026-01-01%20forged", None, Signature="sig1=:c2lnbmVk:")
    assert debug.stop()[0] == 0
    log = debug.log.read_text()
    for secret in (
        owner.secret,
        meeting["invitation_token"],
        guest.secret,
        guest.session_id,
        "123456",
        "654321",
        "c2lnbmVk",
        "forged",
        "SELECT",
    ):
        assert secret not in log, secret
    for line in log.splitlines():
        assert LINE.match(line), line
