"""Guests: the link, the lobby, and who lets them in."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.world import OVER, Guest, migrate, origin


@pytest.fixture
def meeting(user):
    return user.meeting(allow_external=True)


@pytest.fixture
def guest(shared, meeting):
    return Guest(shared, meeting["invitation_token"])


def decide(user, meeting, guest, what: str):
    return user("POST", f"/meetings/{meeting['meeting_id']}/guests/{guest.session_id}/{what}")


def test_a_guest_asks_and_is_let_in(user, meeting, guest):
    assert guest("GET").body["admitted"] is None
    assert decide(user, meeting, guest, "admit").status == 409  # does not ask
    assert guest("POST", "/admission").body["admitted"] is False
    (seen,) = user("GET", f"/meetings/{meeting['meeting_id']}/guests").body
    assert (seen["display_name"], seen["admitted"]) == ("Gast", False)
    assert decide(user, meeting, guest, "admit").body["admitted"] is True
    assert guest("GET").body["admitted"] is True
    assert guest("POST", "/admission").body["admitted"] is True
    for second in ("admit", "decline"):
        refused = decide(user, meeting, guest, second)
        assert (refused.status, refused.code) == (409, "decided")
    assert guest("DELETE").status == 204
    assert guest("GET").status == 401


def test_a_declined_guest_may_ask_again_after_five_seconds(user, meeting, guest):
    guest("POST", "/admission")
    assert decide(user, meeting, guest, "decline").body["admitted"] is None
    refused = guest("POST", "/admission")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
    time.sleep(5.05)
    assert guest("POST", "/admission").body["admitted"] is False
    assert decide(user, meeting, guest, "admit").status == 200


def test_a_guest_who_waits_hears_of_the_decision_at_once(user, meeting, guest):
    guest("POST", "/admission")
    heard = []
    waiting = threading.Thread(target=lambda: heard.append(guest("GET", "?wait=20")))
    waiting.start()
    time.sleep(0.3)
    assert not heard
    started = time.monotonic()
    decide(user, meeting, guest, "admit")
    waiting.join()
    assert time.monotonic() - started < 2
    assert heard[0].body["admitted"] is True
    assert guest("GET", "?wait=20").body["admitted"] is True  # nothing to wait for


def test_one_of_many_decisions_counts(user, meeting, guest):
    guest("POST", "/admission")
    found = []
    threads = [
        threading.Thread(
            target=lambda what=what: found.append(decide(user, meeting, guest, what).status)
        )
        for what in ("admit", "decline") * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [409] * 7


def test_only_owner_and_managers_see_and_decide(user, other, shared, meeting, guest, admin):
    where = f"/meetings/{meeting['meeting_id']}"
    guest("POST", "/admission")
    assert other("GET", f"{where}/guests").status == 404
    user("PUT", f"{where}/participants/{other.user_id}", {})
    assert other("GET", f"{where}/guests").status == 403
    assert decide(other, meeting, guest, "admit").status == 403
    assert shared("GET", f"{where}/guests").status == 401
    elsewhere = other.meeting()
    assert decide(other, elsewhere, guest, "admit").status == 404
    user("PUT", f"{where}/participants/{other.user_id}", {"role": "meeting_manager"})
    assert decide(other, meeting, guest, "admit").body["admitted_by"] == other.user_id
    assert len(admin("GET", f"{where}/guests").body) == 1


def test_a_guest_shows_the_own_secret_in_a_header(shared, meeting, guest):
    stranger = Guest(shared, meeting["invitation_token"])
    for wrong in (stranger.secret, "é".encode(), "x" * 4000, " "):
        bearer = b"Bearer " + (wrong if isinstance(wrong, bytes) else wrong.encode())
        answer = shared("GET", f"/guests/{guest.session_id}", Authorization=bearer, **origin())
        assert answer.status == 401
    assert shared("GET", f"/guests/{guest.session_id}", **origin()).status == 401
    assert (
        shared("GET", f"/guests/{guest.session_id}?secret={guest.secret}", **origin()).status == 401
    )
    assert guest("GET").status == 200
    assert guest.secret not in shared.log.read_text()


def test_the_link_tells_title_and_times_only(shared, user):
    made = user.meeting(
        allow_external=True, description="secret", invited_participants=["a@example.org"]
    )
    answer = shared("GET", f"/join/{made['invitation_token']}", **origin())
    assert answer.body == {
        "title": "Kick-off",
        "start_time": "2036-12-01T10:00:00Z",
        "end_time": "2036-12-01T11:00:00Z",
    }


def test_a_link_is_rotated_and_closed(shared, user, other):
    meeting_id = user.meeting()["meeting_id"]
    where = f"/meetings/{meeting_id}/link"
    assert other("POST", where).status == 404
    first, second = (user("POST", where).body for _ in range(2))
    assert first["url"].endswith(f"/join/{first['token']}")
    assert shared("GET", f"/join/{first['token']}", **origin()).status == 404
    Guest(shared, second["token"])
    assert user("DELETE", where).status == 204
    for method, document in (("GET", None), ("POST", {"display_name": "x"})):
        answer = shared(method, f"/join/{second['token']}", document, **origin())
        assert answer.status == 404
    assert user("GET", f"/meetings/{meeting_id}").body["allow_external"] is False


def test_no_guest_joins_a_meeting_that_is_over(shared, user):
    token = user.meeting(**OVER, allow_external=True)["invitation_token"]
    assert shared("GET", f"/join/{token}", **origin()).status == 404
    assert shared("POST", f"/join/{token}", {"display_name": "x"}, **origin()).status == 404


def test_a_guest_stays_until_the_meeting_is_over(shared, user):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    token = user.meeting(start_time="2020-01-01T00:00:00Z", end_time=soon, allow_external=True)
    late = Guest(shared, token["invitation_token"])
    assert late("GET").body["expires_at"] == soon
    time.sleep(2.1)
    assert late("GET").status == 401
    assert late("POST", "/admission").status == 401


def test_guests_go_with_their_meeting(user, meeting, guest):
    assert user("DELETE", f"/meetings/{meeting['meeting_id']}").status == 204
    assert guest("GET").status == 401


def test_a_meeting_takes_a_hundred_guests(shared, meeting):
    found = [
        shared(
            "POST", f"/join/{meeting['invitation_token']}", {"display_name": "x"}, **origin()
        ).status
        for _ in range(101)
    ]
    assert found == [201] * 100 + [409]


def test_wrong_links_are_limited(shared, meeting):
    here = origin()
    found = [shared("GET", f"/join/wrong{number}", **here).status for number in range(12)]
    assert found == [404] * 10 + [429] * 2
    assert shared("GET", f"/join/{meeting['invitation_token']}", **here).status == 429
    assert shared("GET", f"/join/{meeting['invitation_token']}", **origin()).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="no name"),
        pytest.param({"display_name": "x" * 256}, id="a long name"),
        pytest.param({"display_name": "x", "signed_pre_key": "k" * 4097}, id="a large key"),
        pytest.param({"display_name": "x", "pre_keys": [1] * 101}, id="many keys"),
        pytest.param({"display_name": "x", "admitted": True}, id="not for guests to set"),
    ],
)
def test_a_guest_of_a_wrong_shape_is_refused(shared, meeting, fields):
    answer = shared("POST", f"/join/{meeting['invitation_token']}", fields, **origin())
    assert answer.status == 422


def test_guests_are_seen_by_every_thread_and_gone_after_a_restart(serve, path):
    migrate(path)
    api = serve().ready()
    made = api.user().meeting(allow_external=True)
    guest = Guest(api, made["invitation_token"])
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(guest("GET").status)) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * 24
    assert api.stop()[0] == 0
    for file in path.parent.iterdir():
        assert b"ExternalSessions" not in file.read_bytes()
        assert guest.secret.encode() not in file.read_bytes()
    serve(port=api.port).ready()
    assert guest("GET").status == 401


def test_of_many_who_register_at_once_no_more_get_in_than_there_is_room(shared, user):
    token = user.meeting(allow_external=True)["invitation_token"]

    def register(number: int) -> int:
        return shared("POST", f"/join/{token}", {"display_name": f"{number}"}, **origin()).status

    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(register, range(150)))
    assert found == {201: 100, 409: 50}
