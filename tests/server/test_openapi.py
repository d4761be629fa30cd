"""The description of the API: complete, and with the security of each route."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT

ROUTES = {
    "public": [
        "GET /settings", "POST /sign-in", "POST /sessions", "GET /join/{token}",
        "POST /join/{token}",
    ],
    "signature": [
        "GET /sessions", "DELETE /sessions/{client_id}", "POST /meetings", "POST /calls",
        "GET /meetings", "GET /meetings/{meeting_id}", "PATCH /meetings/{meeting_id}",
        "DELETE /meetings/{meeting_id}", "GET /meetings/{meeting_id}.ics",
        "PUT /meetings/{meeting_id}/participants/{user}",
        "DELETE /meetings/{meeting_id}/participants/{user}", "POST /meetings/{meeting_id}/link",
        "DELETE /meetings/{meeting_id}/link", "GET /meetings/{meeting_id}/guests",
        "POST /meetings/{meeting_id}/guests/{guest}/admit",
        "POST /meetings/{meeting_id}/guests/{guest}/decline", "PATCH /settings",
        "GET /invitations", "POST /invitations", "DELETE /invitations/{invitation_id}",
    ],
    "guest": [
        "POST /guests/{session_id}/admission", "GET /guests/{session_id}",
        "DELETE /guests/{session_id}",
    ],
    "open": ["GET /healthz", "GET /readyz", "GET /version"],
}  # fmt: skip
CASES = [(kind, route) for kind, routes in ROUTES.items() for route in routes]


@pytest.fixture(scope="module")
def document(shared):
    return shared("GET", "/openapi.json").body


def test_every_route_is_described_and_no_other(document):
    found = {f"{m.upper()} {path}" for path, ms in document["paths"].items() for m in ms}
    assert found == {route for _, route in CASES}


@pytest.mark.parametrize(("kind", "route"), CASES)
def test_a_route_names_its_security_and_the_shape_of_its_errors(document, kind, route):
    method, path = route.split()
    described = document["paths"][path][method.lower()]
    schemes = [name for scheme in described.get("security", ()) for name in scheme]
    assert schemes == ([kind] if kind in ("signature", "guest") else [])
    errors = {s: a for s, a in described["responses"].items() if s >= "400"}
    for answer in errors.values():
        schema = answer["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Error"}
    if kind != "open":
        assert {"413", "422", "429", "503"} <= set(errors)
        assert ("401" in errors) == (bool(schemes) or route == "POST /sessions")


def test_routes_and_modules_match(document):
    """One module for each resource."""
    modules = {path.stem for path in (ROOT / "server" / "api").glob("*.py")}
    tags = {t for ms in document["paths"].values() for m in ms.values() for t in m["tags"]}
    assert tags <= modules
