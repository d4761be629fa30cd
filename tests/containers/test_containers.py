"""With a real Docker engine: `make test-containers`.  Not part of the ordinary tests.

Where the image's base can't be pulled, BASE names one that is here.  ENGINE_RESTART is a command that
stops the engine and starts it; without it, and without systemd, that test is left out.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ROOT, below_where, migration
from tests.server.world import CLIENT

KILLS_APART = float(os.environ.get("KILLS_APART", "60"))  # seconds


class Installation:
    """A clone of the project on this host, with containers of its own name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "data" / "meetings.sqlite"
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        name = f"test-{secrets.token_hex(4)}"
        self.environ = {
            **{name: value for name, value in os.environ.items() if name != "BASE"},
            "PORT": str(self.port),
            "COMPOSE_PROJECT_NAME": name,
            "SERVER_IMAGE": name,
        }
        if base := os.environ.get("BASE"):
            override = folder / "base.yml"
            override.write_text(f"services: {{server: {{build: {{args: {{BASE: '{base}'}}}}}}}}\n")
            self.environ["COMPOSE_FILE"] = f"docker-compose.yml:{override}"

    def run(self, *command: str, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=options.pop("cwd", self.folder),
            env={**self.environ, **options.pop("env", {})},
            capture_output=True,
            text=True,
            timeout=600,
            **options,
        )

    def script(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.folder / "build-and-start.sh"), *arguments, **options)

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        if "SERVER_UID" not in self.environ:
            owner = (self.folder / "data").stat()
            self.environ |= {"SERVER_UID": str(owner.st_uid), "SERVER_GID": str(owner.st_gid)}
        return self.run("docker", "compose", *arguments)

    def migrate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = str(self.folder / ".venv" / "bin" / "python")
        return self.run(python, "migrations/migrate.py", *arguments, cwd=self.folder / "server")

    def ready(self) -> tuple[int, dict]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/readyz", timeout=5
            ) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as exc:
            return exc.code, json.loads(exc.read())
        except OSError:
            return 0, {}

    def until(self, status: int, seconds: float) -> dict:
        end = time.monotonic() + seconds
        while True:
            found, body = self.ready()
            if found == status:
                return body
            assert time.monotonic() < end, f"{found} {body} in place of {status}"
            time.sleep(0.05)

    def container(self, form: str) -> str:
        number = self.compose("ps", "-aq", "server").stdout.strip()
        return self.run("docker", "inspect", "--format", form, number).stdout.strip()

    def owners(self) -> dict[str, tuple[int, int]]:
        folder = self.folder / "data"
        found = [folder, *(p for p in folder.rglob("*") if p.name != ".gitkeep")]
        return {p.name: (p.stat().st_uid, p.stat().st_gid) for p in found}

    def add_migration(self, name: str, text: str) -> None:
        assert self.migrate("new", name).returncode == 0
        (self.folder / "server" / "migrations" / f"{name}.py").write_text(text)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """A clean clone that ./build-and-start.sh has started."""
    folder = tmp_path_factory.mktemp("host") / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    made = Installation(folder)
    done = made.script(cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"ready at http://127.0.0.1:{made.port}\n")
    yield made
    made.compose("down", "-v", "--rmi", "all")


def test_from_a_clean_clone_to_a_ready_server(installation):
    assert installation.ready()[0] == 200
    done = installation.compose("exec", "-T", "server", "python", "migrations/migrate.py")
    assert below_where(done.stdout).startswith("nothing to do: 5 of 5 applied")
    assert installation.compose("exec", "-T", "server", "id", "-u").stdout.strip() != "0"
    for tool in ("gcc", "make"):
        assert installation.compose("exec", "-T", "server", "which", tool).returncode != 0


def test_a_second_call_changes_nothing(installation):
    before = installation.container("{{.Id}} {{.State.StartedAt}}")
    done = installation.script()
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
    assert installation.container("{{.Id}} {{.State.StartedAt}}") == before


def test_the_container_becomes_healthy(installation):
    for _ in range(60):
        if installation.container("{{.State.Health.Status}}") == "healthy":
            return
        time.sleep(1)
    pytest.fail("not healthy within a minute")


WRITE = (
    "import sqlite3, sys, time\n"
    "c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
    "for number in range(10_000):\n"
    "    c.execute('INSERT INTO nonce_cache (nonce) VALUES (?)', (f'{sys.argv[2]} {number}',))\n"
)


