"""Limits against the open internet: large, slow, many."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import threading
import time
import urllib.request
from contextlib import ExitStack, closing

import pytest
from h2.connection import H2Connection
from h2.events import ResponseReceived

from tests.server.world import Guest, free_port, migrate, origin

CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


def connect(api) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), timeout=30)


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def send_chunks(connection: socket.socket, most: int) -> int:
    """Send until the server closes; gives the number of bytes that it took."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            connection.sendall(CHUNK)
            sent += len(CHUNK)
    return sent


@pytest.mark.parametrize(
    ("where", "status"),
    [("/sign-in", b"413"), ("/meetings", b"401"), ("/nowhere", b"404")],
)
def test_a_gigabyte_in_chunks_is_refused_in_little_memory(shared, where, status):
    before = shared.memory()
    answers = []
    with closing(connect(shared)) as connection:
        connection.sendall(head("POST", where, "Transfer-Encoding: chunked"))
        # A client that sends on and listens at the same time, as curl does.
        listening = threading.Thread(target=lambda: answers.append(connection.recv(4096)))
        listening.start()
        send_chunks(connection, 1 << 30)
        listening.join()
    assert answers[0].split()[1] == status
    assert b"connection: close" in answers[0].lower()
    assert shared.memory() - before < 20 * 2**20
    assert shared("GET", "/healthz").status == 200


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(shared):
    for length in (65_537, 10**12, 10**400):
        with closing(connect(shared)) as connection:
            connection.sendall(head("POST", "/sign-in", f"Content-Length: {length}"))
            first = connection.recv(4096)
            assert first.split()[1] in (b"413", b"400"), first


def test_a_body_up_to_the_limit_is_taken(shared):
    document = {"email": "x" * 65_000}
    assert shared("POST", "/sign-in", document).status == 422


