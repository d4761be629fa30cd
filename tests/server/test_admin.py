"""Settings, and invitations to register."""

from __future__ import annotations

import pytest

from tests.server.world import migrate, origin


def test_everybody_reads_the_public_settings(shared):
    assert shared("GET", "/settings", **origin()).body == {
        "server_name": "Meeting Server",
        "server_picture": None,
        "registration_mode": "open",
    }


def test_admins_change_the_settings_that_they_name(serve, path):
    migrate(path)
    api = serve(ADMINS="Boss@Example.org, b@example.org").ready()
    boss = api.user("boss@example.org")
    changed = boss("PATCH", "/settings", {"server_name": "Ours"})
    assert changed.body == {
        "server_name": "Ours",
        "server_picture": None,
        "registration_mode": "open",
        "allowed_email_suffixes": [],
    }
    values = {"registration_mode": "email_suffix", "allowed_email_suffixes": ["@example.org"]}
    assert boss("PATCH", "/settings", values).body == {**changed.body, **values}
    assert api("GET", "/settings").body["server_name"] == "Ours"


def test_nobody_else_does(user):
    for method, where, document in (
        ("PATCH", "/settings", {"server_name": "x"}),
        ("GET", "/invitations", None),
        ("POST", "/invitations", {"email": "a@example.org"}),
        ("DELETE", "/invitations/1", None),
    ):
        assert user(method, where, document).code == "no_admin"
        assert user.api(method, where, document).status == 401


@pytest.mark.parametrize(
    "change",
    [{"registration_mode": "closed"}, {"server_name": None}, {"id": 2}, {"server_name": "a\r\nb"}],
)
def test_a_wrong_setting_is_refused(admin, change):
    assert admin("PATCH", "/settings", change).status == 422


def test_admins_invite_list_and_take_back(admin):
    made = admin("POST", "/invitations", {"email": "New@example.org"})
    assert made.status == 201
    assert made.body["email"] == "new@example.org"
    assert len(made.body["token"]) == 6
    assert made.body["invited_by"] == admin.user_id
    assert admin("GET", "/invitations").body[0] == made.body
    where = f"/invitations/{made.body['id']}"
    assert admin("DELETE", where).status == 204
    assert admin("DELETE", where).status == 404
