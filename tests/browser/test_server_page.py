"""The page in a real Chromium: `make test-browser`.  Not part of the ordinary tests.

Screenshots of every view, at 390 and 1280 pixels, go to the folder SCREENSHOTS, for people to look at.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import ROOT
from tests.server.test_mail import Mailbox
from tests.server.world import Api, free_port, migrate

OWNER, MEMBER = "me@example.org", "you@example.org"
AXE = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (390, 1280)
RENDERING = (NoSuchElementException, StaleElementReferenceException)  # the view is being changed
SHOTS = Path(os.environ.get("SCREENSHOTS") or "/tmp/screenshots")
PICTURE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9c"
    b"c\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)

# Pairs of visible controls that lie over one another, and what is wider than the window.
LAYOUT = """
const visible = [...document.querySelectorAll('a, button, input, select, textarea, output, h1, h2')]
  .filter((e) => !e.classList.contains('skip') && e.getClientRects().length);
const boxes = visible.map((e) => [e, e.getBoundingClientRect()]);
const found = [];
for (const [a, x] of boxes) {
  if (x.right > innerWidth + 1 || x.left < -1) found.push('outside: ' + a.outerHTML.slice(0, 80));
  for (const [b, y] of boxes) {
    if (a === b || a.contains(b) || b.contains(a)) continue;
    if (x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 1 && y.top < x.bottom - 1)
      found.push('overlap: ' + a.outerHTML.slice(0, 60) + ' | ' + b.outerHTML.slice(0, 60));
  }
}
if (document.documentElement.scrollWidth > innerWidth) found.push('wider than the window');
return found;
"""


class Person:
    """A browser profile of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--lang=en-US", f"--user-data-dir={folder}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.look_like(1280)

    def look_like(self, width: int, scheme: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})

    def open(self, where: str) -> None:
        self.driver.get(self.url + where)

    def until(self, what, seconds: float = 10):
        wait = WebDriverWait(self.driver, seconds, 0.05, RENDERING)
        return wait.until(lambda _: what())

    @property
    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def reads(self, text: str, seconds: float = 10) -> None:
        try:
            self.until(lambda: text in self.text, seconds)
        except Exception as exc:
            raise AssertionError(f"'{text}' is not in: {self.text}\n{self.log()}") from exc

    def button(self, name: str):
        return self.until(
            lambda: next(
                (b for b in self.driver.find_elements(By.TAG_NAME, "button") if b.text == name),
                None,
            )
        )

    def press(self, name: str) -> None:
        self.button(name).click()

    def field(self, name: str):
        return self.until(lambda: self.driver.find_element(By.NAME, name))

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            field = self.field(name)
            field.clear()
            field.send_keys(value)

    def run(self, script: str, *arguments):
        return self.driver.execute_async_script(
            f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})()"
            ".then(done, (error) => done('failed: ' + error.name))",
            *arguments,
        )

    def log(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def sign_in(self, email: str, mailbox: Mailbox) -> None:
        count = len(mailbox.letters)
        self.open("/")
        self.fill(email=email)
        self.field("email").send_keys(Keys.ENTER)
        self.reads("Enter the code")
        _, _, letter = mailbox.until(count + 1)[-1]
        self.fill(code=re.search(r"\b\d{6}\b", letter["Subject"])[0])
        self.field("code").send_keys(Keys.ENTER)
        self.button("Sign out")

    def inspect(self, view: str) -> None:
        """Take pictures; nothing overlaps, all can be reached by keyboard, and axe finds nothing."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                self.look_like(width, scheme)
                name = f"{view}-{width}{'' if scheme == 'light' else '-dark'}.png"
                (SHOTS / name).write_bytes(self.driver.get_screenshot_as_png())
                assert self.driver.execute_script(LAYOUT) == [], name
                assert self.axe() == [], name
        self.look_like(1280)
        assert self.unreached() == []

    def axe(self) -> list[str]:
        self.driver.execute_script(AXE.read_text())
        found = self.run("return (await axe.run()).violations")
        return [f"{v['id']}: {n['html']} {n['failureSummary']}" for v in found for n in v["nodes"]]

    def unreached(self) -> list[str]:
        """Controls that the tab key does not come to."""
        self.driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
        controls = "a[href], button:not(:disabled), input, select, textarea"
        shown = self.driver.execute_script(
            f"return [...document.querySelectorAll('{controls}')]"
            ".filter((e) => e.getClientRects().length)"
        )
        reached = set()
        for _ in range(len(shown) * 6 + 10):  # a field for a date has several stops
            webdriver.ActionChains(self.driver).send_keys(Keys.TAB).perform()
            reached.add(self.driver.switch_to.active_element.id)
        return [e.get_attribute("outerHTML") for e in shown if e.id not in reached]

    def close(self) -> None:
        self.driver.quit()


@pytest.fixture(scope="module")
def mailbox():
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.url = f"smtp://127.0.0.1:{controller.port}"
    yield box
    controller.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory, mailbox):
    path = tmp_path_factory.mktemp("page") / "meetings.sqlite"
    migrate(path)
    api = Api(path, SMTP_URL=mailbox.url, ADMINS=OWNER, TRUSTED_PROXIES="10.0.0.1").ready()
    yield api
    status, log = api.stop()
    assert (status, "Traceback" in log) == (0, False), log


@pytest.fixture(scope="module")
def people(api, tmp_path_factory):
    started = []

    def start() -> Person:
        folder = tmp_path_factory.mktemp("profile")
        started.append(Person(folder, f"http://localhost:{api.port}"))
        return started[-1]

    yield start
    for person in started:
        person.close()


@pytest.fixture(scope="module")
def owner(people, api, mailbox) -> Person:
    command = [sys.executable, "-m", "server", "session", "add", OWNER]
    environ = {**os.environ, "DB_PATH": str(api.path)}
    subprocess.run(command, check=True, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    person = people()
    person.open("/")
    person.reads("You get a code of six digits")
    person.inspect("sign-in")
    person.sign_in(OWNER, mailbox)
    return person


@pytest.fixture
def link(owner) -> str:
    """The link of a meeting whose page the owner has open."""
    owner.open("/#/new")
    owner.fill(title="Kick-off", description="Bring ideas.\nAnd cake.", invited=MEMBER)
    owner.press("Plan the meeting")
    return owner.until(lambda: owner.driver.find_element(By.ID, "link")).text


def join(person: Person, link: str, name: str) -> None:
    person.open(f"/join/{link.rpartition('/')[2]}")
    person.fill(name=name)
    person.press("Ask to be let in")
    person.reads("You asked to be let in")


def test_a_guest_asks_and_the_owner_sees_it_and_decides_without_reloading(owner, people, link):
    owner.driver.execute_script("window.stays = true")
    guest = people()
    guest.open(f"/join/{link.rpartition('/')[2]}")
    guest.reads("Your name")
    guest.inspect("guest")
    join(guest, link, "Gäst <b>")
    guest.inspect("guest-waits")
    owner.reads("Gäst <b> · asks to be let in", 5)
    owner.inspect("lobby")
    owner.press("Decline Gäst <b>")
    guest.reads("You were not let in", 5)
    guest.until(lambda: guest.button("Ask again").is_enabled())
    guest.run("await new Promise((resolve) => setTimeout(resolve, 5200))")
    guest.press("Ask again")
    owner.reads("Gäst <b> · asks to be let in", 5)
    owner.press("Admit Gäst <b>")
    guest.reads("You are in.", 5)
    owner.reads("Gäst <b> · is in", 5)
    guest.driver.refresh()
    guest.reads("You are in.")
    guest.inspect("guest-in")
    guest.press("Leave")
    guest.reads("Your name")
    owner.reads("Nobody yet", 5)
    assert owner.driver.execute_script("return window.stays") is True


def test_all_of_it_goes_by_keyboard_alone(owner):
    owner.open("/#/new")
    owner.reads("New meeting")
    keys = webdriver.ActionChains(owner.driver)
    focused = lambda: owner.driver.switch_to.active_element  # noqa: E731
    for _ in range(30):
        if focused().get_attribute("name") == "title":
            break
        keys.send_keys(Keys.TAB).perform()
    focused().send_keys("By keyboard", Keys.ENTER)
    owner.reads("Link for guests")
    assert focused().tag_name == "h1"  # the focus follows the view
    assert focused().text == "By keyboard"


def test_every_view_is_in_order(owner, link):
    for where, says, name in (
        ("/#/", "Kick-off", "meetings"),
        ("/#/new", "Plan the meeting", "new"),
        ("/#/devices", "this one", "devices"),
        ("/#/administration", "Who may register", "administration"),
        ("/docs", "GET /settings", "docs"),
    ):
        owner.open(where)
        owner.reads(says)
        if name == "docs":
            assert owner.axe() == []
        else:
            owner.inspect(name)


def test_an_invitee_answers_and_does_not_decide(owner, people, mailbox, link):
    meeting = owner.driver.current_url.rpartition("/")[2]
    member = people()
    member.sign_in(MEMBER, mailbox)
    member.open(f"/#/meeting/{meeting}")
    member.press("Accept")
    member.until(lambda: member.button("Accept").get_attribute("aria-pressed") == "true")
    assert "Lobby" not in member.text
    assert "Link for guests" not in member.text
    assert "Administration" not in member.text
    member.inspect("invitee")
    owner.driver.refresh()
    owner.reads("you@example.org · accepted")


def test_the_secret_can_not_be_read_back(owner):
    kind = owner.run(
        "const open = indexedDB.open('meetings', 1);"
        "await new Promise((resolve) => { open.onsuccess = resolve; });"
        "const get = open.result.transaction('keys').objectStore('keys').get('session');"
        "await new Promise((resolve) => { get.onsuccess = resolve; });"
        "const kept = get.result; open.result.close();"
        "return [Object.keys(kept).sort().join(), kept.key.extractable, kept.key.usages.join()]"
    )
    assert kind == ["client_id,key,user_id", False, "sign"]
    assert owner.run(
        "const open = indexedDB.open('meetings', 1);"
        "await new Promise((resolve) => { open.onsuccess = resolve; });"
        "const get = open.result.transaction('keys').objectStore('keys').get('session');"
        "await new Promise((resolve) => { get.onsuccess = resolve; });"
        "const key = get.result.key; open.result.close();"
        "return await crypto.subtle.exportKey('raw', key)"
    ) == "failed: InvalidAccessError"  # fmt: skip
    assert owner.driver.execute_script("return [localStorage.length, document.cookie]") == [0, ""]


def test_the_policy_holds_in_the_browser(owner):
    owner.open("/")
    owner.log()
    assert owner.run(
        "const s = document.createElement('script'); s.append('window.hacked = 1');"
        "document.body.append(s); return window.hacked ?? 'blocked'"
    ).startswith(("blocked", "failed"))
    assert owner.run("return fetch('http://127.0.0.1:9/')").startswith("failed")
    assert owner.run("document.body.innerHTML = '<b>x</b>'; return 'set'") == "failed: TypeError"
    assert any("Content Security Policy" in line for line in owner.log())


def test_no_view_breaks_the_policy_or_asks_another_host(owner, link):
    owner.log()
    for where in ("/#/", "/#/new", "/#/administration", "/docs"):
        owner.open(where)
        owner.until(lambda: owner.driver.find_elements(By.TAG_NAME, "h1"))
        hosts = owner.driver.execute_script(
            "return performance.getEntries().filter((e) => e.name.includes('://'))"
            ".map((e) => new URL(e.name).host)"
        )
        assert set(hosts) <= {f"localhost:{owner.url.rpartition(':')[2]}"}
    assert owner.log() == []


def test_name_and_picture_of_the_server_are_seen(owner, tmp_path):
    picture = tmp_path / "logo.png"
    picture.write_bytes(PICTURE)
    owner.open("/#/administration")
    owner.fill(name="Team Blau")
    owner.field("picture").send_keys(str(picture))
    owner.press("Save")
    owner.reads("Saved.")
    shown = owner.driver.find_element(By.ID, "picture")
    assert shown.is_displayed()
    assert owner.until(lambda: shown.get_property("naturalWidth")) == 1
    assert owner.driver.find_element(By.ID, "name").text == "Team Blau"
    owner.fill(email="new@example.org")
    owner.press("Invite")
    owner.reads("new@example.org · code")
    owner.inspect("administration-filled")


def test_a_clock_that_is_wrong_does_not_lock_anybody_out(owner):
    owner.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "const now = Date.now; Date.now = () => now() - 3600000"},
    )
    owner.driver.refresh()
    owner.open("/#/devices")
    owner.reads("this one")


def test_a_session_that_was_ended_elsewhere_leads_to_the_sign_in(people, api, mailbox):
    person = people()
    person.sign_in("third@example.org", mailbox)
    with closing(sqlite3.connect(api.path, isolation_level=None, timeout=20)) as connection:
        connection.execute("DELETE FROM client_sessions WHERE user_id = 'third@example.org'")
    person.open("/#/devices")
    person.reads("You get a code of six digits")


def test_without_https_the_page_says_why_nobody_can_sign_in(people, api):
    person = people()
    person.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "Object.defineProperty(window, 'isSecureContext', {value: false})"},
    )
    person.open("/")
    person.reads("over HTTPS or on localhost only")
