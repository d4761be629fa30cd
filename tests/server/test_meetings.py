"""Meetings, over HTTP."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from icalendar import Calendar

from tests.conftest import copy_legacy
from tests.server.world import MEETING, OVER, migrate


def test_a_meeting_keeps_every_field_that_a_user_may_set(user):
    fields = {
        "title": "Größe 📏",
        "description": "a\nb",
        "invited_participants": ["a@example.com", "some-id"],
        "voice_only": True,
        "mute_on_join": True,
        "allow_external": True,
    }
    made = user.meeting(**fields)
    found = user("GET", f"/meetings/{made['meeting_id']}").body
    assert found == made
    assert {name: found[name] for name in fields} == fields
    assert found["meeting_id"].startswith("mtg_")
    assert found["created_by"] == user.user_id
    assert (found["start_time"], found["end_time"]) == (
        "2036-12-01T10:00:00Z",
        "2036-12-01T11:00:00Z",
    )


def test_a_call_begins_now_and_ends_after_a_day(user):
    answer = user("POST", "/calls", {"invited_participants": ["a@example.com"]})
    assert answer.status == 201
    assert answer.body["meeting_id"].startswith("call_")
    assert answer.body["is_instant_call"] is True
    assert answer.body["end_time"] > answer.body["start_time"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"end_time": "2036-12-01T09:00:00Z"}, 422, id="ends before it starts"),
        pytest.param({"end_time": MEETING["start_time"]}, 422, id="ends when it starts"),
        pytest.param({"start_time": "2036-12-01T10:00:00"}, 422, id="no zone"),
        pytest.param({"start_time": "0000-00-00T00:00:00Z"}, 422, id="no day"),
        pytest.param({"start_time": "0001-01-01T00:00:00+14:00"}, 422, id="before the calendar"),
        pytest.param({"end_time": "9999-12-31T23:59:59-14:00"}, 422, id="behind the calendar"),
        pytest.param({"start_time": "0001-01-01T00:00:00Z"}, 201, id="the first day"),
        pytest.param({"end_time": "9999-12-31T23:59:59Z"}, 201, id="the last day"),
        pytest.param({"start_time": 0}, 422, id="a number"),
        pytest.param({"start_time": "9" * 400}, 422, id="400 digits"),
        pytest.param({"title": "\ud800"}, 422, id="half a surrogate pair"),
        pytest.param({"\ud800": 1}, 422, id="half a surrogate pair as a name"),
        pytest.param({"title": "a\nb"}, 422, id="two lines"),
        pytest.param({"title": ""}, 422, id="empty"),
        pytest.param({"title": "x" * 256}, 422, id="too long"),
        pytest.param({"voice_only": "yes"}, 422, id="no boolean"),
        pytest.param({"created_by": "me"}, 422, id="not for users to set"),
        pytest.param({"invited_participants": ["x"] * 201}, 422, id="too many invitees"),
    ],
)
def test_a_meeting_of_a_wrong_shape_is_refused(user, fields, status):
    answer = user("POST", "/meetings", {**MEETING, **fields})
    assert answer.status == status, answer
    if status == 201:
        shown = user("GET", f"/meetings/{answer.body['meeting_id']}.ics")
        assert shown.status == 200
        assert user("GET", "/meetings?filter=mine").status == 200


def test_nobody_but_owner_and_invitees_sees_a_meeting(user, other, shared, admin):
    made = user.meeting(invited_participants=[other.user_id.upper()], allow_external=True)
    where = f"/meetings/{made['meeting_id']}"
    assert shared("GET", where).status == 401
    assert shared.user()("GET", where).status == 404
    assert shared.user()("GET", f"{where}.ics").status == 404
    seen = other("GET", where)
    assert seen.status == 200
    assert seen.body["invitation_token"] is None
    assert user("GET", where).body["invitation_token"]
    assert admin("GET", where).status == 200
    assert shared.user()("GET", "/meetings").body["meetings"] == []


def test_only_owner_and_admins_change_a_meeting(user, other, admin):
    made = user.meeting(invited_participants=[other.user_id])
    where = f"/meetings/{made['meeting_id']}"
    for method, document in (("PATCH", {"title": "x"}), ("DELETE", None)):
        assert other(method, where, document, If_Match="*").status == 403
    assert admin("PATCH", where, {"title": "x"}, If_Match="*").body["title"] == "x"
    assert user("DELETE", where).status == 204
    assert user("GET", where).status == 404


def test_a_change_needs_the_version_that_was_read(user):
    where = f"/meetings/{user.meeting()['meeting_id']}"
    read = user("GET", where).headers["ETag"]
    assert user("PATCH", where, {"title": "a"}).status == 428
    changed = user("PATCH", where, {"title": "a"}, If_Match=read)
    assert (changed.status, changed.body["title"]) == (200, "a")
    assert changed.headers["ETag"] != read
    assert user("PATCH", where, {"title": "b"}, If_Match=read).status == 412
    assert user("PATCH", where, {"title": "b"}, If_Match='"é"').status == 412
    found = user("GET", where)
    assert (found.body["title"], found.headers["ETag"]) == ("a", changed.headers["ETag"])


def test_a_change_leaves_what_it_does_not_name(user):
    made = user.meeting(description="d", invited_participants=["a@example.com"], voice_only=True)
    where = f"/meetings/{made['meeting_id']}"
    etag = user("GET", where).headers["ETag"]
    changed = user("PATCH", where, {"description": None}, If_Match=etag).body
    assert {**changed, "description": "d", "updated_at": made["updated_at"]} == made
    wrong = user("PATCH", where, {"end_time": "2036-12-01T09:00:00Z"}, If_Match="*")
    assert (wrong.status, wrong.code) == (422, "ends_before_it_starts")


def test_pages_hold_every_meeting_once_in_order(user):
    times = ["2036-12-03", "2036-12-01", "2036-12-02", "2036-12-01", "2036-12-02"]
    for day in times:
        user.meeting(start_time=f"{day}T10:00:00Z", end_time=f"{day}T11:00:00Z")
    for filter, wanted in (("upcoming", sorted(times)), ("mine", sorted(times)[::-1])):
        found, cursor = [], ""
        while cursor is not None:
            page = user("GET", f"/meetings?filter={filter}&limit=2{cursor}")
            assert page.status == 200, page
            found += page.body["meetings"]
            cursor = page.body["cursor"] and f"&cursor={page.body['cursor']}"
        assert [meeting["start_time"][:10] for meeting in found] == wanted
        assert len({meeting["meeting_id"] for meeting in found}) == 5
    assert user("GET", "/meetings?cursor=x").status == 404
    assert user("GET", "/meetings?limit=0").status == 422


def test_a_list_holds_own_and_invited_meetings_of_its_time(user, other):
    own = user.meeting()["meeting_id"]
    past = user.meeting(**OVER)["meeting_id"]
    invited = other.meeting(invited_participants=[user.user_id])["meeting_id"]
    other.meeting()

    def listed(filter: str) -> set[str]:
        meetings = user("GET", f"/meetings?filter={filter}").body["meetings"]
        return {meeting["meeting_id"] for meeting in meetings}

    assert listed("upcoming") == {own, invited}
    assert listed("past") == {past}
    assert listed("mine") == {own, past}


def test_a_meeting_goes_into_a_calendar(user):
    made = user.meeting(title="a, b; c\\d", description="x\ny" * 50)
    answer = user("GET", f"/meetings/{made['meeting_id']}.ics")
    assert answer.headers.get_content_type() == "text/calendar"
    (event,) = Calendar.from_ical(answer.body).walk("VEVENT")
    assert event["summary"] == "a, b; c\\d"
    assert event["description"] == "x\ny" * 50
    assert event["dtstart"].dt.isoformat() == "2036-12-01T10:00:00+00:00"
    assert event["organizer"] == f"mailto:{user.user_id}"


@pytest.mark.parametrize("legacy", ["after4", "synced3"])
def test_old_meetings_are_shown_whatever_their_rows_hold(serve, path, legacy):
    copy_legacy(legacy, path)
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE meetings SET start_time = 'CURRENT_TIMESTAMP', invited_participants = 'x' "
            "WHERE rowid = 1"
        )
        owners = {row[0] for row in connection.execute("SELECT created_by FROM meetings")}
        total = connection.execute("SELECT count(*) FROM meetings").fetchone()[0]
    api = serve().ready()
    seen = 0
    for owner in owners:
        page = api.user(owner)("GET", "/meetings?filter=mine&limit=100")
        assert page.status == 200
        for meeting in page.body["meetings"]:
            where = f"/meetings/{meeting['meeting_id']}"
            assert api.user(owner)("GET", where).status == 200
            assert api.user(owner)("GET", f"{where}.ics").status == 200
            seen += 1
    assert seen == total > 0
    assert "Traceback" not in api.log.read_text()
