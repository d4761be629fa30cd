"""Every answer that is not a success has one shape: ``{"error": {"code": …, "message": …}}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from peewee import DatabaseError, DataError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route

from server.db.troubles import Trouble, Unusable, trouble_of

RETRY_AFTER = 1  # seconds

MEANINGS = {
    401: "Not signed in, or not signed right",
    403: "Not allowed",
    404: "There is no such thing, or not for you",
    408: "The body came too slowly",
    409: "Not in this state",
    412: "It was changed since; read it again",
    413: "The body is too large",
    422: "Not what this route takes",
    428: "Say with If-Match which version you change",
    429: "Too often; Retry-After says when",
    503: "Not now; the code says why",
}


class ErrorText(BaseModel):
    code: str = Field(description="For programs")
    message: str = Field(description="For people")


class Error(BaseModel):
    """The shape of every answer that is not a success."""

    error: ErrorText


class Refusal(HTTPException):
    """An answer other than a success; ``details`` go beside code and message."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code, self.message, self.details = code, message, details


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare for OpenAPI that a route may answer with these."""
    return {status: {"model": Error, "description": MEANINGS[status]} for status in statuses}


def not_now(code: str, message: str, **details: Any) -> Refusal:
    """503, with the seconds after which it is worth trying again."""
    return Refusal(503, code, message, headers={"Retry-After": str(RETRY_AFTER)}, **details)


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Give every error of the application, and of its routes, the one shape."""

    @app.exception_handler(Refusal)
    async def refusal(request: Request, exc: Refusal) -> JSONResponse:
        return answer(exc)

    @app.exception_handler(HTTPException)
    async def http(request: Request, exc: HTTPException) -> JSONResponse:
        if exc.status_code == 400:  # FastAPI's word for a body that its parser gave up on
            return answer(Refusal(422, "invalid", str(exc.detail)))
        headers = exc.headers
        if exc.status_code == 405:
            headers = {"Allow": ", ".join(_methods_at(routes, request))}
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(exc.status_code, "http_error")
        return answer(Refusal(exc.status_code, code, str(exc.detail), headers=headers))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer(Refusal(422, "invalid", f"{where}: {first['msg']}"))

    @app.exception_handler(Unusable)
    async def unusable(request: Request, exc: Unusable) -> JSONResponse:
        return _troubled(request, exc.trouble)

    @app.exception_handler(DataError)
    async def value(request: Request, exc: DataError) -> JSONResponse:
        why = "the database can't hold one of these values, as a text with NUL"
        return answer(Refusal(422, "invalid", why))

    @app.exception_handler(DatabaseError)
    async def database(request: Request, exc: DatabaseError) -> JSONResponse:
        trouble = trouble_of(exc)
        if trouble is None:
            raise exc
        return _troubled(request, trouble)

    @app.exception_handler(Exception)
    async def anything(request: Request, exc: Exception) -> JSONResponse:
        message = "something went wrong; the log of the server says what, under X-Request-ID"
        return answer(Refusal(500, "internal", message))


def answer(refusal: Refusal) -> JSONResponse:
    error = {"code": refusal.code, "message": printable(refusal.message), **refusal.details}
    return JSONResponse({"error": error}, refusal.status_code, headers=refusal.headers)


def _methods_at(routes: Sequence[BaseRoute], request: Request) -> list[str]:
    """All methods of the path; Starlette names those of the first route alone."""
    fitting = [route for route in routes if isinstance(route, Route)]
    fitting = [route for route in fitting if route.matches(request.scope)[0] is not Match.NONE]
    same = [route for route in fitting if route.path == fitting[0].path]
    return sorted(method for route in same for method in route.methods or ())


def printable(text: str) -> str:
    """Half of a surrogate pair, which JSON can hold and UTF-8 can't, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _troubled(request: Request, trouble: Trouble) -> JSONResponse:
    if trouble.code != "busy":
        request.app.state.server.report(trouble)
    return answer(not_now(trouble.code, trouble.message))