def test_host_and_container_write_at_once_and_nothing_is_lost(installation):
    before = installation.owners()
    in_container = ["docker", "compose", "exec", "-T", "server", "python", "-c", WRITE]
    inside = subprocess.Popen(
        [*in_container, "/data/meetings.sqlite", "container"],
        cwd=installation.folder,
        env=installation.environ,
    )
    outside = subprocess.Popen(
        [installation.folder / ".venv/bin/python", "-c", WRITE, installation.database, "host"]
    )
    assert (inside.wait(), outside.wait()) == (0, 0)
    with closing(sqlite3.connect(installation.database)) as connection:
        found = connection.execute(
            "SELECT substr(nonce, 1, 4), count(*) FROM nonce_cache GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert found == [("cont", 10_000), ("host", 10_000)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    seen = installation.compose(
        "exec", "-T", "server", "python", "-c",
        "import sqlite3; print(sqlite3.connect('/data/meetings.sqlite').execute("
        "'SELECT count(*) FROM nonce_cache').fetchone()[0])",
    )  # fmt: skip
    assert seen.stdout.strip() == "20000"
    after = installation.owners()
    assert {name: after[name] for name in before} == before
    assert len(set(after.values())) == 1


ADD_COLOR = migration(
    "migrator.migrate(migrator.add_column('meetings', 'color', CharField(null=True)))",
    "migrator.migrate(migrator.drop_column('meetings', 'color'))",
)


def test_a_new_migration_makes_it_wait_until_the_host_has_run_it(installation):
    owners = installation.owners()
    installation.compose("stop")
    installation.run("docker", "tag", installation.environ["SERVER_IMAGE"], "older-image")
    installation.add_migration("add_color", ADD_COLOR)
    assert installation.compose("up", "-d", "--build").returncode == 0
    body = installation.until(503, 20)
    assert body["error"]["pending"] == ["add_color"]
    process = installation.container("{{.State.Pid}} {{.State.StartedAt}}")
    assert "applying add_color" in installation.migrate().stdout
    installation.until(200, 2)
    assert installation.container("{{.State.Pid}} {{.State.StartedAt}}") == process
    after = installation.owners()
    assert {name: after[name] for name in owners if name in after} == {
        name: owner for name, owner in owners.items() if name in after
    }
    assert len(set(after.values())) == 1


def test_an_older_image_on_a_newer_database_says_why_and_does_not_loop(installation):
    newer = installation.environ["SERVER_IMAGE"]
    installation.environ["SERVER_IMAGE"] = "older-image"
    installation.compose("up", "-d", "--no-build")
    says = "the database is ahead of this code: 'add_color'"
    try:
        error = installation.until(503, 20)["error"]
        assert error["code"] == "inconsistent_history"
        assert says in error["message"]
        started = installation.container("{{.State.StartedAt}}")
        time.sleep(15)
        state = installation.container("{{.State.Status}} {{.RestartCount}} {{.State.StartedAt}}")
        assert state == f"running 0 {started}"
        assert installation.compose("logs", "server").stdout.count(says) == 1
    finally:
        installation.environ["SERVER_IMAGE"] = newer
        installation.compose("up", "-d", "--no-build")
        installation.until(200, 20)
        installation.run("docker", "image", "rm", "older-image")


