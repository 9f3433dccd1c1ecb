"""Facts to look at, and waiting for them instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg

T = TypeVar("T")


def wait_until(fact: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Answer `fact()` as soon as it is true; fail with `what` when it never is."""
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still not true after {seconds:g} s: {what}")
        time.sleep(0.01)
    return found


def answers(database_url: str) -> bool:
    """True when the PostgreSQL server lets us in and runs a query."""
    with psycopg.connect(database_url) as db:
        return db.execute("SELECT 1").fetchone() == (1,)


def is_gone(pid: int) -> bool:
    """True when no process has this id any more (one that nobody has buried counts as gone)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
