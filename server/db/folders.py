"""Folders and files that are for one user alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


class ClosedFolder(Exception):
    """The folder of the database may not be written by this user; names the one line to run."""

    def __init__(self, folder: Path) -> None:
        found, me, group = folder.stat(), os.geteuid(), os.getegid()
        owner = "root" if found.st_uid == 0 else f"user {found.st_uid}"
        line = f"chown -R {me}:{group} '{folder}'"
        if folder.is_mount() and any(Path(mark).exists() for mark in CONTAINER_MARKS):
            line = f"on the host: chown -R {me}:{group} data"
            if found.st_uid != 0:
                ids = f"SERVER_UID={found.st_uid} SERVER_GID={found.st_gid}"
                line = f"on the host: {ids} docker compose up -d"
        super().__init__(f"'{folder}' belongs to {owner} and is closed to user {me}; {line}")


def is_open(folder: Path) -> bool:
    """Tell whether this user may make files in a folder; one that is not there is not closed."""
    return not folder.is_dir() or os.access(folder, os.W_OK | os.X_OK)


def make_private(path: Path) -> None:
    """Close a file to everybody but its owner, where this user may do that."""
    with suppress(OSError):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            path.chmod(mode & 0o700)


def write_private(path: Path, text: str) -> None:
    """Put a whole file of mode 0600 in the place of ``path``.

    Written as root, it goes to the owner of the folder, so that the server may run as that user
    later.
    """
    staging = path.with_name(f"{path.name}.new")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    staging.replace(path)
