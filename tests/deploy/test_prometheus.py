"""The alert rules: read and tried by Prometheus's own promtool, on metrics that the server has."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.request

import pytest

from tests.conftest import ROOT
from tests.server.world import Api, free_port, migrate

FOLDER = ROOT / "deploy" / "prometheus"
# Part of every scrape, or a counter of requests, which begins with the first one.
BY_SUFFIX = re.compile(r"_(total|bucket)$")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing(arguments):
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_a_rule_is_one_that_the_server_has(path):
    migrate(path)
    port = free_port()
    api = Api(path, METRICS_PORT=str(port)).ready()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            has = set(re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.MULTILINE))
    finally:
        api.kill()
    used = set(re.findall(r"\bmeeting_\w+", (FOLDER / "alerts.yml").read_text()))
    assert "meeting_backup_age_seconds" in used
    has.add("meeting_backup_age_seconds")  # of a database that has a backup
    assert {
        name for name in used if name not in has and BY_SUFFIX.sub("", name) not in has
    } == set()
