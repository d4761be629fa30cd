"""From a URL to a connection, on a real server."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from guarded.backends.postgresql.connect import locate
from guarded.errors import UnusableDatabase
from tests import postgres
from tests.conftest import MIGRATE, ROOT


@pytest.mark.parametrize(
    ("location", "words"),
    [
        pytest.param("postgresql:name", "is no URL of PostgreSQL", id="no slashes"),
        pytest.param("postgresql+psycopg://h/db", "is no URL of PostgreSQL", id="SQLAlchemy's"),
        pytest.param("postgresql://u:secret@h", "names no database", id="no database"),
        pytest.param("postgresql://u:sec@ret@h/db", "more than one @", id="a bare @"),
        pytest.param("postgresql://u:sec%zzret@h/db", "percent-encoded", id="a bad escape"),
        pytest.param("postgresql://u:secret@h/db?nope=1", "query parameter", id="a parameter"),
        pytest.param("postgresql://u:secret@h/db\r", "can't be printed", id="Windows line ends"),
        pytest.param("postgresql://u:secret@[::1/db", "is no URL", id="half an address"),
    ],
)
def test_a_bad_url_is_one_line_without_the_password(location, words):
    with pytest.raises(UnusableDatabase, match=words) as raised:
        locate(location)
    assert "\n" not in str(raised.value)
    assert not {"secret", "sec", "ret"} & set(str(raised.value).replace("'", " ").split())
    assert "secret" not in str(raised.value) and "zzret" not in str(raised.value)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("postgresql://h/db", "postgresql://h/db"),
        ("POSTGRES://u:secret@h:5433/db", "postgresql://u@h:5433/db"),
        ("postgresql://u:p%40ss@h/a%20b", "postgresql://u@h/a%20b"),
        (
            "postgresql://u@h/db?password=secret&sslmode=require",
            "postgresql://u@h/db?sslmode=require",
        ),
        ("postgresql://h/db?sslpassword=secret", "postgresql://h/db"),
        ("postgresql:///db?host=/run/pg&port=5433", "postgresql:///db?host=/run/pg&port=5433"),
        (
            "postgresql://u:secret@a:1,b:2/db?target_session_attrs=read-write",
            "postgresql://u@a:1,b:2/db?target_session_attrs=read-write",
        ),
        ("postgresql://[::1]:5433/db", "postgresql://[::1]:5433/db"),
    ],
)
def test_what_is_shown_has_no_secret_and_leads_to_the_same_place(location, shown):
    found = locate(location)
    assert str(found) == shown
    secrets = {"password", "sslpassword"}
    kept = {k: v for k, v in found.parameters.items() if k not in secrets}
    assert locate(shown).parameters == kept


def test_a_connection_is_in_autocommit_and_says_who_it_is(postgres_url):
    with locate(postgres_url).connected() as connection:
        assert connection.autocommit
        (name,) = connection.execute("SELECT current_setting('application_name')").fetchone()
    assert name == "guarded"


def test_the_search_path_of_the_url_counts(postgres_url):
    with locate(f"{postgres_url}?options=-csearch_path%3Dother").connected() as connection:
        assert connection.execute("SHOW search_path").fetchone() == ("other",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"dbname": "nowhere"}, 'CREATE DATABASE "nowhere"', id="no database"),
        pytest.param({"user": "nobody_here"}, "nobody_here", id="no role"),
        pytest.param({"port": "1"}, "start the server", id="no server"),
        pytest.param({"host": "no.such.host.invalid"}, "name of the host", id="no host"),
        pytest.param({"sslmode": "require"}, "SSL", id="no TLS"),
    ],
)
def test_a_failed_connection_is_one_line_with_the_remedy(postgres_url, change, words):
    with pytest.raises(UnusableDatabase) as raised:
        locate(postgres_url).at(password="secret", **change).connect()
    assert words in str(raised.value) and "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_of_several_hosts_the_primary_is_taken(postgres_server, postgres_url):
    name = postgres_url.rpartition("/")[2]
    hosts = f"127.0.0.1:1,127.0.0.1:{postgres_server.port}"
    with locate(f"postgresql://postgres@{hosts}/{name}").connected() as connection:
        assert connection.info.port == postgres_server.port
        options = connection.info.get_parameters()
    assert options["target_session_attrs"] == "primary"
    told = locate(f"postgresql://postgres@{hosts}/{name}?target_session_attrs=any")
    with told.connected() as connection:
        assert connection.info.get_parameters().get("target_session_attrs", "any") == "any"


def test_a_standby_alone_is_named_as_such(postgres_server, postgres_url):
    url = f"{postgres_url}?target_session_attrs=standby"
    with pytest.raises(UnusableDatabase, match="standby"):
        locate(url).connect()


def test_a_password_with_everything_in_it(postgres_server, postgres_url):
    """The server asks for none here, so this shows that libpq gets it as it was written."""
    word = "p@ss:w/rd%40 &?#"
    quoted = "p%40ss%3Aw%2Frd%2540%20%26%3F%23"
    found = locate(postgres_url.replace("postgres@", f"postgres:{quoted}@"))
    assert found.parameters["password"] == word
    with found.connected() as connection:
        assert connection.info.password == word


def test_size_and_version_are_the_servers(postgres_url):
    found = locate(postgres_url)
    assert found.size() > 1_000_000
    with psycopg.connect(postgres_url) as connection:
        assert found.version == f"PostgreSQL {connection.info.parameter_status('server_version')}"


def migrate(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MIGRATE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("arguments", [["status"], ["up"], ["plan"], ["doctor"]])
def test_a_bad_url_ends_every_command_in_one_line_with_status_2(arguments):
    done = migrate("--database", "postgresql://u:secret@127.0.0.1:1/db", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "start the server" in line and "secret" not in line


def test_without_the_driver_the_extra_is_named(tmp_path):
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError(\"No module named 'psycopg'\")")
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.path.insert(0, sys.argv.pop(1))\n"
        "from server.migrations.migrate import main; main()"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path)]
    url = "postgresql://u:secret@h/db"
    done = subprocess.run(
        [*command, "--database", url, "status"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "secret" not in done.stderr
    assert "pip install 'meeting-server[postgresql]'" in done.stderr


def test_on_sqlite_our_code_does_not_ask_for_psycopg(tmp_path):
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "from guarded.cli.session import locate\n"
        "from server.migrations.migrate import PROJECT\n"
        "with locate(PROJECT, sys.argv[1]).reading() as inspector: pass\n"
        "print('psycopg' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "a.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"


def test_a_killed_server_comes_back_with_what_was_committed():
    with postgres.running() as server:
        with server.connect() as connection:
            connection.execute("CREATE TABLE kept (id int)")
        server.kill()
        server.start()
        with server.connect() as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
