"""E-mail by SMTP: written here, and sent by one thread, so that no request waits for it."""

from __future__ import annotations

import html
import logging
import queue
import smtplib
import ssl
import threading
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from ipaddress import ip_address
from typing import Any, NamedTuple

from server.settings import MailServer

log = logging.getLogger("server")
PATIENCE = 20  # seconds for each step of a delivery
MOST_WAITING = 1000
FAILURES = (OSError, smtplib.SMTPException, ValueError)


class Letter(NamedTuple):
    to: str
    subject: str
    paragraphs: tuple[str, ...]
    calendar: bytes | None = None


class Mail:
    """Without a mail server, a letter goes into the log."""

    def __init__(self, server: MailServer | None) -> None:
        self.server = server
        self.sent = self.failed = 0
        self._waiting: queue.Queue[Letter | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self.server is None:
            log.warning("SMTP_URL is not set: sign-in codes and invitations go into this log")
            return
        self._thread = threading.Thread(target=self._deliver_all, name="mail", daemon=True)
        self._thread.start()

    def send(self, letter: Letter) -> None:
        """Send it soon; what fails is in the log.  Never waits."""
        if self.server is None:
            text = " ".join(letter.paragraphs).replace("\n", " ")
            log.warning("no mail server; to %s: %s", letter.to, text)
            return
        try:
            self._waiting.put_nowait(letter)
        except queue.Full:
            self.failed += 1
            log.error("no mail to %s: %d wait already", letter.to, MOST_WAITING)

    def stop(self) -> None:
        """Let the thread end after the letter that it delivers now."""
        if self._thread is not None:
            self._thread = None
            while True:
                try:
                    self._waiting.get_nowait()
                except queue.Empty:
                    break
            self._waiting.put_nowait(None)

    def _deliver_all(self) -> None:
        assert self.server is not None
        while (letter := self._waiting.get()) is not None:
            try:
                deliver(self.server, compose(letter, self.server.sender))
                self.sent += 1
            except FAILURES as exc:
                self.failed += 1
                log.error("no mail to %s: %s", letter.to, exc)


def deliver(server: MailServer, message: EmailMessage) -> None:
    """Hand one message over.  Raises OSError or SMTPException.

    Never without TLS, except on this host, where nobody is between.
    """
    context = tls_context(server.host)
    if server.is_tls:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=PATIENCE, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=PATIENCE)
    with connection:
        connection.ehlo()
        if not server.is_tls and (connection.has_extn("starttls") or not is_here(server.host)):
            connection.starttls(context=context)
            connection.ehlo()
        if server.user is not None:
            connection.login(server.user, server.password or "")
        connection.send_message(message)


def tls_context(host: str) -> ssl.SSLContext:
    """Certificates are checked, except on this host."""
    context = ssl.create_default_context()
    if is_here(host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def compose(letter: Letter, sender: str) -> EmailMessage:
    """A message with a part of text and one of HTML, and the calendar file as an attachment."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = letter.to
    message["Subject"] = " ".join(letter.subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message.set_content("\n\n".join(letter.paragraphs) + "\n")
    body = "".join(f"<p>{html.escape(p)}</p>\n" for p in letter.paragraphs)
    message.add_alternative(
        f"<!doctype html>\n<html><body>\n{body}</body></html>\n", subtype="html"
    )
    if letter.calendar is not None:
        message.add_attachment(
            letter.calendar,
            maintype="text",
            subtype="calendar",
            filename="meeting.ics",
            params={"charset": "utf-8", "method": "REQUEST"},
        )
    return message


def sign_in_code(server_name: str, to: str, code: str) -> Letter:
    return Letter(
        to,
        f"{code} is your code for {server_name}",
        (
            f"Your code to sign in at {server_name} is {code}.",
            "It is good for 10 minutes. If you did not ask for it, ignore this mail.",
        ),
    )


def registration(server_name: str, to: str, token: str, url: str | None) -> Letter:
    where = f" at {url}" if url else ""
    return Letter(
        to,
        f"You are invited to {server_name}",
        (
            f"You are invited to {server_name}{where}.",
            f"Sign in with this address and the code {token}. It is good for 48 hours.",
        ),
    )


def meeting_invitation(meeting: Any, to: str, calendar: bytes, link: str | None) -> Letter:
    paragraphs = [
        f"{meeting.created_by} invites you to “{meeting.title}”.",
        f"From {meeting.start_time:%Y-%m-%d %H:%M} to {meeting.end_time:%Y-%m-%d %H:%M} UTC.",
    ]
    if meeting.description:
        paragraphs.append(meeting.description)
    if link:
        paragraphs.append(f"Join at {link}")
    return Letter(to, f"Invitation: {meeting.title}", tuple(paragraphs), calendar)
