"""Loaded by schemathesis: signs requests, and lets each come from another address."""

from __future__ import annotations

import itertools
import json
import os
import secrets
from pathlib import Path

import requests
import schemathesis
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

SESSION = os.environ.get("API_SESSION")
numbers = itertools.count()


def other_origin(headers) -> None:
    number = next(numbers)
    headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    headers = case.headers if case.headers is not None else {}
    other_origin(headers)
    case.headers = headers


class Signed(requests.auth.AuthBase):
    def __init__(self) -> None:
        known = json.loads(Path(SESSION).read_text())
        self.client_id = known["client_id"]
        keys = {self.client_id: known["session_secret"].encode()}
        self.signer = HTTPMessageSigner(
            signature_algorithm=algorithms.HMAC_SHA256,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys=keys),
        )

    def __call__(self, request):
        request.headers.pop("Content-Digest", None)  # of a case that is sent again
        body = request.body or b""
        self.signer.sign(
            request,
            key_id=self.client_id,
            nonce=secrets.token_hex(8),
            covered_component_ids=("@method", "@authority", "@path", "@query"),
            body=body if isinstance(body, bytes) else body.encode(),
        )
        return request


if SESSION:
    schemathesis.auth.set_from_requests(Signed())
