"""server.lock: all that the image installs, with hashes, and what setup.cfg wants."""

from __future__ import annotations

import configparser
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

LOCK = (ROOT / "server.lock").read_text()
PYTHONS = ("3.10", "3.12", "3.14")


def locked(python: str) -> dict[str, str]:
    """Version by name, for a version of Python on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    found = {}
    for line in re.findall(r"^[a-z].*", LOCK, re.MULTILINE):
        requirement = Requirement(line.rstrip(" \\"))
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found
            found[name] = str(requirement.specifier).removeprefix("==")
    return found


def wanted() -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = config["options.extras_require"]
    lines = config["options"]["install_requires"] + extras["server"] + extras["postgresql"]
    return [Requirement(line) for line in lines.splitlines() if line.strip()]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_it_fits_what_setup_cfg_wants(requirement, python):
    version = locked(python)[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), "make lock"


def test_every_entry_has_a_hash():
    entries = re.split(r"^(?=[a-z])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"\S+==\S+", entry)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert "://" not in LOCK


def test_the_image_installs_it_and_names_its_base_once_by_digest():
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in text
    assert len(re.findall(r"python:[\w.-]+@sha256:[0-9a-f]{64}", text)) == 1
    bases = re.findall(r"^FROM (\S+)(?: AS (\S+))?", text, re.MULTILINE)
    assert {base for base, _ in bases} == {"${BASE}", "${DATABASE}"}
    assert {name for base, name in bases if base == "${BASE}"} == {
        "libraries",
        "sqlite",
        "postgresql",
    }
