"""Every answer that is not a success has one shape: ``{"error": {"code": …, "message": …}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from peewee import OperationalError
from starlette.exceptions import HTTPException

RETRY_AFTER = 1  # seconds


class Refusal(Exception):
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
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.details = headers, details


def not_now(code: str, message: str, **details: Any) -> Refusal:
    """503, with the seconds after which it is worth trying again."""
    return Refusal(503, code, message, headers={"Retry-After": str(RETRY_AFTER)}, **details)


def install(app: FastAPI) -> None:
    """Give every error of the application the one shape."""

    @app.exception_handler(Refusal)
    def refusal(request: Request, exc: Refusal) -> JSONResponse:
        return _answer(exc.status, exc.code, exc.message, exc.headers, exc.details)

    @app.exception_handler(HTTPException)
    def http(request: Request, exc: HTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(exc.status_code, "http_error")
        return _answer(exc.status_code, code, str(exc.detail), exc.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _answer(422, "invalid", f"{where}: {first['msg']}")

    @app.exception_handler(OperationalError)
    def database(request: Request, exc: OperationalError) -> JSONResponse:
        if "locked" in str(exc) or "busy" in str(exc):
            busy = not_now("busy", "another process is writing to the database; try again")
            return _answer(busy.status, busy.code, busy.message, busy.headers)
        return _answer(500, "internal", "the database could not")

    @app.exception_handler(Exception)
    def anything(request: Request, exc: Exception) -> JSONResponse:
        return _answer(500, "internal", "something went wrong; the log of the server says what")


def _answer(
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
) -> JSONResponse:
    error = {"code": code, "message": message, **(details or {})}
    return JSONResponse({"error": error}, status, headers=dict(headers or {}))