def test_a_head_that_does_not_end_is_closed(serve, path):
    migrate(path)
    api = serve().ready()
    started = time.monotonic()
    with closing(connect(api)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(40):  # a byte now and then does not make the time longer
                connection.sendall(b"X")
                connection.settimeout(0.5)
                try:
                    if not connection.recv(100):
                        break
                except TimeoutError:
                    continue
    assert 8 < time.monotonic() - started < 15


def test_a_long_head_is_refused(shared):
    with closing(connect(shared)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert connection.recv(100).split()[1] in (b"400", b"431")


def test_a_half_sent_body_does_not_hold_up_the_end(api):
    with ExitStack() as stack:
        for path in ("/sign-in", "/meetings", "/nowhere"):
            connection = stack.enter_context(closing(connect(api)))
            connection.sendall(head("POST", path, "Content-Length: 100") + b"half")
        time.sleep(0.3)
        started = time.monotonic()
        status, log = api.stop(signal.SIGTERM)
    assert (status, "Traceback" in log) == (0, False)
    assert time.monotonic() - started < 5


def test_a_long_poll_and_a_slow_head_do_not_hold_up_the_end(api):
    guest = Guest(api, api.user().meeting(allow_external=True)["invitation_token"])
    guest("POST", "/admission")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(guest("GET", "?wait=30")))
    waiting.start()
    with closing(connect(api)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        time.sleep(0.3)
        started = time.monotonic()
        assert api.stop()[0] == 0
    waiting.join()
    assert time.monotonic() - started < 5
    assert answers[0].body["admitted"] is False


def test_many_slow_clients_leave_room_for_others(shared):
    with ExitStack() as stack:
        for _ in range(400):
            connection = stack.enter_context(closing(connect(shared)))
            connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        started = time.monotonic()
        assert shared("GET", "/healthz").status == 200
        assert shared("GET", "/settings", **origin()).status == 200
        assert time.monotonic() - started < 1


def test_when_there_is_no_room_the_oldest_quiet_connection_goes(serve, path):
    import resource

    migrate(path)
    api = serve(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (320, 320))).ready()
    with ExitStack() as stack:
        quiet = [stack.enter_context(closing(connect(api))) for _ in range(200)]
        time.sleep(0.5)
        for _ in range(5):
            assert api("GET", "/settings").status == 200
        quiet[0].settimeout(1)
        assert quiet[0].recv(10) == b""
    assert "Traceback" not in api.log.read_text()


def test_health_answers_at_once_while_others_wait_for_the_write_lock(serve, path):
    migrate(path)
    api = serve(BUSY_TIMEOUT="3").ready()
    users = [api.user() for _ in range(40)]
    with closing(sqlite3.connect(path, isolation_level=None)) as holder, ExitStack() as stack:
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(200):
            connection = stack.enter_context(closing(connect(api)))
            connection.sendall(head("POST", "/meetings", "Content-Length: 1000") + b"{")
        signed = [
            threading.Thread(target=lambda u=u: u("POST", "/calls", {}), daemon=True) for u in users
        ]
        for thread in signed:
            thread.start()
        time.sleep(0.3)
        for where in ("/healthz", "/readyz", "/version"):
            started = time.monotonic()
            assert api("GET", where).status == 200
            assert time.monotonic() - started < 1
        started = time.monotonic()
        assert users[0]("GET", "/meetings").status == 200
        assert time.monotonic() - started < 1
        for thread in signed:
            thread.join()


def test_public_reads_are_limited(shared):
    here = origin()
    found = [shared("GET", "/settings", **here).status for _ in range(301)]
    assert found == [200] * 300 + [429]


def test_unknown_sessions_are_limited(shared, user):
    stranger = shared.user()
    stranger._client.signer.key_resolver.private_keys[stranger.client_id] = b"wrong"
    here = origin()
    found = [stranger("GET", "/meetings", **here).status for _ in range(121)]
    assert found == [401] * 120 + [429]
    assert user("GET", "/meetings", **here).status == 200  # who signs right is served


def test_only_a_trusted_proxy_says_where_a_request_comes_from(api):
    found = [api("GET", "/settings", **origin()).status for _ in range(301)]
    assert found[-1] == 429


def test_metrics_are_on_their_own_port(serve, path):
    migrate(path)
    port = free_port()
    api = serve(METRICS_PORT=str(port)).ready()
    api("GET", "/settings")
    assert api("GET", "/metrics").status == 404
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'meeting_requests_total{method="GET",route="/settings",status="200"}' in text
    assert "meeting_ready 1" in text
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/settings")


def test_websockets_are_turned_away(shared):
    with closing(connect(shared)) as connection:
        connection.sendall(
            head(
                "GET", "/settings", "Connection: Upgrade", "Upgrade: websocket",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13",
            )
        )  # fmt: skip
        assert connection.recv(100).split()[1] == b"403"
    assert "Traceback" not in shared.log.read_text()


def test_a_wrong_method_is_told_the_right_ones(shared):
    for where, allowed in (
        ("/settings", "GET, PATCH"),
        ("/meetings/x", "DELETE, GET, PATCH"),
        ("/meetings/x.ics", "GET"),
    ):
        answer = shared("OPTIONS", where)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


def test_http_2_is_left_to_the_proxy(shared):
    client = H2Connection()
    client.initiate_connection()
    fields = {":method": "GET", ":path": "/settings", ":scheme": "http", ":authority": "x"}
    client.send_headers(1, list(fields.items()), end_stream=True)
    with closing(connect(shared)) as connection:
        connection.sendall(client.data_to_send())
        statuses = []
        while not statuses:
            events = client.receive_data(connection.recv(65536))
            statuses += [e.headers for e in events if isinstance(e, ResponseReceived)]
    assert dict(statuses[0])[b":status"] == b"505"


def test_every_error_has_one_shape(shared, user):
    for method, where, status, code in (
        ("GET", "/nope", 404, "not_found"),
        ("PUT", "/meetings", 405, "method_not_allowed"),
        ("GET", "/redoc", 404, "not_found"),
        ("GET", "/meetings", 401, "unsigned"),
        ("GET", "/guests/nope", 401, "no_guest"),
        ("POST", "/sign-in", 422, "invalid"),
    ):
        answer = shared(method, where, {} if method == "POST" else None, **origin())
        assert (answer.status, answer.code) == (status, code)
        assert answer.body["error"]["message"]
    assert user("GET", "/meetings/nope").code == "not_found"


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"{", b'{"email": "\\ud800"}', b"[" * 50_000, b"1" * 5000, b"null"]
)
def test_a_body_that_is_no_json_of_ours_is_422(shared, body):
    assert shared.raw("POST", "/sign-in", body, **origin()).status == 422
