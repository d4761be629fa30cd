"""Record every scene with tmux, at 80 and 120 columns, into docs/recordings.md."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

from tests.recordings import PAGE, SCENES, Scene, environment, masked, set_up

HEAD = """# What a run looks like

Recorded at a terminal of 80 and of 120 columns by `make recordings`, which needs tmux.
Colours are left out. A test holds the short ones. The last one was looked at every second.
"""
EVERY = 1.0  # seconds between two looks at a watched scene
PROMPT = "$ "


def tmux(*arguments: str) -> str:
    done = subprocess.run(
        ["tmux", "-L", "recordings", *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def record(scene: Scene, columns: int) -> list[str]:
    """Return what the terminal showed: at the end, and before it for a watched scene."""
    with tempfile.TemporaryDirectory() as folder:
        server = set_up(scene, Path(folder))
        variables = [f"{name}={value}" for name, value in environment().items()]
        shell = ["env", "-i", *variables, f"PS1={PROMPT}", "bash", "--norc", "--noprofile"]
        tmux("new-session", "-d", "-x", str(columns), "-y", "300", "-c", str(server), *shell)
        try:
            time.sleep(0.5)
            tmux("send-keys", scene.command, "Enter")
            shown: list[str] = []
            while True:
                time.sleep(EVERY)
                text = tmux("capture-pane", "-p").rstrip()
                lines = text.splitlines()
                is_asked = lines[-1].startswith("Go on?")
                if len(lines) > 1 and (lines[-1] == PROMPT.strip() or is_asked):
                    return [*shown, "\n".join(lines if is_asked else lines[:-1])]
                if scene.watched:
                    shown.append(text)
        finally:
            tmux("kill-session")


def last_lines(shown: list[str]) -> str:
    """The end of each look at a scene but the last, which stands whole."""
    parts = []
    for second, text in enumerate(shown[:-1], 1):
        now = text.splitlines()[-1]
        parts.append(f"after {second} s: {now.strip()}")
    return "\n".join([*parts, "", shown[-1]])


def main() -> None:
    parts = [HEAD]
    for scene in SCENES:
        parts.append(f"## {scene.title}\n")
        for columns in (80, 120):
            shown = record(scene, columns)
            text = masked(
                last_lines(shown) if scene.watched else shown[-1], times=not scene.watched
            )
            parts.append(f"{columns} columns:\n\n```text\n{text}\n```\n")
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
