"""HTTPS by Caddy in front of a server: the signatures cover the outer host, and rates the client."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tests.server.world import CLIENT, Api, free_port, migrate

CADDY = shutil.which("caddy")
pytestmark = pytest.mark.skipif(CADDY is None, reason="caddy is not installed")


@pytest.fixture
def proxied(path, tmp_path):
    """A server behind the Caddyfile of deploy/, with a certificate of Caddy's own."""
    migrate(path)
    port = free_port()
    url = f"https://localhost:{port}"
    api = Api(path, PUBLIC_URL=url, TRUSTED_PROXIES="127.0.0.1", LOG_LEVEL="debug").ready()
    text = (ROOT / "deploy" / "Caddyfile").read_text()
    text = text.replace("meet.example.org {", f"localhost:{port} {{\n\ttls internal", 1)
    text = text.replace("127.0.0.1:3000", f"127.0.0.1:{api.port}")
    text = text.replace("/var/log/caddy/meetings.log", str(tmp_path / "access.log"))
    config = tmp_path / "Caddyfile"
    options = "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n"
    config.write_text(options + text)
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with (tmp_path / "caddy.log").open("w") as log:
        process = subprocess.Popen(
            [CADDY, "run", "--config", str(config), "--adapter", "caddyfile"],
            env=environ, stdout=log, stderr=log,
        )  # fmt: skip
    root = tmp_path / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    for _ in range(200):
        if root.exists():
            break
        time.sleep(0.05)
    context = ssl.create_default_context(cafile=str(root))
    yield SimpleNamespace(api=api, url=url, port=port, context=context, folder=tmp_path)
    process.terminate()
    process.wait(timeout=20)
    api.kill()


def ask(proxied, method, path, body=None, **headers):
    connection = http.client.HTTPSConnection(
        "localhost", proxied.port, context=proxied.context, timeout=20
    )
    with closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_caddy_takes_the_file():
    done = subprocess.run(
        [CADDY, "adapt", "--config", str(ROOT / "deploy" / "Caddyfile"), "--adapter", "caddyfile"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert "not formatted" not in done.stderr


def test_it_serves_over_https_with_one_id_in_both_logs(proxied):
    for _ in range(100):
        try:
            status, headers, _ = ask(proxied, "GET", "/settings")
            break
        except OSError:
            time.sleep(0.1)
    assert status == 200
    assert headers["Strict-Transport-Security"]
    assert len(headers["X-Request-ID"]) == 36
    assert proxied.api.logged(f"[{headers['X-Request-ID']}] GET /settings 200")

    user = proxied.api.user()
    request = SimpleNamespace(method="GET", url=f"{proxied.url}/meetings", headers={})
    CLIENT.Client(proxied.url, user.client_id, user.secret).signer.sign(
        request, key_id=user.client_id, nonce="once", body=b"",
        covered_component_ids=("@method", "@authority", "@path", "@query"),
    )  # fmt: skip
    assert ask(proxied, "GET", "/meetings", **request.headers)[0] == 200
    assert ask(proxied, "GET", "/join/the-token")[0] == 404
    assert "the-token" not in (proxied.folder / "access.log").read_text()
