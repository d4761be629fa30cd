"""Signed requests: what is refused, and that nothing counts twice."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timezone

import pytest
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from server.nonces import BUCKET, KEPT, Nonces
from tests.server.world import MEETING, Answer, User, migrate

ALL = ("@method", "@authority", "@path", "@query", "content-digest")


class Message:
    def __init__(self, method, url, headers):
        self.method, self.url, self.headers = method, url, headers


def sign(user: User, method="POST", path="/meetings", body: bytes | None = None, **options):
    """Headers of a request; each option leaves the right way at one point."""
    if body is None:
        body = json.dumps(MEETING).encode() if method == "POST" else b""
    digest = base64.b64encode(hashlib.sha256(options.pop("digest_of", body)).digest()).decode()
    headers = {"Host": f"127.0.0.1:{user.api.port}", "Content-Digest": f"sha-256=:{digest}:"}
    covered = options.pop("covered", ALL)
    host = options.pop("host", headers["Host"])
    secret = options.pop("secret", user.secret).encode()
    keys = {user.client_id: secret, **options.pop("keys", {})}
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.HMAC_SHA256,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys=keys),
    )
    created = options.pop("created", None)
    if created is not None:
        created = datetime.fromtimestamp(created, timezone.utc)
    options = {"key_id": user.client_id, "nonce": secrets.token_hex(8), **options}
    message = Message(options.pop("signed_method", method), f"http://{host}{path}", headers)
    signer.sign(
        message,
        created=created,
        covered_component_ids=covered,
        use_existing_digest=True,
        **options,
    )
    return headers


def send(
    user: User, method="POST", path="/meetings", body: bytes | None = None, **headers
) -> Answer:
    if body is None:
        body = json.dumps(MEETING).encode() if method == "POST" else b""
    return user.api.raw(method, path, body, **headers)


def rows(path, table="nonce_cache") -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


NOW = time.time
NONCES = "SELECT count(*) FROM nonce_cache"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({"secret": "another"}, "invalid_signature", id="another secret"),
        pytest.param({"covered": ALL[1:]}, "invalid_signature", id="method not covered"),
        pytest.param({"covered": (*ALL[:1], *ALL[2:])}, "invalid_signature", id="host not covered"),
        pytest.param({"covered": (*ALL[:3], ALL[4])}, "invalid_signature", id="query not covered"),
        pytest.param({"covered": ALL[:4]}, "invalid_signature", id="body not covered"),
        pytest.param({"nonce": None}, "unsigned", id="no nonce"),
        pytest.param({"nonce": ""}, "unsigned", id="an empty nonce"),
        pytest.param({"nonce": "n" * 201}, "unsigned", id="a long nonce"),
        pytest.param({"created": 1}, "request_expired", id="of 1970"),
        pytest.param({"created": "-301"}, "request_expired", id="too old"),
        pytest.param({"created": "+310"}, "request_expired", id="too far ahead"),
        pytest.param({"host": "elsewhere.example"}, "invalid_signature", id="for another host"),
        pytest.param({"signed_method": "PUT"}, "invalid_signature", id="for another method"),
        pytest.param({"digest_of": b"{}"}, "invalid_digest", id="another body"),
    ],
)
def test_a_wrong_signature_is_refused_and_uses_no_nonce(user, options, code):
    created = options.get("created")
    if isinstance(created, str):
        options = {**options, "created": int(NOW()) + int(created)}
    before = user.api.rows(NONCES)
    answer = send(user, **sign(user, **options))
    assert (answer.status, answer.code) == (401, code)
    assert user.api.rows(NONCES) == before


@pytest.mark.parametrize("late", [-290, 290])
def test_a_clock_may_be_five_minutes_wrong(user, late):
    assert send(user, **sign(user, created=int(NOW()) + late)).status == 201


def test_public_url_says_which_host_is_signed(serve, path):
    migrate(path)
    api = serve(PUBLIC_URL="https://meet.example.org").ready()
    user = api.user()
    assert send(user, **sign(user)).code == "invalid_signature"
    signed = sign(user, host="meet.example.org")
    made = send(user, **signed)
    assert made.status == 201
    where = f"/meetings/{made.body['meeting_id']}/link"
    link = send(user, "POST", where, b"", **sign(user, "POST", where, b"", host="meet.example.org"))
    assert link.body["url"] == f"https://meet.example.org/join/{link.body['token']}"


def test_a_signature_is_for_its_query(user):
    headers = sign(user, "GET", "/meetings?filter=mine")
    assert send(user, "GET", "/meetings?filter=past", **headers).code == "invalid_signature"
    assert send(user, "GET", "/meetings?filter=mine", **headers).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_counts_once(user, method):
    headers = sign(user, method)
    assert send(user, method, **headers).status < 300
    again = send(user, method, **headers)
    assert (again.status, again.code) == (401, "duplicate_request")


def test_a_nonce_that_a_wrong_request_brought_is_still_good(user):
    nonce = secrets.token_hex(8)
    assert send(user, **sign(user, nonce=nonce, secret="another")).status == 401
    assert send(user, **sign(user, nonce=nonce, digest_of=b"x")).status == 401
    assert send(user, **sign(user, nonce=nonce)).status == 201


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        pytest.param({"session_secret": ""}, "no_session", id="an empty secret"),
        pytest.param(
            {"expires_at": "2020-01-01 00:00:00.000 +00:00"}, "session_expired", id="over"
        ),
        pytest.param({"expires_at": "CURRENT_TIMESTAMP"}, "session_expired", id="unreadable"),
    ],
)
def test_a_session_that_is_no_longer_good_signs_nothing(shared, columns, code):
    if shared.database is not None and columns.get("expires_at") == "CURRENT_TIMESTAMP":
        pytest.skip("a date of PostgreSQL can always be read")
    user = shared.user(**columns)
    answer = send(user, "GET", **sign(user, "GET", secret=user.secret or "x"))
    assert answer.code == code


def test_an_old_session_without_an_end_is_renewed_by_use(serve, path):
    migrate(path)
    api = serve(PURGE_INTERVAL="0.1").ready()
    user = api.user(expires_at=None, last_used="2020-01-01 00:00:00")
    assert user("GET", "/sessions").status == 200
    for _ in range(100):
        with closing(sqlite3.connect(path)) as connection:
            (until, used) = connection.execute(
                "SELECT expires_at, last_used FROM client_sessions"
            ).fetchone()
        if until is not None:
            break
        time.sleep(0.05)
    assert until > used > "2026"


GARBAGE = [
    pytest.param({"Signature": "é"}, id="not ASCII"),
    pytest.param({"Signature": "sig=:é:"}, id="not ASCII inside"),
    pytest.param({"Signature_Input": "é"}, id="not ASCII input"),
    pytest.param({"Signature_Input": "pyhms=()"}, id="nothing covered"),
    pytest.param({"Signature_Input": f'pyhms=("@method");created={"9" * 400}'}, id="400 digits"),
    pytest.param({"Signature_Input": 'pyhms=("@method");created=999999999999999'}, id="far ahead"),
    pytest.param({"Signature_Input": 'pyhms=("@method");created=-99999999999999'}, id="long ago"),
    pytest.param({"Signature_Input": 'pyhms=("@method");created="x"'}, id="created is a text"),
    pytest.param({"Signature_Input": 'pyhms=("@method");created=1.5'}, id="created is a fraction"),
    pytest.param({"Signature_Input": 'pyhms=("@method");keyid=1'}, id="keyid is a number"),
    pytest.param({"Signature_Input": 'pyhms=("@query-param";name="x")'}, id="a parameter"),
    pytest.param({"Signature_Input": "pyhms=1"}, id="no list"),
    pytest.param({"Signature_Input": "pyhms"}, id="a flag"),
    pytest.param({"Signature_Input": "a=(), b=()", "Signature": "a=:AA==:, b=:AA==:"}, id="two"),
    pytest.param({"Signature": "pyhms=1"}, id="a number as signature"),
    pytest.param({"Signature": "pyhms=:====:"}, id="no base64"),
    pytest.param({"Signature": ""}, id="empty"),
    pytest.param({"Content_Digest": "é"}, id="digest not ASCII"),
    pytest.param({"Content_Digest": "sha-256=1"}, id="digest is a number"),
    pytest.param({"Content_Digest": "md5=:AA==:"}, id="another digest"),
    pytest.param({"Host": "é"}, id="host not ASCII"),
    pytest.param({"Host": "a b"}, id="host with a space"),
    pytest.param({"Authorization": "é", "Signature": "é"}, id="another scheme"),
]


@pytest.mark.parametrize("headers", GARBAGE)
def test_garbage_in_a_header_is_401_and_never_500(user, headers):
    good = {name.replace("-", "_"): value for name, value in sign(user).items()}
    answer = send(user, **{**good, **{k: v.encode("utf-8") for k, v in headers.items()}})
    assert answer.status in (400, 401), answer
    assert send(user, **headers_of_bytes(headers)).status in (400, 401)


def headers_of_bytes(headers):
    return {name: value.encode("utf-8") for name, value in headers.items()}


def test_two_headers_of_one_name_are_refused(user):
    with closing(socket.create_connection(("127.0.0.1", user.api.port))) as connection:
        lines = [f"{name}: {value}" for name, value in sign(user, "GET").items()]
        lines.append("Content-Digest: sha-256=:AA==:")
        connection.sendall("\r\n".join(["GET /meetings HTTP/1.1", *lines, "", ""]).encode())
        assert b"401" in connection.recv(1000).split(b"\r\n")[0]


def test_no_body_is_read_before_the_signature_is_verified(shared, user):
    """The answer comes while the body is still to come."""
    with closing(socket.create_connection(("127.0.0.1", shared.port), timeout=5)) as connection:
        connection.sendall(b"POST /meetings HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401")


def test_old_users_sign_with_the_secret_of_their_session(shared):
    user = shared.user("98789aa9-3b8c-4112-a8cf-83614feb1e73")
    assert user.meeting()["created_by"] == user.user_id


# Repeats, whatever happens in between.


def test_a_repeat_fails_after_a_restart(serve, path):
    migrate(path)
    api = serve().ready()
    user = api.user()
    headers = [sign(user), sign(user, "GET")]
    assert send(user, **headers[0]).status == 201
    assert send(user, "GET", **headers[1]).status == 200
    assert api.stop()[0] == 0
    user.api = serve(port=api.port).ready()
    for method, signed in zip(("POST", "GET"), headers):
        assert send(user, method, **signed).code == "duplicate_request"


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_a_repeat_fails_after_a_backup_was_restored(serve, path, is_running):
    migrate(path)
    api = serve().ready()
    user = api.user()
    backup = path.with_name("backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    headers = sign(user)
    assert send(user, **headers).status == 201
    if not is_running:
        api.stop()
    shutil.copy(backup, path.with_name("copy"))
    path.with_name("copy").replace(path)
    if is_running:
        time.sleep(1.5)
    else:
        user.api = api = serve(port=api.port)
    api.until(200)
    assert rows(path) == rows(path, "meetings") == 0
    assert send(user, **headers).code == "duplicate_request"
    assert send(user, **sign(user)).status == 201


def test_a_repeat_fails_after_the_file_moved_without_what_lies_beside(serve, path):
    migrate(path)
    api = serve().ready()
    user = api.user()
    headers = sign(user)
    assert send(user, **headers).status == 201
    api.stop()
    path.with_name(f"{path.name}.nonces").unlink()
    user.api = serve(port=api.port).ready()
    assert send(user, **headers).code == "duplicate_request"


def test_a_clock_that_is_set_back_after_a_purge_brings_nothing_back(tmp_path):
    path = tmp_path / "nonces"
    nonces = Nonces(path)
    assert nonces.use("n", 1_000_000)
    nonces.forget(1_000_000 + KEPT + 2 * BUCKET)
    assert not nonces.use("n", 1_000_000)
    nonces.close()
    later = Nonces(path)  # the next process, whose clock is at 1,000,000 again
    assert not later.use("n", 1_000_000)
    assert later.use("n", later.floor)
    later.close()


def test_only_what_is_too_old_is_forgotten(tmp_path):
    nonces = Nonces(tmp_path / "nonces")
    for second in range(0, KEPT, 10):
        assert nonces.use(f"n{second}", 1_000_000 + second)
    nonces.forget(1_000_000 + KEPT)
    for second in range(0, KEPT, 10):
        assert not nonces.use(f"n{second}", 1_000_000 + second)
    nonces.close()


def test_half_a_line_of_a_power_cut_is_left_out(tmp_path):
    path = tmp_path / "nonces"
    path.write_text("0 floor\n1000 12\n10")
    nonces = Nonces(path)
    assert nonces.use("n", 1000)
    nonces.close()


def test_a_clock_that_was_ahead_is_told_at_the_start(serve, path):
    migrate(path)
    path.with_name(f"{path.name}.nonces").write_text(f"{int(NOW()) + 10_000_000} floor\n")
    api = serve().ready()
    assert "the clock was set back: signed requests are refused until" in api.log.read_text()
    assert api.user()("GET", "/sessions").code == "duplicate_request"


def test_the_client_of_the_documentation_is_a_program(user, tmp_path):
    session = tmp_path / "session.json"
    session.write_text(json.dumps({"client_id": user.client_id, "session_secret": user.secret}))
    program = [sys.executable, "docs/client.py", user.api.url, str(session)]
    done = subprocess.run(
        [*program, "POST", "/meetings", json.dumps(MEETING)], capture_output=True, text=True
    )
    assert json.loads(done.stdout)["title"] == MEETING["title"], done.stderr
    done = subprocess.run([*program, "GET", "/meetings/x"], capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "not_found")