def test_the_commands_of_the_host_work_in_it(installation):
    """With a read-only root, and beside the server that serves."""
    done = installation.compose(
        "exec", "-T", "server", "python", "-m", "server", "session", "add", "me@example.org"
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    client = CLIENT.Client(
        f"http://127.0.0.1:{installation.port}", made["client_id"], made["session_secret"]
    )
    status, sessions, _ = client("GET", "/sessions")
    assert (status, [session["is_this"] for session in sessions]) == (200, [True])
    with urllib.request.urlopen(f"http://127.0.0.1:{installation.port}/") as page:
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_it_is_closed_in(installation):
    """Nothing can be written but the data and the temporary files, by a user without rights."""
    inspect = installation.container("{{json .HostConfig}}")
    config = json.loads(inspect)
    assert config["ReadonlyRootfs"] is True
    assert config["CapDrop"] == ["ALL"]
    assert config["SecurityOpt"] == ["no-new-privileges:true"]
    assert config["Memory"] == 512 * 2**20
    assert config["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert config["RestartPolicy"]["Name"] == "unless-stopped"
    assert [p["HostIp"] for p in config["PortBindings"]["3000/tcp"]] == ["127.0.0.1"]
    assert installation.compose("exec", "-T", "server", "touch", "/app/x").returncode != 0
    assert installation.compose("exec", "-T", "server", "touch", "/tmp/x").returncode == 0
    caps = installation.compose("exec", "-T", "server", "grep", "Cap", "/proc/1/status").stdout
    assert set(re.findall(r"Cap(?:Prm|Eff|Bnd|Amb):\s*(\w+)", caps)) == {"0" * 16}


def test_it_comes_back_after_every_kill(installation):
    """More often than a policy with a number of tries would start it."""
    for _ in range(4):
        before = installation.container("{{.State.StartedAt}}")
        os.kill(int(installation.container("{{.State.Pid}}")), signal.SIGKILL)
        for _ in range(200):
            if installation.container("{{.State.StartedAt}}") != before:
                break
            time.sleep(0.2)
        installation.until(200, 30)
        time.sleep(KILLS_APART)


def restart_the_engine() -> None:
    command = os.environ.get("ENGINE_RESTART")
    if not command and Path("/run/systemd/system").is_dir():
        command = "systemctl restart docker"
    if not command:
        pytest.skip("ENGINE_RESTART is not set, and there is no systemd")
    subprocess.run(command, shell=True, check=True, timeout=120)


def test_it_comes_back_with_the_engine(installation):
    restart_the_engine()
    installation.until(200, 60)
    os.kill(int(installation.container("{{.State.Pid}}")), signal.SIGKILL)
    restart_the_engine()
    installation.until(200, 60)


def test_a_new_build_leaves_no_image_without_a_name(installation):
    def nameless() -> set[str]:
        return set(installation.run("docker", "images", "-qf", "dangling=true").stdout.split())

    before = nameless()
    (installation.folder / "server" / "marker.py").write_text('"""New code."""\n')
    was = installation.container("{{.Image}}")
    assert installation.script().returncode == 0
    assert installation.container("{{.Image}}") != was
    assert nameless() - before == set()


def test_by_hand_it_starts_or_says_the_line_to_run(tmp_path):
    """Without the script: as root, and as a user whose id is not the image's."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    made = Installation(folder)
    data = folder / "data"
    made.environ |= {"SERVER_UID": "1000", "SERVER_GID": "1000"}  # the default of the file
    try:
        for owner in (0, 4711):
            data.chmod(0o700)
            os.chown(data, owner, owner)
            assert made.compose("up", "-d", "--build").returncode == 0
            error = made.until(503, 30)["error"]
            assert error["code"] == "fault"
            line = error["message"].partition("; on the host: ")[2]
            assert made.run("sh", "-c", line).returncode == 0, error
            for _ in range(100):
                if made.until(503, 20)["error"]["code"] == "not_ready":
                    break
                time.sleep(0.2)
            done = made.compose("exec", "-T", "server", "python", "migrations/migrate.py")
            assert done.returncode == 0, done.stderr
            made.until(200, 10)
            owners = {p.stat().st_uid for p in data.iterdir() if p.name != ".gitkeep"}
            assert owners == {owner or 1000}
            made.compose("down")
            for file in data.iterdir():
                if file.name != ".gitkeep":
                    shutil.rmtree(file) if file.is_dir() else file.unlink()
    finally:
        made.compose("down", "-v", "--rmi", "all")


def test_a_failed_migration_stops_the_script_and_the_server_is_not_ready(installation):
    listing = installation.folder / "server" / "migrations" / "migrate.py"
    before = listing.read_text()
    installation.add_migration("fail_now", migration("1 / 0", "pass"))
    done = installation.script()
    assert done.returncode == 2
    assert "up of 'fail_now' failed: ZeroDivisionError" in done.stderr
    assert installation.until(503, 20)["error"]["pending"] == ["fail_now"]
    listing.write_text(before)
    (listing.parent / "fail_now.py").unlink()
    assert installation.script().returncode == 0


def test_down_stops_it_and_the_database_stays(installation):
    assert installation.script("--down").returncode == 0
    assert installation.ready()[0] == 0
    with closing(sqlite3.connect(installation.database)) as connection:
        assert connection.execute("SELECT count(*) FROM nonce_cache").fetchone()[0] >= 0
    assert installation.script().returncode == 0
    assert installation.ready()[0] == 200


def test_without_docker_a_local_process_does_the_same(tmp_path):
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    made = Installation(folder)
    for _ in range(2):
        done = made.script("--no-docker", cwd="/")
        assert done.returncode == 0, done.stderr
        assert f"ready at http://127.0.0.1:{made.port}" in done.stdout
    assert "the server runs already" in done.stdout
    assert made.script("--down").returncode == 0
    assert made.ready()[0] == 0
    assert made.script("--migrate-only").stdout.endswith(
        "nothing to do: 5 of 5 applied, the newest is add_user_links\n"
    )


def test_a_missing_tool_is_named(tmp_path):
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    made = Installation(folder)
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "uname", "stat", "cat", "python3", "env", "mkdir"):
        (tools / tool).symlink_to(shutil.which(tool))
    done = made.script(env={"PATH": str(tools)})
    assert (done.returncode, done.stderr) == (
        2,
        "build-and-start.sh: docker is missing; install it, or use --no-docker\n",
    )
    done = made.script(env={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert done.returncode == 2
    assert "no Docker engine answers" in done.stderr
