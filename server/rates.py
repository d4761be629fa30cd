"""Rates of everything public, and the address that a request comes from."""

from __future__ import annotations

import math
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import HTTPConnection

from server.answers import Refusal


class Rate(NamedTuple):
    """``name``: what is counted; two rates of one name share their count."""

    name: str
    limit: RateLimitItem


# For one address that requests come from.
PUBLIC = Rate("public", parse("300/minute"))
SIGN_IN = Rate("sign-in", parse("10/minute"))
NEW_SESSION = Rate("new session", parse("20/minute"))
JOIN = Rate("join", parse("60/minute"))
GUEST = Rate("guest", parse("240/minute"))
WRONG_LINK = Rate("wrong link", parse("10/minute"))
WRONG_SIGNATURE = Rate("wrong signature", parse("120/minute"))
# For one e-mail address.
CODE_MAIL = Rate("code by mail", parse("3/10 minute"))
WRONG_CODE = Rate("wrong code", parse("5/10 minute"))
WRONG_CODES = Rate("wrong codes of a day", parse("30/day"))
# For one user.
INVITATION_MAIL = Rate("invitation by mail", parse("200/day"))


class Rates:
    """Counts in memory."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def hit(self, rate: Rate, who: str) -> bool:
        """Count once; False if that is more often than allowed."""
        return self._limiter.hit(rate.limit, rate.name, who)

    def has_left(self, rate: Rate, who: str) -> bool:
        return self._limiter.test(rate.limit, rate.name, who)

    def require(self, rate: Rate, who: str) -> None:
        """Count once.  Raises Refusal (429) if that is more often than allowed."""
        if not self.hit(rate, who):
            raise self.refusal(rate, who)

    def refusal(self, rate: Rate, who: str) -> Refusal:
        reset = self._limiter.get_window_stats(rate.limit, rate.name, who).reset_time
        seconds = max(1, math.ceil(reset - time.time()))
        return too_many(seconds)


def too_many(seconds: int) -> Refusal:
    return Refusal(
        429,
        "too_many",
        f"too many requests; try again in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )


def origin(connection: HTTPConnection, trusted: tuple[IPv4Network | IPv6Network, ...]) -> str:
    """The address that a request comes from; of IPv6 the /64, which is one household.

    Behind a trusted proxy that is the nearest address in X-Forwarded-For which is none.
    """
    found = connection.client.host if connection.client else ""
    if not trusted:
        return _household(found)
    forwarded = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    for hop in [*forwarded, found][::-1]:
        try:
            address = ip_address(hop.strip())
        except ValueError:
            break
        found = str(address)
        if not _is_in(address, trusted):
            break
    return _household(found)


def is_trusted(connection: HTTPConnection, trusted: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    """Tell whether a request comes straight from a trusted proxy."""
    if not trusted or connection.client is None:
        return False
    try:
        address = ip_address(connection.client.host)
    except ValueError:
        return False
    return _is_in(address, trusted)


def _is_in(
    address: IPv4Address | IPv6Address, networks: tuple[IPv4Network | IPv6Network, ...]
) -> bool:
    return any(address in network for network in networks)


def _household(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return text
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
