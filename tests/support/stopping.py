"""Stopping a server with everything it consists of (SIGSTOP): it lives, and says nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    """While inside, a process and all its descendants are stopped; PostgreSQL is many."""
    assert pid is not None
    found = [pid]
    os.kill(pid, signal.SIGSTOP)
    for one in found:
        found += _children(one)
    for one in found[1:]:
        _send(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in reversed(found):
            _send(one, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
