"""The recordings of the short scenes are what a terminal shows."""

from __future__ import annotations

import re

import pytest

from tests.guarded.cli.test_live import at_a_terminal
from tests.recordings import PAGE, SCENES, environment, masked, set_up

SHORT = [scene for scene in SCENES if not scene.watched]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("scene", SHORT, ids=lambda scene: scene.title)
def test_a_recording_is_what_a_terminal_shows(scene, columns, tmp_path, monkeypatch):
    section = PAGE.read_text().partition(f"## {scene.title}\n")[2]
    block = section.partition(f"{columns} columns:\n\n```text\n")[2].partition("\n```")[0]
    command, _, recorded = block.partition("\n")
    assert command == f"$ {scene.command}"
    monkeypatch.chdir(set_up(scene, tmp_path))
    variables = {**environment(), "NO_COLOR": "1"}
    _, shown = at_a_terminal(scene.command.split(), columns, input=b"n\n", **variables)
    plain = re.sub(r"\r\x1b\[K[^\r\n]*(?=\r\x1b\[K)|\r\x1b\[K", "", shown.replace("\r\n", "\n"))
    assert masked(plain.replace("\r", "")).startswith(masked(recorded))
