"""Files of the state folder that others must not read, or must not share."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from orchestrator.devstack.errors import AlreadyRunning


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read (0600), from its first moment on."""
    path.unlink(missing_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w") as file:
        file.write(text)


def password(folder: Path, name: str) -> str:
    """The password called `name` of this folder; invented at the first call, then kept."""
    path = folder / f"{name}.password"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(12))
    return path.read_text()


@contextlib.contextmanager
def exclusive(folder: Path, name: str) -> Iterator[None]:
    """Hold `folder` for ourselves. Raises AlreadyRunning when another process does.

    The kernel drops the lock when its holder ends, however it ends.
    """
    path = folder / f"{name}.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(folder, _holder(file.read())) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid()}))
        file.flush()
        yield


def _holder(text: str) -> int | None:
    try:
        return int(json.loads(text)["pid"])
    except (ValueError, KeyError, TypeError):
        return None
