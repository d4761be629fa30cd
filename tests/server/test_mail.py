"""E-mail, to a real mail server on this host."""

from __future__ import annotations

import datetime
import ssl
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from icalendar import Calendar

from server import mail
from server.settings import MailServer
from tests.server.world import Api, free_port, migrate


class Mailbox:
    """Keeps what it is handed, and how."""

    def __init__(self) -> None:
        self.letters = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        from email import message_from_bytes, policy

        message = message_from_bytes(envelope.content, policy=policy.default)
        self.letters.append((session.ssl is not None, envelope.rcpt_tos, message))
        return "250 OK"

    def until(self, count: int, seconds: float = 5.0):
        end = time.monotonic() + seconds
        while len(self.letters) < count:
            assert time.monotonic() < end, f"{len(self.letters)} letters in place of {count}"
            time.sleep(0.02)
        return self.letters


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A context with a certificate that nobody else trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.fixture(scope="module")
def mailbox(certificate):
    """A mail server that wants STARTTLS and a password."""
    box = Mailbox()

    def check(server, session, envelope, mechanism, data):
        return AuthResult(success=data.login == b"me@x.org" and data.password == b"p@ss:word")

    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=certificate,
        require_starttls=True,
        auth_required=True,
        authenticator=check,
    )
    controller.start()
    box.url = f"smtp://me%40x.org:p%40ss%3Aword@127.0.0.1:{controller.port}"
    yield box
    controller.stop()


@pytest.fixture(scope="module")
def sending(mailbox, tmp_path_factory):
    """A server that sends its mail there."""
    path = tmp_path_factory.mktemp("mail") / "meetings.sqlite"
    migrate(path)
    api = Api(path, SMTP_URL=mailbox.url, PUBLIC_URL="", ADMINS="boss@example.org").ready()
    yield api
    assert api.stop()[0] == 0


@pytest.fixture(autouse=True)
def empty_mailbox(mailbox):
    mailbox.letters.clear()


def part(message, kind: str) -> str:
    (found,) = [p for p in message.walk() if p.get_content_type() == kind]
    return found.get_content()


def test_a_code_comes_by_mail_and_is_not_in_the_log(sending, mailbox):
    assert sending("POST", "/sign-in", {"email": "a@example.org"}).status == 202
    ((is_tls, to, message),) = mailbox.until(1)
    assert is_tls
    assert to == ["a@example.org"]
    assert message["From"] == "me@x.org"
    code = message["Subject"].split()[0]
    for kind in ("text/plain", "text/html"):
        assert code in part(message, kind)
    assert code not in sending.log.read_text()
    made = sending("POST", "/sessions", {"email": "a@example.org", "code": code})
    assert made.status == 201


def test_the_start_says_when_there_is_no_mail_server(api):
    assert "SMTP_URL is not set: sign-in codes and invitations go into this log" in (
        api.log.read_text()
    )


def test_invitees_get_the_meeting_as_a_calendar_file(sending, mailbox):
    user = sending.user("host@example.org")
    made = user.meeting(
        title="<b>Größe</b>",
        invited_participants=["a@example.org", "A@Example.org", "some-id"],
        allow_external=True,
    )
    ((_, to, message),) = mailbox.until(1)
    assert to == ["a@example.org"]
    assert message["Subject"] == "Invitation: <b>Größe</b>"
    assert "&lt;b&gt;Größe&lt;/b&gt;" in part(message, "text/html")
    assert made["invitation_token"] in part(message, "text/plain")
    calendar = part(message, "text/calendar")
    (event,) = Calendar.from_ical(calendar).walk("VEVENT")
    assert event["summary"] == "<b>Größe</b>"
    where = f"/meetings/{made['meeting_id']}"
    invited = [*made["invited_participants"], "b@example.org"]
    assert user("PATCH", where, {"invited_participants": invited}, If_Match="*").status == 200
    assert mailbox.until(2)[1][1] == ["b@example.org"]  # and a@ no second time


def test_an_invitation_to_register_holds_its_token(sending, mailbox):
    made = sending.user("boss@example.org")("POST", "/invitations", {"email": "a@example.org"})
    ((_, to, message),) = mailbox.until(1)
    assert to == ["a@example.org"]
    assert made.body["token"] in part(message, "text/plain")


def test_a_mail_that_can_not_be_sent_is_one_line_and_nothing_waits(serve, path):
    migrate(path)
    api = serve(SMTP_URL=f"smtp://127.0.0.1:{free_port()}").ready()
    started = time.monotonic()
    assert api("POST", "/sign-in", {"email": "a@example.org"}).status == 202
    assert time.monotonic() - started < 1
    time.sleep(0.5)
    assert "no mail to a@example.org: " in api.log.read_text()
    status, log = api.stop()
    assert status == 0
    assert "Traceback" not in log


def test_a_password_never_goes_over_a_network_without_tls():
    assert mail.is_here("127.0.0.1")
    assert mail.is_here("::1")
    assert not mail.is_here("192.0.2.1")
    context = mail.tls_context("mail.example.org")
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_mail_server_without_tls_elsewhere_is_refused(monkeypatch):
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    letter = mail.Letter("a@example.org", "s", ("p",))
    server = MailServer("127.0.0.1", controller.port, None, None, False, "me@x.org")
    try:
        mail.deliver(server, mail.compose(letter, "me@x.org"))  # nobody is between
        monkeypatch.setattr(mail, "is_here", lambda host: False)
        with pytest.raises(mail.FAILURES, match="STARTTLS"):
            mail.deliver(server, mail.compose(letter, "me@x.org"))
    finally:
        controller.stop()
    assert len(box.letters) == 1
