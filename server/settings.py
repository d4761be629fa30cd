"""The settings of the server, read from the environment in one place.

Nothing else in this project reads an environment variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (ROOT / "pyproject.toml").is_file()
# Installed as a package, the folder above holds other people's packages, and is no place for data.
DEFAULT_DATABASE = (ROOT if IS_CHECKOUT else Path()) / "data" / "meetings.sqlite"
LEVELS = ("critical", "error", "warning", "info", "debug")
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
PORT = "a port, from 1 to 65535"
SECONDS = "a number of seconds, more than 0"


class BadSetting(ValueError):
    """A variable that can't be used; says which, and what it may be."""

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name} is '{value}', and has to be {wanted}")


class MailServer(NamedTuple):
    """A mail server that takes our mail.  ``is_tls``: TLS from the first byte, not STARTTLS."""

    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool
    sender: str


class Settings(NamedTuple):
    """Of the server; each field is the variable of its name in capitals.

    ``busy_timeout``: seconds that a write waits for the lock of the database before it answers 503.
    ``purge_interval``: seconds between two rounds of housekeeping.  ``public_url``: how the outside
    reaches this server, without a slash at the end.  ``trusted_proxies``: who may say in
    X-Forwarded-For where a request comes from.  ``mail``: None without SMTP_URL.
    ``stay_on_fault``: stay up, and not ready, where the process would end with 78.
    """

    database: str
    host: str = "127.0.0.1"
    port: int = 3000
    metrics_port: int | None = None
    busy_timeout: float = 5.0
    purge_interval: float = 60.0
    log_level: str = "info"
    public_url: str | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    admins: tuple[str, ...] = ()
    mail: MailServer | None = None
    stay_on_fault: bool = False


def database_location(environ: Mapping[str, str] = os.environ) -> str:
    """URL or path of the database: DATABASE_URL, else DB_PATH, else data/meetings.sqlite.

    That is in the checkout, or where there is none, in the working directory.
    """
    return environ.get("DATABASE_URL") or environ.get("DB_PATH") or str(DEFAULT_DATABASE)


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for files about a database that is no file: that of DB_PATH, else ``data``."""
    named = environ.get("DB_PATH", "")
    return (Path(named) if named and "://" not in named else DEFAULT_DATABASE).parent


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises BadSetting."""
    defaults = Settings(database_location(environ))
    level = (environ.get("LOG_LEVEL") or defaults.log_level).lower()
    if level not in LEVELS:
        raise BadSetting("LOG_LEVEL", level, f"one of {', '.join(LEVELS)}")
    port = _port(environ, "PORT") or defaults.port
    metrics_port = _port(environ, "METRICS_PORT")
    if metrics_port == port:
        raise BadSetting("METRICS_PORT", str(port), "another port than PORT")
    public_url = _public_url(environ)
    return Settings(
        database=defaults.database,
        host=environ.get("HOST") or defaults.host,
        port=port,
        metrics_port=metrics_port,
        busy_timeout=_seconds(environ, "BUSY_TIMEOUT", defaults.busy_timeout),
        purge_interval=_seconds(environ, "PURGE_INTERVAL", defaults.purge_interval),
        log_level=level,
        public_url=public_url,
        trusted_proxies=_networks(environ, "TRUSTED_PROXIES"),
        admins=_addresses(environ, "ADMINS"),
        mail=_mail(environ, public_url),
        stay_on_fault=stays_on_fault(environ),
    )


def stays_on_fault(environ: Mapping[str, str] = os.environ) -> bool:
    """Raises BadSetting."""
    text = environ.get("STAY_ON_FAULT", "")
    if text not in ("", "0", "1"):
        raise BadSetting("STAY_ON_FAULT", text, "0 or 1")
    return text == "1"


def address_anyway(environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Host and port, whatever else is wrong with the settings; the default for a bad port."""
    defaults = Settings("")
    try:
        port = _port(environ, "PORT") or defaults.port
    except BadSetting:
        port = defaults.port
    return environ.get("HOST") or defaults.host, port


def _port(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise BadSetting(name, text, PORT)
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise BadSetting(name, text, SECONDS) from None
    if not 0 < value <= 86_400:
        raise BadSetting(name, text, f"{SECONDS}, and a day at most")
    return value


def _words(environ: Mapping[str, str], name: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", environ.get(name, "")) if word]


def _networks(environ: Mapping[str, str], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    found = []
    for word in _words(environ, name):
        try:
            found.append(ip_network(word, strict=False))
        except ValueError:
            wanted = "IP addresses or networks like 10.0.0.0/8, with commas between them"
            raise BadSetting(name, word, wanted) from None
    return tuple(found)


def _addresses(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    for word in _words(environ, name):
        if not ADDRESS.fullmatch(word):
            raise BadSetting(name, word, "e-mail addresses, with commas between them")
    return tuple(word.lower() for word in _words(environ, name))


def _split(name: str, text: str, shown: str, wanted: str, schemes: tuple[str, ...]) -> SplitResult:
    try:
        url = urlsplit(text)
        is_good = url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good or not text.isascii() or not text.isprintable() or " " in text:
        raise BadSetting(name, shown, wanted)
    return url


def _public_url(environ: Mapping[str, str]) -> str | None:
    text = environ.get("PUBLIC_URL", "").rstrip("/")
    if not text:
        return None
    wanted = "where a browser reaches this server, like https://meet.example.org"
    url = _split("PUBLIC_URL", text, text, wanted, ("http", "https"))
    if url.path or url.query or url.fragment or url.username is not None:
        raise BadSetting("PUBLIC_URL", text, f"{wanted}, and nothing behind the host")
    return text


def _mail(environ: Mapping[str, str], public_url: str | None) -> MailServer | None:
    text = environ.get("SMTP_URL", "")
    sender = environ.get("MAIL_FROM", "")
    if sender and not ADDRESS.fullmatch(sender):
        raise BadSetting("MAIL_FROM", sender, "an e-mail address")
    if not text:
        return None
    wanted = "like smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465"
    url = _split("SMTP_URL", text, f"{text.partition(':')[0]}:…", wanted, ("smtp", "smtps"))
    is_tls = url.scheme == "smtps"
    user = unquote(url.username) if url.username else None
    host = str(url.hostname)
    if not sender:
        ours = urlsplit(public_url).hostname if public_url else host
        sender = user if user and ADDRESS.fullmatch(user) else f"meetings@{ours}"
    return MailServer(
        host=host,
        port=url.port or (465 if is_tls else 587),
        user=user,
        password=unquote(url.password) if url.password else None,
        is_tls=is_tls,
        sender=sender,
    )
