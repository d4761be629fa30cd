"""The page's files: from this server alone, and never more than they need."""

from __future__ import annotations

import re

import pytest

from server.pages import FOLDER, POLICY, files
from tests.server.world import origin


def test_the_page_and_its_files_are_served(shared):
    assert set(files()) == {path.name for path in FOLDER.iterdir()}
    page = shared("GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.body.decode())
    assert named == ["/page/style.css", "/page/app.js"]
    for name in files():
        answer = shared("GET", f"/page/{name}")
        assert (answer.status, answer.body) == (200, (FOLDER / name).read_bytes())
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert shared("GET", "/docs").status == 200


@pytest.mark.parametrize("where", ["/", "/docs", "/page/app.js", "/page/style.css"])
def test_a_policy_lets_nothing_in_from_elsewhere(shared, where):
    headers = shared("GET", where).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["Referrer-Policy"] == "no-referrer"
    for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert directive in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def test_no_file_names_another_host_or_makes_html_of_text():
    for name, file in files().items():
        text = file.content.decode()
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text
        ), name
        assert not re.search(r"<[^>]+ (style|on\w+)=|<script>|<style", text), name


def test_no_other_file_can_be_had(shared):
    for name in ("nothing.js", "..%2f__init__.py", "%2e%2e/settings.py", "../app.py", ""):
        assert shared("GET", f"/page/{name}").status == 404


def test_a_file_that_did_not_change_is_not_sent_again(shared):
    etag = shared("GET", "/page/app.js").headers["ETag"]
    again = shared("GET", "/page/app.js", If_None_Match=etag)
    assert (again.status, again.body) == (304, b"")


def test_a_link_is_a_page_for_a_browser_and_data_for_a_program(shared, user):
    token = user.meeting(allow_external=True)["invitation_token"]
    browser = shared("GET", f"/join/{token}", Accept="text/html,*/*;q=0.8", **origin())
    assert browser.body == (FOLDER / "index.html").read_bytes()
    assert browser.headers["Referrer-Policy"] == "no-referrer"
    for accept in ("application/json", "*/*"):
        assert (
            shared("GET", f"/join/{token}", Accept=accept, **origin()).body["title"] == "Kick-off"
        )


def test_answers_with_secrets_are_kept_by_no_cache(shared, user):
    assert shared("GET", "/settings").headers["Cache-Control"] == "no-store"
    assert user("GET", "/sessions").headers["Cache-Control"] == "no-store"


def test_an_empty_change_of_the_settings_only_reads(shared, admin):
    sql = 'SELECT * FROM "ServerSettings"'
    before = shared.rows(sql)
    answer = admin("PATCH", "/settings", {})
    assert answer.body["allowed_email_suffixes"] == []
    assert shared.rows(sql) == before
