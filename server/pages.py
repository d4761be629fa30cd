"""The page for people at ``/``, and its files, which come from this server alone.

A page asks for them once in each version: their ETag is a digest of their content.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from server.answers import Refusal

FOLDER = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# Everything from here, nothing inline, no form that sends itself, no frame around it, and no text
# that becomes HTML.  A picture comes with the settings, as data.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",  # the address of a guest's page holds the token of a meeting
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


class File(NamedTuple):
    content: bytes
    type: str
    etag: str


@cache
def files() -> dict[str, File]:
    """Every file of the page, by its name."""
    found = {}
    for path in FOLDER.iterdir():
        if path.suffix in TYPES:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.name] = File(content, TYPES[path.suffix], etag)
    return found


def is_page_wanted(scope: Scope) -> bool:
    """Tell whether a browser opens the link of a guest, which a program reads as JSON."""
    if scope["method"] != "GET" or not scope["path"].startswith("/join/"):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


@router.get("/")
async def page(request: Request) -> Response:
    return _answer("index.html", request)


@router.get("/docs")
async def docs(request: Request) -> Response:
    return _answer("docs.html", request)


@router.get("/page/{name}")
async def file(name: str, request: Request) -> Response:
    return _answer(name, request)


def _answer(name: str, request: Request) -> Response:
    found = files().get(name)
    if found is None:
        raise Refusal(404, "not_found", "Not Found")
    headers = {**HEADERS, "ETag": found.etag}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.type, headers=headers)
