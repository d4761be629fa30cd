"""Participants: roles, answers and presence, in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.server.world import migrate


def seats(user, meeting_id: str) -> dict:
    found = user("GET", f"/meetings/{meeting_id}").body["participants"]
    return {seat["user_id"]: (seat["role"], seat["answer"], seat["is_present"]) for seat in found}


def test_an_invitee_answers_comes_and_leaves(user, other):
    meeting_id = user.meeting(invited_participants=[other.user_id])["meeting_id"]
    me = f"/meetings/{meeting_id}/participants/{other.user_id}"
    for answer in ("accepted", "tentative", "declined"):
        assert other("PUT", me, {"answer": answer}).body["answer"] == answer
    assert other("PUT", me, {"is_present": True}).status == 200
    assert seats(user, meeting_id) == {
        user.user_id: ("meeting_owner", None, False),
        other.user_id: ("meeting_member", "declined", True),
    }
    assert other("DELETE", me).status == 204
    assert seats(user, meeting_id) == {user.user_id: ("meeting_owner", None, False)}
    assert other("GET", f"/meetings/{meeting_id}").status == 404


def test_the_owner_invites_and_makes_managers(user, other, shared):
    meeting_id = user.meeting()["meeting_id"]
    where = f"/meetings/{meeting_id}/participants"
    assert other("GET", f"/meetings/{meeting_id}").status == 404
    made = user("PUT", f"{where}/{other.user_id}", {"role": "meeting_manager"})
    assert (made.status, made.body["role"]) == (200, "meeting_manager")
    third = shared.user()
    assert third("PUT", f"{where}/{third.user_id}", {"answer": "accepted"}).status == 404
    assert other("PUT", f"{where}/{third.user_id}", {}).status == 200  # a manager invites
    assert other("PUT", f"{where}/{third.user_id}", {"role": "meeting_manager"}).status == 403
    assert third("PUT", f"{where}/{other.user_id}", {}).status == 403  # a member does not
    assert third("PUT", f"{where}/{third.user_id}", {"role": "meeting_manager"}).status == 403
    assert other("DELETE", f"{where}/{third.user_id}").status == 204
    assert third("GET", f"/meetings/{meeting_id}").status == 404


def test_everybody_answers_for_themselves_alone(user, other):
    meeting_id = user.meeting(invited_participants=[other.user_id])["meeting_id"]
    where = f"/meetings/{meeting_id}/participants"
    refused = user("PUT", f"{where}/{other.user_id}", {"answer": "accepted"})
    assert (refused.status, refused.code) == (403, "not_you")
    assert other("PUT", f"{where}/{user.user_id}", {"answer": "accepted"}).status == 403


def test_the_owner_answers_and_stays(user):
    meeting_id = user.meeting()["meeting_id"]
    me = f"/meetings/{meeting_id}/participants/{user.user_id}"
    assert user("PUT", me, {"is_present": True}).body["role"] == "meeting_owner"
    assert user("PUT", me, {"role": "meeting_member"}).status == 409
    assert user("DELETE", me).status == 409
    assert user("DELETE", f"/meetings/{meeting_id}/participants/nobody").status == 404


def test_an_address_is_invited_once_in_any_case(user):
    meeting_id = user.meeting(invited_participants=["A@example.org"])["meeting_id"]
    where = f"/meetings/{meeting_id}/participants"
    assert user("PUT", f"{where}/a@Example.org", {}).body["user_id"] == "A@example.org"
    assert list(seats(user, meeting_id)) == [user.user_id, "A@example.org"]
    assert user("DELETE", f"{where}/a@example.org").status == 204
    assert list(seats(user, meeting_id)) == [user.user_id]


def test_whoever_is_uninvited_by_a_change_comes_back_without_a_role(user, other):
    meeting_id = user.meeting()["meeting_id"]
    where = f"/meetings/{meeting_id}"
    user("PUT", f"{where}/participants/{other.user_id}", {"role": "meeting_manager"})
    for invited in ([], [other.user_id]):
        assert user("PATCH", where, {"invited_participants": invited}, If_Match="*").status == 200
    assert seats(user, meeting_id)[other.user_id] == ("meeting_member", None, False)


def test_roles_and_answers_end_with_the_process_and_are_in_no_file(serve, path):
    migrate(path)
    api = serve().ready()
    user, other = api.user(), api.user()
    meeting_id = user.meeting()["meeting_id"]
    where = f"/meetings/{meeting_id}/participants/{other.user_id}"
    user("PUT", where, {"role": "meeting_manager"})
    assert api.stop()[0] == 0
    with closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert not names & {"live_participants", "ExternalSessions", "meeting_participants"}
    serve(port=api.port).ready()
    assert seats(user, meeting_id)[other.user_id] == ("meeting_member", None, False)
