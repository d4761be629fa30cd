"""build-and-start.sh --postgres with a real Docker engine: `make test-containers`.

With BASE, the image of PostgreSQL can't be pulled either: ``postgres/`` has a stand-in by its contract.
POSTGRES_IMAGE names another.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, below_where
from tests.containers.test_containers import ADD_COLOR, Installation
from tests.server.world import CLIENT

BOTH = "docker-compose.yml:docker-compose.postgres.yml"
STAND_IN = "meeting-server-test-postgres"
MEETING = {
    "title": "Kick-off", "start_time": "2036-12-01T10:00:00Z", "end_time": "2036-12-01T11:00:00Z",
}  # fmt: skip


class OnPostgres(Installation):
    """The same with PostgreSQL beside the server."""

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """With both files, as by hand; the script finds the second one by itself."""
        before = self.environ.get("COMPOSE_FILE")
        self.environ["COMPOSE_FILE"] = (before or BOTH).replace("docker-compose.yml", BOTH)
        try:
            return super().compose(*arguments)
        finally:
            del self.environ["COMPOSE_FILE"]
            if before:
                self.environ["COMPOSE_FILE"] = before

    def inspect(self, service: str) -> dict:
        number = self.compose("ps", "-aq", service).stdout.strip()
        return json.loads(self.run("docker", "inspect", number).stdout)[0]

    def in_server(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.compose("exec", "-T", "server", *command)

    def client(self):
        done = self.in_server("python", "-m", "server", "session", "add", "me@example.org")
        made = json.loads(done.stdout)
        return CLIENT.Client(
            f"http://127.0.0.1:{self.port}", made["client_id"], made["session_secret"]
        )


@pytest.fixture(scope="module")
def postgres_image():
    if image := os.environ.get("POSTGRES_IMAGE"):
        yield image
    elif base := os.environ.get("BASE"):
        folder = Path(__file__).parent / "postgres"
        build = ["docker", "build", "-q", "--build-arg", f"BASE={base}", "-t", STAND_IN, folder]
        subprocess.run(build, check=True, capture_output=True, timeout=600)
        yield STAND_IN
        subprocess.run(["docker", "image", "rm", STAND_IN], capture_output=True)
    else:
        yield ""  # the one of the file


@pytest.fixture(scope="module")
def clone(tmp_path_factory, postgres_image):
    """Make clean clones that nothing has started."""
    made = []

    def call() -> OnPostgres:
        folder = tmp_path_factory.mktemp("host") / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        made.append(OnPostgres(folder))
        made[-1].environ["POSTGRES_IMAGE"] = postgres_image
        return made[-1]

    yield call
    for installation in made:
        installation.compose("down", "-v")
        installation.run("docker", "image", "rm", installation.environ["SERVER_IMAGE"])


@pytest.fixture(scope="module")
def installation(clone):
    made = clone()
    done = made.script("--postgres", cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"ready at http://127.0.0.1:{made.port}\n")
    return made


def test_from_a_clean_clone_to_a_ready_server(installation):
    assert installation.ready()[0] == 200
    done = installation.in_server("python", "migrations/migrate.py")
    assert done.stdout.startswith("database postgresql://meetings@postgres/meetings\n")
    assert below_where(done.stdout).startswith("nothing to do: 5 of 5 applied")
    assert not installation.database.exists()
    query = (
        "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE NOT datistemplate"
    )
    psql = ("psql", "-U", "meetings", "-Atc", query)
    done = installation.compose("exec", "-T", "postgres", *psql)
    assert set(done.stdout.splitlines()) == {"UTF8|C.UTF-8"}


def test_a_second_call_changes_nothing(installation):
    def state():
        containers = [installation.inspect(name) for name in ("server", "postgres")]
        password = (installation.folder / "data" / "postgres.password").read_text()
        return [(c["Id"], c["State"]["StartedAt"]) for c in containers], password

    before = state()
    done = installation.script("--postgres")
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert state() == before


def test_the_password_is_in_two_files_and_nowhere_else(installation):
    data = installation.folder / "data"
    files = [data / "postgres.password", data / "postgres.pgpass"]
    password = files[0].read_text().strip()
    assert len(password) == 32
    assert password in files[1].read_text()
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert len(set(installation.owners().values())) == 1
    seen = {
        "git": installation.run("git", "status", "--porcelain", "--untracked-files=all"),
        "processes": installation.run("ps", "auxww"),
        "the image": installation.run(
            "docker", "history", "--no-trunc", installation.environ["SERVER_IMAGE"]
        ),
        "compose": installation.compose("config"),
        "the logs": installation.compose("logs"),
    }
    for service in ("server", "postgres"):
        number = installation.inspect(service)["Id"]
        seen[f"{service}: settings"] = installation.run("docker", "inspect", number)
        seen[f"{service}: changed files"] = installation.run("docker", "diff", number)
    for where, done in seen.items():
        assert done.returncode == 0, where
        assert password not in done.stdout + done.stderr, where
    assert "postgres." not in seen["git"].stdout


def test_it_is_closed_in(installation):
    """What the server has, but for the rights that its start as root needs."""
    found = installation.inspect("postgres")
    config = found["HostConfig"]
    assert config["ReadonlyRootfs"] is True
    assert config["CapDrop"] == ["ALL"]
    assert sorted(config["CapAdd"]) == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    assert config["SecurityOpt"] == ["no-new-privileges:true"]
    assert config["Memory"] == 512 * 2**20
    assert config["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert config["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["PortBindings"] == {}
    assert found["Config"]["StopTimeout"] == 60
    (volume,) = [m for m in found["Mounts"] if m["Type"] == "volume"]
    assert volume["Name"] == f"{installation.environ['COMPOSE_PROJECT_NAME']}_postgres"
    status = installation.compose("exec", "-T", "postgres", "cat", "/proc/1/status").stdout
    assert set(re.findall(r"Cap(?:Prm|Eff|Amb):\s*(\w+)", status)) == {"0" * 16}
    assert re.search(r"Uid:\s*(\d+)", status)[1] != "0"


def test_the_upgrade_of_the_page_rehearses_and_has_its_backup(installation):
    """By programs of the image: the host needs none."""
    page = (ROOT / "docs" / "postgresql.md").read_text()
    block = re.search(r"```sh\ngit pull\n(export COMPOSE_FILE=.*?)```", page, re.DOTALL)[1]
    if named := installation.environ.get("COMPOSE_FILE"):
        block = block.replace(BOTH, named.replace("docker-compose.yml", BOTH))
    listing = installation.folder / "server" / "migrations" / "migrate.py"
    text = listing.read_text()
    listing.write_text(
        text.replace('    "add_user_links",\n', '    "add_user_links",\n    "add_color",\n')
    )
    (listing.parent / "add_color.py").write_text(ADD_COLOR)
    before = installation.inspect("postgres")["State"]["StartedAt"]
    done = installation.run("bash", "-e", "-c", block)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("would do add_color") < done.stdout.index("applying add_color")
    name = re.search(r"^backup +/data/backups/(\S+)", done.stdout, re.MULTILINE)[1]
    assert (installation.folder / "data" / "backups" / name).read_bytes().startswith(b"PGDMP")
    assert len(set(installation.owners().values())) == 1
    assert installation.inspect("postgres")["State"]["StartedAt"] == before
    done = installation.in_server("python", "migrations/migrate.py", "down", "--yes")
    assert done.returncode == 0, done.stderr
    listing.write_text(text)
    (listing.parent / "add_color.py").unlink()
    assert installation.script("--postgres").returncode == 0


def test_it_comes_back_after_a_kill_of_the_database(installation):
    client = installation.client()
    status, meeting, _ = client("POST", "/meetings", MEETING)
    assert status == 201
    started = installation.inspect("server")["State"]["StartedAt"]
    state = installation.inspect("postgres")["State"]
    os.kill(state["Pid"], signal.SIGKILL)
    end = time.monotonic() + 60
    while (
        installation.inspect("postgres")["State"]["StartedAt"] == state["StartedAt"]
        or client("GET", f"/meetings/{meeting['meeting_id']}")[0] != 200
    ):
        assert time.monotonic() < end
        time.sleep(0.2)
    installation.until(200, 5)
    assert installation.inspect("server")["State"]["StartedAt"] == started


def test_down_stops_both_and_the_rows_stay(installation):
    client = installation.client()
    status, meeting, _ = client("POST", "/meetings", MEETING)
    assert status == 201
    done = installation.script("--down")
    assert done.returncode == 0, done.stderr
    assert installation.compose("ps", "-aq").stdout == ""
    done = installation.script("--postgres")
    assert done.returncode == 0, done.stderr
    assert client("GET", f"/meetings/{meeting['meeting_id']}")[0] == 200


@pytest.mark.parametrize("arguments", [[], ["--no-docker"], ["--migrate-only"]], ids=str)
def test_it_does_not_go_back_to_a_file_by_mistake(installation, arguments):
    done = installation.script(*arguments)
    assert done.returncode == 2
    assert "this installation is on PostgreSQL; use --postgres" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not installation.database.exists()
    assert installation.ready()[0] == 200


def test_a_password_that_is_gone_is_missed_before_anything_starts(installation):
    file = installation.folder / "data" / "postgres.password"
    password = file.read_text()
    file.unlink()
    done = installation.script("--postgres")
    file.write_text(password)
    assert done.returncode == 2
    assert f"'{file}' is missing, and the volume " in done.stderr
    assert done.stderr.endswith(" was made with it; put it back\n")
    assert installation.ready()[0] == 200
    assert installation.script("--postgres").returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_last_words_of_a_database_that_does_not_start_are_shown(installation, postgres_image):
    if not postgres_image:
        pytest.skip("the image of the file is the official one")
    version = installation.run(
        "docker", "run", "--rm", "-v",
        f"{installation.environ['COMPOSE_PROJECT_NAME']}_postgres:/d", "--entrypoint", "cat",
        postgres_image, "/d/PG_VERSION",
    ).stdout.strip()  # fmt: skip
    write = "echo {} > /var/lib/postgresql/data/PG_VERSION"
    installation.compose("exec", "-T", "postgres", "sh", "-c", write.format(14))
    installation.compose("stop", "postgres")
    done = installation.script("--postgres")
    name = f"{installation.environ['COMPOSE_PROJECT_NAME']}_postgres:/var/lib/postgresql/data"
    installation.run(
        "docker", "run", "--rm", "-v", name, "--entrypoint", "sh", postgres_image, "-c",
        write.format(version),
    )  # fmt: skip
    assert done.returncode == 2
    assert "build-and-start.sh: PostgreSQL did not start: " in done.stderr
    assert "initialized by PostgreSQL version 14" in done.stderr
    assert installation.script("--postgres").returncode == 0


def test_the_readmes_road_from_sqlite(clone):
    made = clone()
    readme = (ROOT / "README.md").read_text()
    start, move = re.search(
        r"```sh\n(\./build-and-start\.sh --postgres)\n```.*?```sh\n(docker compose exec.*?)```",
        readme,
        re.DOTALL,
    ).groups()
    done = made.script()
    assert done.returncode == 0, done.stderr
    client = made.client()
    status, meeting, _ = client("POST", "/meetings", MEETING)
    assert status == 201

    done = made.run("bash", "-e", "-c", start)
    assert done.returncode == 2
    told = done.stderr.partition("data/meetings.sqlite is not in PostgreSQL yet; ")[2]
    assert move.partition("\n./")[0] in re.sub(r"^  ", "", told, flags=re.MULTILINE)
    assert made.until(503, 20)["error"]["code"] == "not_ready"
    before = made.database.read_bytes()

    done = made.run("bash", "-e", "-c", move)
    assert done.returncode == 0, done.stderr
    assert "copy    meetings, 1 row" in done.stdout
    assert done.stdout.endswith(f"ready at http://127.0.0.1:{made.port}\n")
    assert client("GET", f"/meetings/{meeting['meeting_id']}")[0] == 200
    assert made.database.read_bytes() == before
    assert made.script("--postgres").returncode == 0
